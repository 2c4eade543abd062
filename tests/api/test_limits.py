"""Limits as clients meet them: size and cost of operations, how many in a minute, and which may run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from gateway.graphql.limits import Limits, TooManyOperations
from gateway.web.options import WebOptions
from gateway.web.rates import MAX_BUCKETS, Rates
from tests.api.asking import RESPONSE_JSON, code_of
from tests.api.dialing import FOLLOW, dial, hear, say
from tests.api.fake_access import FakeAccess
from tests.api.fakes import PATIENT, FakeInstance, web_of
from tests.serving import serve

NAME = "{ instance { name } }"
NAMED = {"data": {"instance": {"name": "sb-demo"}}}
WIDE = "{ patients(first: 200) { nodes { messages(first: 200) { nodes { body } } } } }"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def hashed(text: str) -> dict:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha(text)}}}


@contextmanager
def served(fake: FakeInstance, **options: object) -> Iterator[httpx2.Client]:
    app = web_of(fake, options=WebOptions(**options))
    with serve(app) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


async def by_socket(client: httpx2.Client, payload: dict, init: dict | None = None) -> dict:
    """Run one operation over a socket and give the first that is said of it."""
    url = str(client.base_url).replace("http", "ws").rstrip("/") + "/graphql"
    async with dial(url, init=False) as socket:
        await say(socket, type="connection_init", payload=init)
        await hear(socket)
        await say(socket, id="1", type="subscribe", payload=payload)
        return await hear(socket)


async def test_an_answer_tells_its_cost(fake: FakeInstance) -> None:
    query = f'{{ patient(patientId: "{PATIENT}") {{ messages(first: 2) {{ nodes {{ body }} }} }} }}'
    with served(fake) as client:
        by_http = client.post("/graphql", json={"query": query}).json()
        socket = await by_socket(client, {"query": query})
        refused = client.post("/graphql", json={"query": "{ nope }"}).json()

    assert by_http["extensions"] == {"cost": 3}
    assert socket["payload"] == by_http
    assert refused.keys() == {"errors"}


async def test_what_costs_too_much_runs_nowhere(fake: FakeInstance) -> None:
    with served(fake) as client:
        by_http = client.post("/graphql", json={"query": WIDE})
        socket = await by_socket(client, {"query": WIDE})

    assert by_http.json()["errors"] == socket["payload"]
    assert socket["payload"] == [
        {
            "message": "An operation may cost at most 10000 records; this one costs 40200.",
            "extensions": {"code": "LIMIT_EXCEEDED"},
        }
    ]
    assert fake.calls == []


@pytest.mark.parametrize(
    ("limits", "query", "said"),
    [
        (Limits(depth=2), "{ patients { nodes { id } } }", "2 levels"),
        (Limits(aliases=1), "{ a: __typename b: __typename }", "1 aliases"),
        (Limits(directives=0), "{ __typename @include(if: true) }", "0 directives"),
        (Limits(tokens=3), "{ a b c d }", "tokens"),
        (Limits(root_fields=1), "{ __typename instance { name } }", "1 root fields"),
        (Limits(cost=49), "{ patients { nodes { id } } }", "49 records"),
    ],
)
def test_every_limit_can_be_set(fake: FakeInstance, limits: Limits, query: str, said: str) -> None:
    with served(fake, limits=limits) as client:
        answer = client.post("/graphql", json={"query": query})

    assert code_of(answer) == "LIMIT_EXCEEDED"
    assert said in answer.json()["errors"][0]["message"]
    assert fake.calls == []


async def test_a_text_comes_once_and_then_its_hash_is_enough(fake: FakeInstance) -> None:
    with served(fake, show_cost=False, get_queries=True, graphiql=True) as client:
        unknown = client.post("/graphql", json=hashed(NAME), headers={"Accept": RESPONSE_JSON})
        first = client.post("/graphql", json={"query": NAME, **hashed(NAME)}).json()
        again = client.post("/graphql", json=hashed(NAME)).json()
        socket = await by_socket(client, hashed(NAME))
        params = {"extensions": json.dumps(hashed(NAME)["extensions"])}
        by_get = client.get("/graphql", params=params, headers={"Accept": "text/html, */*"}).json()

    assert unknown.status_code == 400
    assert unknown.json()["errors"] == [
        {"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}
    ]
    assert first == again == by_get == socket["payload"] == NAMED


async def test_an_unknown_hash_on_a_socket_ends_the_operation_alone(fake: FakeInstance) -> None:
    with served(fake) as client:
        error = await by_socket(client, hashed(NAME))
        wrong = await by_socket(client, {"query": NAME, **hashed("{ other }")})

    assert error["payload"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert wrong["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    "extensions",
    [
        {"persistedQuery": 1},
        {"persistedQuery": {}},
        {"persistedQuery": {"version": 2, "sha256Hash": sha(NAME)}},
        {"persistedQuery": {"version": 1, "sha256Hash": "../../etc/passwd"}},
        {"persistedQuery": {"version": 1, "sha256Hash": None}},
    ],
)
def test_a_hash_that_cannot_be_one_is_a_bad_request(fake: FakeInstance, extensions: dict) -> None:
    with served(fake) as client:
        answer = client.post("/graphql", json={"query": NAME, "extensions": extensions})

    assert (answer.status_code, code_of(answer)) == (400, "BAD_USER_INPUT")


async def test_only_trusted_documents_run(fake: FakeInstance) -> None:
    with served(fake, show_cost=False, trusted_documents={"name": NAME, sha(NAME): NAME}) as client:
        good = [
            client.post("/graphql", json=body).json()
            for body in ({"documentId": "name"}, {"query": NAME}, hashed(NAME), {"documentId": sha(NAME)})
        ]
        socket = await by_socket(client, {"documentId": "name"})
        bad = [
            client.post("/graphql", json=body)
            for body in ({"documentId": "other"}, {"query": WIDE}, {"query": FOLLOW}, hashed(WIDE))
        ]
        refused = await by_socket(client, {"query": FOLLOW, "variables": {"id": PATIENT}})

    assert good == [NAMED] * 4
    assert socket["payload"] == NAMED
    assert [code_of(answer) for answer in bad] == ["FORBIDDEN"] * 4
    assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "FORBIDDEN")
    assert fake.calls == []


async def test_each_principal_has_a_number_of_operations_in_a_minute(fake: FakeInstance) -> None:
    options = FakeAccess().options(operations_per_minute=2)
    reader, nurse = {"X-API-Key": "reader"}, {"X-API-Key": "nurse"}
    with serve(web_of(fake, options=options)) as url, httpx2.Client(base_url=url) as client:
        for _ in range(2):
            assert client.post("/graphql", json={"query": NAME}, headers=reader).json() == NAMED
        over = client.post("/graphql", content=b"no body that is read", headers=reader)
        stream = client.post(
            "/graphql", json={"query": NAME}, headers={**reader, "Accept": "text/event-stream"}
        )
        socket = await by_socket(client, {"query": NAME}, reader)
        other = client.post("/graphql", json={"query": NAME}, headers=nurse)

    error = over.json()["errors"][0]
    assert (over.status_code, stream.status_code, other.json()) == (429, 429, NAMED)
    assert error["message"] == "At most 2 operations may be run in a minute."
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert 25 < error["extensions"]["retryAfter"] <= 30
    assert 25 < int(over.headers["retry-after"]) <= 30
    assert (socket["type"], socket["payload"][0]["extensions"]["code"]) == ("error", "LIMIT_EXCEEDED")


def test_everybody_shares_one_bucket(fake: FakeInstance) -> None:
    with served(fake, operations_per_minute=1) as client:
        statuses = [client.post("/graphql", json={"query": NAME}).status_code for _ in range(2)]

    assert statuses == [200, 429]


def test_a_bucket_fills_evenly_and_never_over() -> None:
    now = 0.0
    rates = Rates(60, lambda: now)
    for _ in range(60):
        rates.take("a")
    with pytest.raises(TooManyOperations) as refused:
        rates.take("a")
    assert refused.value.retry_after == pytest.approx(1)

    now = 1.0
    rates.take("a")
    now = 10_000.0
    for _ in range(60):
        rates.take("a")
    with pytest.raises(TooManyOperations):
        rates.take("a")


def test_few_principals_are_remembered() -> None:
    rates = Rates(1, lambda: 0.0)
    for number in range(MAX_BUCKETS + 50):
        rates.take(f"{number}")

    assert len(rates) == MAX_BUCKETS
    with pytest.raises(TooManyOperations):
        rates.take(f"{MAX_BUCKETS}")


def test_a_limit_that_lets_nobody_in_stops_the_start() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Rates(0)
