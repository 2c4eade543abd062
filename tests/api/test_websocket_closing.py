"""How a `graphql-transport-ws` socket opens and closes, by the protocol's own rules."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.web.options import WebOptions
from tests.api.dialing import FOLLOW, OPTIONS, close_code, dial, hear, say, subscribe, until
from tests.api.fakes import PATIENT, FakeInstance, web_of
from tests.serving import serve


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "not json",
        "null",
        "[]",
        "5",
        "{}",
        '{"type": 5}',
        '{"type": "start"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{__typename}"}}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{__typename}"}}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": []}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 5}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{__typename}", "variables": []}}',
        '{"type": "complete"}',
        '{"type": "ping", "payload": 5}',
        '{"type": "subscribe", "id": "%s", "payload": {"query": "{__typename}"}}' % ("x" * 300),
        "[" * 50_000,
        b"\x00\x01",
    ],
    ids=lambda frame: repr(frame[:70]),
)
async def test_a_malformed_message_closes_the_socket_with_4400(url: str, frame: str | bytes) -> None:
    async with dial(url) as client:
        await client.send(frame)

        assert await close_code(client) == 4400


async def test_a_payload_of_the_first_message_must_be_an_object(url: str) -> None:
    async with dial(url, init=False) as client:
        await say(client, type="connection_init", payload=[])

        assert await close_code(client) == 4400


async def test_an_operation_before_the_first_message_is_unauthorized(url: str) -> None:
    async with dial(url, init=False) as client:
        await subscribe(client, "1", "{ __typename }")

        assert await close_code(client) == 4401


async def test_who_stays_silent_is_timed_out(url: str) -> None:
    async with dial(url, init=False) as client:
        assert await close_code(client) == 4408


async def test_an_id_that_is_taken_closes_the_socket(url: str) -> None:
    async with dial(url) as client:
        for _ in range(2):
            await subscribe(client, "1", FOLLOW, id=PATIENT)

        assert await close_code(client) == 4409


async def test_a_second_first_message_closes_the_socket(url: str) -> None:
    async with dial(url) as client:
        await say(client, type="connection_init")

        assert await close_code(client) == 4429


async def test_other_subprotocols_are_not_acceptable(url: str) -> None:
    for protocols in (["graphql-ws"], None):
        async with connect(url, subprotocols=protocols) as client:
            assert await close_code(client) == 4406


async def test_the_server_pings_a_quiet_socket_and_answers_pings(url: str) -> None:
    async with dial(url) as client:
        assert json.loads(await asyncio.wait_for(client.recv(), 2)) == {"type": "ping"}
        await say(client, type="pong")
        await say(client, type="ping", payload={})
        assert await hear(client) == {"type": "pong"}


async def test_an_unknown_instance_is_not_found(url: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url.replace("sb-demo", "other"), subprotocols=["graphql-transport-ws"])

    assert refused.value.response.status_code == 404


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://"])
async def test_pages_of_other_origins_may_not_connect(url: str, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, subprotocols=["graphql-transport-ws"], origin=origin)

    assert refused.value.response.status_code == 403


async def test_the_own_page_and_configured_origins_may_connect(url: str, fake: FakeInstance) -> None:
    own = url.replace("ws", "http", 1).removesuffix("/gh/sb-demo/graphql")
    async with dial(url, origin=own) as client:
        await say(client, type="ping")
        assert (await hear(client))["type"] == "pong"

    options = WebOptions(cors_origins=("https://app.example.org",))
    with serve(web_of(fake, options=options)) as base_url:
        async with dial(
            base_url.replace("http", "ws") + "/graphql", origin="https://app.example.org"
        ) as client:
            await say(client, type="ping")
            assert (await hear(client))["type"] == "pong"


async def test_at_shutdown_sockets_are_told_that_the_server_restarts(fake: FakeInstance) -> None:
    app = web_of(fake, options=OPTIONS)
    with serve(hearing_drain(app)) as base_url:
        async with dial(base_url.replace("http", "ws") + "/graphql") as client:
            await subscribe(client, "1", FOLLOW, id=PATIENT)
            await until(lambda: fake.followers == 1)

            async with httpx2.AsyncClient(base_url=base_url) as http:
                await http.post("/drain")
                readiness = await http.get("/readyz")

            assert await close_code(client) == 1012
            assert (readiness.status_code, readiness.json()["ready"]) == (503, False)
    assert fake.followers == 0


async def test_gauges_return_to_zero(url: str, fake: FakeInstance) -> None:
    async with dial(url) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)
    await until(lambda: fake.followers == 0)
    address = url.replace("ws", "http", 1).replace("/gh/sb-demo/graphql", "/metrics")

    async with httpx2.AsyncClient() as http:
        shown = ""
        async with asyncio.timeout(5):
            while "gateway_websockets 0.0" not in shown:
                shown = (await http.get(address)).text
        assert 'gateway_subscribers{transport="ws"} 0.0' in shown


def hearing_drain(app: FastAPI) -> Callable[..., Awaitable[None]]:
    """Let `POST /drain` do what the server's signal handler does, inside of the server's own loop."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") == "/drain":
            app.state.drain.set()
        await app(scope, receive, send)

    return wrapped
