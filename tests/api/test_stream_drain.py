"""When the server stops, streams end with a hint to resume, and what is under way is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from gateway.domain.connection import Edge
from gateway.web.options import WebOptions
from gateway.web.websocket_protocol import PatientSocket
from tests.api.dialing import FOLLOW, close_code, dial, hear, subscribe, until
from tests.api.fakes import PATIENT, FakeInstance, web_of
from tests.serving import serve

HINT = "The server restarts; resume after the last cursor received"
SEND = 'mutation { sendMessage(input: {patientId: "p", body: "hello"}) { messageEdge { node { body } } } }'
STREAMS = 200


class Slow(FakeInstance):
    """Answers a send when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.sending = asyncio.Event()
        self.go_on = asyncio.Event()

    async def send(self, *arguments: Any) -> Edge:
        self.sending.set()
        await self.go_on.wait()
        return await super().send(*arguments)


@pytest.fixture
def fake() -> Slow:
    return Slow()


@pytest.fixture
def app(fake: Slow) -> FastAPI:
    return web_of(fake, options=WebOptions(show_cost=False, drain_seconds=3))


@pytest.fixture
def base_url(app: FastAPI, fake: Slow) -> Iterator[str]:
    async def controlled(scope: Scope, receive: Receive, send: Send) -> None:
        """Let the test drain, and release what waits, inside of the server's own loop."""
        if scope.get("path") == "/drain":
            app.state.drain.set()
        if scope.get("path") == "/go-on":
            fake.go_on.set()
        await app(scope, receive, send)

    with serve(controlled, ws=PatientSocket) as base_url:
        yield base_url


def socket_url(base_url: str) -> str:
    return base_url.replace("http", "ws") + "/graphql"


async def tell(base_url: str, path: str) -> None:
    async with httpx2.AsyncClient() as http:
        await http.post(f"{base_url}/{path}")


async def test_a_mutation_under_way_is_answered_before_its_socket_closes(base_url: str, fake: Slow) -> None:
    async with dial(socket_url(base_url)) as client:
        await subscribe(client, "tail", FOLLOW, id=PATIENT)
        await subscribe(client, "send", SEND)
        await until(lambda: fake.followers == 1 and fake.sending.is_set())

        await tell(base_url, "drain")
        await until(lambda: fake.followers == 0)
        await tell(base_url, "go-on")

        message = await hear(client)
        assert (message["id"], message["type"]) == ("send", "next")
        assert await hear(client) == {"id": "send", "type": "complete"}
        assert (await close_code(client), client.close_reason) == (1012, HINT)


async def test_a_mutation_under_way_on_an_event_stream_is_answered(base_url: str, fake: Slow) -> None:
    async with httpx2.AsyncClient() as http:
        asking = asyncio.create_task(
            http.post(f"{base_url}/graphql", json={"query": SEND}, headers={"Accept": "text/event-stream"})
        )
        await until(fake.sending.is_set)

        await tell(base_url, "drain")
        await tell(base_url, "go-on")

        text = (await asking).text
    assert '"body":"hello"' in text
    assert text.endswith("event: complete\ndata:\n\n")


async def test_what_hangs_is_waited_for_no_longer_than_said(app: FastAPI, fake: Slow) -> None:
    app = web_of(fake, options=WebOptions(show_cost=False, drain_seconds=0.2))

    async def controlled(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/drain":
            app.state.drain.set()
        await app(scope, receive, send)

    with serve(controlled) as base_url:
        async with dial(socket_url(base_url)) as client:
            await subscribe(client, "send", SEND)
            await until(fake.sending.is_set)

            await tell(base_url, "drain")

            assert await close_code(client) == 1012


async def test_a_new_socket_is_sent_away_at_once(base_url: str) -> None:
    await tell(base_url, "drain")

    async with dial(socket_url(base_url), init=False) as client:
        assert (await close_code(client), client.close_reason) == (1012, HINT)


async def test_a_server_that_stops_lets_the_socket_say_why(fake: Slow) -> None:
    """Without any word to the app before: uvicorn alone would close with a bare 1012, or none."""
    with ExitStack() as server:
        base_url = server.enter_context(serve(web_of(fake), ws=PatientSocket))
        async with dial(socket_url(base_url)) as client:
            await subscribe(client, "1", FOLLOW, id=PATIENT)
            await until(lambda: fake.followers == 1)

            stopping = asyncio.create_task(asyncio.to_thread(server.close))

            assert (await close_code(client), client.close_reason) == (1012, HINT)
            await stopping
    assert fake.followers == 0


async def test_many_streams_end_together(app: FastAPI, fake: Slow) -> None:
    """Below the server, at the ASGI door, where hundreds are cheap."""
    streams = [asyncio.create_task(event_stream(app)) for _ in range(STREAMS)]
    async with asyncio.timeout(20):
        while fake.followers < STREAMS:  # noqa: ASYNC110 -- the fake has no event for it
            await asyncio.sleep(0.01)

        app.state.drain.set()
        texts = await asyncio.gather(*streams)

    assert {text.split("\n\n")[1] for text in texts} == {
        ": the server restarts; resume after the last id\nretry: 1000"
    }
    assert fake.followers == 0
    assert len(asyncio.all_tasks()) == 1


async def event_stream(app: FastAPI) -> str:
    """Ask for an event stream as a server would; gives what was sent until its end."""
    body = json.dumps({"query": FOLLOW, "variables": {"id": PATIENT}}).encode()
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "http.request", "body": body, "more_body": False})
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sent.append(message["body"])

    headers = [(b"content-type", b"application/json"), (b"accept", b"text/event-stream")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "app": app,
    }
    await app(scope, incoming.get, send)
    return b"".join(sent).decode()
