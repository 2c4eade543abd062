"""What a secure patient chat token opens, what it keeps closed, and that nobody gets to read it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import httpx2
import pytest

from gateway.domain.errors import UpstreamUnavailable
from gateway.domain.model import Capability, Sender, SenderKind
from tests.api.asking import ask
from tests.api.dialing import dial, hear, subscribe, until
from tests.api.fakes import PATIENT, TOKEN, FakeInstance, web_of
from tests.serving import serve

PORTAL = """query($token: String!, $first: Int, $last: Int, $before: String) {
  portalMessages(token: $token, first: $first, last: $last, before: $before) {
    edges { cursor } nodes { body sender { kind name } patient { patientId firstName birthDate } }
    pageInfo { hasNextPage hasPreviousPage }
  }
}"""
FOLLOW = """subscription($token: String!, $after: String) {
  portalMessageAdded(token: $token, after: $after) {
    cursor node { body sender { name } patient { lastName } }
  }
}"""
BY_PATIENT = Sender(SenderKind.PATIENT, PATIENT)


@pytest.fixture
def fake() -> FakeInstance:
    fake = FakeInstance(messages=2)
    fake.capabilities = frozenset({Capability.PORTAL_TOKENS})
    fake.receive("from the patient", sender=BY_PATIENT)
    return fake


@pytest.fixture
def base_url(fake: FakeInstance) -> Iterator[str]:
    with serve(web_of(fake)) as base_url:
        yield base_url


@pytest.fixture
def client(base_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=base_url) as client:
        yield client


@pytest.fixture
def url(base_url: str) -> str:
    return f"{base_url}/graphql".replace("http", "ws", 1)


def test_a_token_opens_its_conversation_and_no_record(client: httpx2.Client, fake: FakeInstance) -> None:
    found = ask(client, PORTAL, token=TOKEN, first=2)["data"]["portalMessages"]

    patient = {"patientId": PATIENT, "firstName": None, "birthDate": None}
    assert found["nodes"] == [
        {"body": "from the patient", "sender": {"kind": "PATIENT", "name": None}, "patient": patient},
        {"body": "message 1", "sender": {"kind": "CARE_TEAM", "name": "Grace Hopper"}, "patient": patient},
    ]
    assert found["pageInfo"] == {"hasNextPage": True, "hasPreviousPage": False}
    assert fake.calls == ["portal_messages"]


def test_it_is_walked_to_newer_messages_too(client: httpx2.Client) -> None:
    found = ask(client, PORTAL, token=TOKEN, last=1, before="cursor:IM0000")["data"]["portalMessages"]

    assert [node["body"] for node in found["nodes"]] == ["message 1"]
    assert found["pageInfo"] == {"hasNextPage": True, "hasPreviousPage": True}


def test_the_patients_other_doors_stay_closed(client: httpx2.Client, fake: FakeInstance) -> None:
    query = "query($token: String!) { portalMessages(token: $token) { nodes { patient { INNER } } } }"

    answer = ask(client, query.replace("INNER", "messages { nodes { id } }"), token=TOKEN)

    assert {error["extensions"]["code"] for error in answer["errors"]} == {"FORBIDDEN"}
    assert fake.calls == ["portal_messages"]


@pytest.mark.parametrize("window", [{"first": -1}, {"first": 201}, {"first": 1, "last": 1}])
def test_a_wrong_window_reaches_nothing(
    client: httpx2.Client, fake: FakeInstance, window: dict[str, int]
) -> None:
    answer = ask(client, PORTAL, token=TOKEN, **window)

    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert fake.calls == []


@pytest.mark.parametrize("token", ["", "a b", "canary\r\nX-Evil: 1", "canary\0", "canary-\u00e9", "c" * 4097])
async def test_what_cannot_be_a_token_reaches_nothing(
    client: httpx2.Client, url: str, fake: FakeInstance, token: str
) -> None:
    answer = ask(client, PORTAL, token=token)
    async with dial(url) as socket:
        await subscribe(socket, "1", FOLLOW, token=token)
        refused = await hear(socket)

    for error in (answer["errors"][0], refused["payload"][0]):
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert "canary" not in json.dumps(error)
    assert fake.calls == []


def test_a_version_without_tokens_says_so(client: httpx2.Client, fake: FakeInstance) -> None:
    fake.capabilities = frozenset()

    assert ask(client, PORTAL, token=TOKEN)["errors"][0]["extensions"]["code"] == "UNSUPPORTED_BY_UPSTREAM"


async def test_new_messages_come_as_they_arrive_and_what_was_missed_first(
    url: str, fake: FakeInstance
) -> None:
    async with dial(url) as socket:
        await subscribe(socket, "1", FOLLOW, token=TOKEN, after="cursor:IM0001")
        missed = await hear(socket)
        await until(lambda: fake.followers == 1)
        fake.receive("new")
        new = await hear(socket)

    assert [frame["payload"]["data"]["portalMessageAdded"] for frame in (missed, new)] == [
        {
            "cursor": "cursor:IM0002",
            "node": {"body": "from the patient", "sender": {"name": None}, "patient": {"lastName": None}},
        },
        {
            "cursor": "cursor:IM0003",
            "node": {"body": "new", "sender": {"name": "Grace Hopper"}, "patient": {"lastName": None}},
        },
    ]
    assert fake.calls == ["follow_portal"]
    await until(lambda: fake.followers == 0)


async def test_a_tail_that_cannot_begin_or_goes_on_no_more_ends_with_its_code(
    url: str, fake: FakeInstance
) -> None:
    async with dial(url) as socket:
        await subscribe(socket, "1", FOLLOW, token="canary-other")
        unknown = await hear(socket)
        await subscribe(socket, "2", FOLLOW, token=TOKEN, after="cursor:forged")
        forged = await hear(socket)
        await subscribe(socket, "3", FOLLOW, token=TOKEN)
        await until(lambda: fake.followers == 1)
        fake.fail(UpstreamUnavailable("Welkin cannot be reached."))
        ended = await hear(socket)

    assert [frame["payload"][0]["extensions"]["code"] for frame in (unknown, forged, ended)] == [
        "UNAUTHENTICATED",
        "INVALID_CURSOR",
        "UPSTREAM_UNAVAILABLE",
    ]


async def test_the_token_is_in_no_log_line_and_no_answer(
    client: httpx2.Client, url: str, fake: FakeInstance, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        shown = [
            client.post("/graphql", json={"query": PORTAL, "variables": variables}).text
            for variables in ({"token": "canary-other"}, {"token": ["canary"]}, {"token": TOKEN, "first": -1})
        ]
        inline = '{ portalMessages(token: "canary-inline", first: "canary") { nodes { id } } }'
        shown.append(client.post("/graphql", json={"query": inline}).text)
        fake.fail(RuntimeError(f"canary: {TOKEN}"))
        shown.append(client.post("/graphql", json={"query": PORTAL, "variables": {"token": TOKEN}}).text)
        async with dial(url) as socket:
            await subscribe(socket, "1", FOLLOW, token=TOKEN)
            shown.append(json.dumps(await hear(socket)))

    logged = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith(("gateway", "uvicorn"))
    )
    assert "canary" not in "".join(shown)
    assert "error code=INTERNAL" in logged
    assert "canary" not in logged
