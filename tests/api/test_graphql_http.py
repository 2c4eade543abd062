"""The GraphQL door for HTTP, over real sockets: what it answers, and what it refuses."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from gateway.web.options import WebOptions
from tests.api.asking import MESSAGES, ask, code_of
from tests.api.fakes import DEV, PATIENT, FakeInstance, web_of
from tests.serving import serve

JSON = {"Content-Type": "application/json"}
OPENAPI = Path(__file__).parents[2] / "openapi" / "gateway.yaml"


@pytest.fixture
def production(fake: FakeInstance) -> Iterator[httpx2.Client]:
    """The gateway with every switch at its default."""
    with serve(web_of(fake, options=WebOptions())) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"5",
        b'"x"',
        b"[]",
        b"{}",
        b"{",
        b"\xff\xfe",
        b'{"query": "\xff"}',
        b"[" * 100_000,
        b'{"query": null}',
        b'{"query": 5}',
        b'{"query": ""}',
        b'{"query": "{__typename}", "variables": []}',
        b'{"query": "{__typename}", "variables": "{}"}',
        b'{"query": "{__typename}", "extensions": 5}',
        b'{"query": "{__typename}", "operationName": 5}',
        b'[{"query": "{__typename}"}, {"query": "{__typename}"}]',
        b'{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "00"}}}',
        b'{"query": "\\ud800"}',
        b'{"query": NaN}',
    ],
)
def test_a_body_that_is_no_request_is_a_bad_request(client: httpx2.Client, body: bytes) -> None:
    answer = client.post("/graphql", content=body, headers=JSON)

    assert (answer.status_code, code_of(answer)) == (400, "BAD_USER_INPUT")


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json-seq", "text/application/json",
     "application/json; charset=utf-16", "multipart/form-data; boundary=x"],
)  # fmt: skip
def test_only_json_is_taken(client: httpx2.Client, fake: FakeInstance, content_type: str) -> None:
    body = json.dumps({"query": MESSAGES, "variables": {"id": PATIENT}}).encode()

    answer = client.post("/graphql", content=body, headers={"Content-Type": content_type})

    assert (answer.status_code, code_of(answer)) == (415, "BAD_USER_INPUT")
    assert fake.calls == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_other_methods_are_told_what_is_allowed(client: httpx2.Client, method: str) -> None:
    answer = client.request(method, "/graphql")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"


def test_a_get_runs_queries_but_never_mutations(client: httpx2.Client, fake: FakeInstance) -> None:
    query = client.get("/graphql", params={"query": MESSAGES, "variables": json.dumps({"id": PATIENT})})
    mutation = client.get(
        "/graphql",
        params={
            "query": 'mutation { sendMessage(input: {patientId: "p", body: "x"}) { messageEdge { cursor } } }'
        },
    )
    garbage = client.get("/graphql", params={"query": MESSAGES, "variables": "{"})

    assert query.json()["data"]["patient"]["messages"]["nodes"][0]["body"] == "message 2"
    assert (mutation.status_code, mutation.headers["allow"]) == (405, "POST")
    assert garbage.status_code == 400
    assert fake.calls == ["messages"]


def test_of_two_operations_one_must_be_named(client: httpx2.Client) -> None:
    query = "query A { a: __typename } query B { b: __typename }"

    unnamed = client.post("/graphql", json={"query": query})
    unknown = client.post("/graphql", json={"query": query, "operationName": "C"})
    named = client.post("/graphql", json={"query": query, "operationName": "B"})

    assert (code_of(unnamed), code_of(unknown)) == ("BAD_USER_INPUT", "BAD_USER_INPUT")
    assert named.json() == {"data": {"b": "Query"}}


def test_a_body_over_the_limit_is_refused_before_it_is_read(client: httpx2.Client) -> None:
    """A gigabyte is announced, or comes without an end; the answer comes after a megabyte at most."""
    announced = client.post("/graphql", content=b"x" * (DEV.max_body_bytes + 1), headers=JSON)
    assert (announced.status_code, code_of(announced)) == (413, "LIMIT_EXCEEDED")

    sent = 0
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as raw:
        raw.sendall(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        try:
            while sent < 64 * 1024 * 1024:
                raw.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
        except OSError:
            pass
    assert sent < 16 * 1024 * 1024


def test_a_body_that_drips_is_cut_off(fake: FakeInstance) -> None:
    with (
        serve(web_of(fake, options=WebOptions(body_seconds=0.2))) as base_url,
        socket.create_connection(("127.0.0.1", int(base_url.rpartition(":")[2])), timeout=10) as raw,
    ):
        raw.sendall(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 408")


def test_unknown_places_are_not_found_in_json(client: httpx2.Client) -> None:
    for path in (
        "/nobody/nothing/graphql",
        "/nope",
        "/graphql/",
        "/gh/sb-demo/graphql/",
        "/graphiql/../app.py",
    ):
        answer = client.post(path, json={"query": "{ __typename }"})
        assert (answer.status_code, code_of(answer)) == (404, "NOT_FOUND"), path


def test_nothing_is_stored_on_the_way(client: httpx2.Client) -> None:
    for answer in (
        client.post("/graphql", json={"query": "{ __typename }"}),
        client.get("/nope"),
        client.get("/healthz"),
        client.put("/graphql"),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "etag" not in answer.headers


def test_production_takes_no_queries_from_addresses_and_shows_no_page(production: httpx2.Client) -> None:
    query = production.get("/graphql", params={"query": "{ __typename }"})
    page = production.get("/graphql", headers={"Accept": "text/html"})

    assert (query.status_code, query.headers["allow"]) == (405, "POST")
    assert page.status_code == 405
    assert production.get("/graphiql/graphiql.min.js").status_code == 404


def test_foreign_pages_are_not_let_in_unless_configured(
    production: httpx2.Client, fake: FakeInstance
) -> None:
    headers = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST"}
    refused = production.options("/graphql", headers=headers)
    assert "access-control-allow-origin" not in refused.headers

    options = WebOptions(cors_origins=("https://app.example.org",))
    with serve(web_of(fake, options=options)) as base_url:
        allowed = httpx2.options(f"{base_url}/graphql", headers=headers)
        foreign = httpx2.post(
            f"{base_url}/graphql",
            json={"query": "{ __typename }"},
            headers={"Origin": "https://evil.example"},
        )
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.org"
    assert "access-control-allow-origin" not in foreign.headers


def test_an_answer_type_that_is_not_spoken_is_not_acceptable(client: httpx2.Client) -> None:
    answer = client.post("/graphql", json={"query": "{ __typename }"}, headers={"Accept": "image/png"})

    assert answer.status_code == 406


def test_life_and_readiness_are_told(client: httpx2.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"ready": True, "degraded": False, "parts": {"welkin": "ok"}}


def test_metrics_have_few_labels_however_many_patients_there_are(client: httpx2.Client) -> None:
    ask(client, MESSAGES, id=PATIENT)
    before = len(client.get("/metrics").text.splitlines())

    for number in range(30):
        ask(client, MESSAGES, id=f"patient-{number}")
        client.get(f"/nope/{number}/graphql")
        client.get(f"/{number}")
    lines = client.get("/metrics").text.splitlines()

    assert not [line for line in lines if PATIENT in line or "patient-" in line]
    assert any(
        line.startswith('gateway_operations_total{kind="query",transport="http"} 31') for line in lines
    )
    assert len(lines) < before + 45


def test_the_rest_part_describes_itself(client: httpx2.Client) -> None:
    served = client.get("/openapi.json").json()

    assert served == yaml.safe_load(OPENAPI.read_text("utf-8"))
    assert set(served["paths"]) == {
        "/healthz",
        "/readyz",
        "/metrics",
        "/webhooks/chat",
        "/{tenant}/{instance}/webhooks/chat",
        "/webhooks/events",
        "/{tenant}/{instance}/webhooks/events",
        "/files/{fileId}",
        "/{tenant}/{instance}/files/{fileId}",
    }
