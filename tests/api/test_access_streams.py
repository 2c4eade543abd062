"""Access on WebSockets and event streams: proofs in the first message, and proofs that end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.domain.errors import UpstreamUnavailable
from tests.api.asking import wait_until
from tests.api.dialing import FOLLOW, close_code, dial, hear, say, subscribe, until
from tests.api.fake_access import FakeAccess
from tests.api.fakes import ACME, PATIENT, FakeInstance, web_of
from tests.api.test_sse import events
from tests.serving import serve

READER = {"x-api-key": "reader"}
PROTOCOL = "graphql-transport-ws"


@pytest.fixture
def access() -> FakeAccess:
    return FakeAccess()


@pytest.fixture
def base_url(fake: FakeInstance, access: FakeAccess) -> Iterator[str]:
    options = access.options(keep_alive_seconds=30.0, connection_init_seconds=1.0)
    with serve(web_of(fake, FakeInstance(ACME), options=options)) as base_url:
        yield base_url


@pytest.fixture
def url(base_url: str) -> str:
    return base_url.replace("http", "ws") + "/gh/sb-demo/graphql"


@pytest.mark.parametrize(
    "payload",
    [READER, {"X-API-Key": "reader"}, {"authorization": "Bearer nurse", "locale": "en", "x-api-key": None}],
)
async def test_the_first_message_carries_the_proof(url: str, access: FakeAccess, payload: dict) -> None:
    async with dial(url, init=False) as client:
        await say(client, type="connection_init", payload=payload)
        assert await hear(client) == {"type": "connection_ack"}
        await subscribe(client, "1", FOLLOW, id=PATIENT, after="cursor:IM0001")
        assert (await hear(client))["payload"]["data"]["messageAdded"]["node"]["body"] == "message 2"

    (admitted,) = access.admitted
    assert admitted[1].endswith("-1")


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"x-api-key": "nobody"},
        {"authorization": 5},
        {"x-api-key": ["reader"]},
        {"x-api-key": "reader", "X-API-KEY": "reader"},
        {"x-api-key": "reader", "authorization": "Bearer nurse"},
    ],
)
async def test_a_wrong_or_missing_proof_closes_with_4403(
    url: str, fake: FakeInstance, payload: dict | None
) -> None:
    async with dial(f"{url}?x-api-key=reader&authorization=Bearer%20nurse", init=False) as client:
        await say(client, type="connection_init", payload=payload)

        assert (await close_code(client), client.close_reason) == (4403, "Forbidden")
    assert fake.calls == []


async def test_headers_of_the_upgrade_count_where_the_message_shows_nothing(
    url: str, access: FakeAccess
) -> None:
    async with dial(url, additional_headers=READER):
        pass
    async with dial(url, init=False, additional_headers=READER) as client:
        await say(client, type="connection_init", payload={"x-api-key": "nobody"})
        assert await close_code(client) == 4403
    async with dial(url, init=False, additional_headers=[("x-api-key", "reader")] * 2) as client:
        await say(client, type="connection_init")
        assert await close_code(client) == 4403


async def test_operations_before_the_proof_are_unauthorised(url: str, access: FakeAccess) -> None:
    async with dial(url, init=False) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)

        assert await close_code(client) == 4401
    assert access.asked == []


async def test_a_second_proof_is_one_too_many(url: str) -> None:
    async with dial(url, init=False) as client:
        for _ in range(2):
            await say(client, type="connection_init", payload=READER)

        assert await close_code(client) == 4429


async def test_a_proof_that_cannot_be_checked_now_says_come_again(url: str, access: FakeAccess) -> None:
    access.failure = UpstreamUnavailable("The identity provider does not answer.")
    async with dial(url, init=False) as client:
        await say(client, type="connection_init", payload=READER)

        assert await close_code(client) == 1013


@pytest.mark.parametrize("path", ["/acme-health/live/graphql", "/no/body/graphql"])
async def test_an_instance_of_others_looks_as_one_that_is_not_there(base_url: str, path: str) -> None:
    """A nurse of one hospital; by header the upgrade is denied, by message the socket is closed."""
    url = base_url.replace("http", "ws") + path
    with pytest.raises(InvalidStatus) as denied:
        await connect(url, subprotocols=[PROTOCOL], additional_headers={"authorization": "Bearer nurse"})
    async with dial(url, init=False) as client:
        await say(client, type="connection_init", payload={"authorization": "Bearer nurse"})
        assert (await close_code(client), client.close_reason) == (4403, "Forbidden")

    assert denied.value.response.status_code == 404
    assert b"No such instance is served here." in denied.value.response.body


async def test_a_patient_of_others_looks_as_one_that_is_not_there(url: str, fake: FakeInstance) -> None:
    async with dial(url, init=False) as client:
        await say(client, type="connection_init", payload={"x-api-key": "other"})
        await hear(client)
        await subscribe(client, "1", FOLLOW, id=PATIENT)

        error = await hear(client)
    assert error["type"] == "error"
    assert error["payload"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert fake.calls == []


async def test_a_quiet_socket_closes_when_the_proof_ends(
    url: str, access: FakeAccess, fake: FakeInstance
) -> None:
    access.lifetime = 0.5
    async with dial(url, init=False) as client:
        began = time.monotonic()
        await say(client, type="connection_init", payload=READER)
        await hear(client)
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)

        assert (await close_code(client), client.close_reason) == (4403, "Forbidden")
        assert 0.4 < time.monotonic() - began < 1.5
    await until(lambda: fake.followers == 0)


async def test_nothing_is_delivered_after_the_proof_has_ended(fake: FakeInstance, access: FakeAccess) -> None:
    """The clock is set forward; the timer still sleeps when the message comes."""
    ahead = 0.0
    access.lifetime = 100.0
    options = access.options(now=lambda: time.time() + ahead)
    with serve(web_of(fake, options=options)) as base_url:
        async with dial(base_url.replace("http", "ws") + "/graphql", init=False) as client:
            await say(client, type="connection_init", payload=READER)
            await hear(client)
            await subscribe(client, "1", FOLLOW, id=PATIENT)
            await until(lambda: fake.followers == 1)

            ahead = 200.0
            fake.receive("too late")

            assert await close_code(client) == 4403


def test_an_event_stream_says_that_the_proof_has_ended(
    base_url: str, access: FakeAccess, fake: FakeInstance
) -> None:
    access.lifetime = 0.7
    asked = {"query": FOLLOW, "variables": {"id": PATIENT}}
    headers = {**READER, "Accept": "text/event-stream"}
    with httpx2.stream("POST", f"{base_url}/graphql", json=asked, headers=headers) as answer:
        wait_until(lambda: fake.followers == 1)
        fake.receive("in time")
        began = time.monotonic()
        text = answer.read().decode()

    first, (kind, body), last = events(text)
    assert first[1]["data"]["messageAdded"]["node"]["body"] == "in time"
    assert (kind, body["errors"][0]["extensions"], last) == (
        "next",
        {"code": "UNAUTHENTICATED"},
        ("complete", None),
    )
    assert time.monotonic() - began < 1.7
    wait_until(lambda: fake.followers == 0)
