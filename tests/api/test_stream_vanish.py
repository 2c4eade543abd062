"""A client that vanishes is noticed, whether its end says so or not, and nothing of its streams is left."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from gateway.app.http_protocol import PatientHttp
from gateway.web.options import WebOptions
from gateway.web.websocket_protocol import PatientSocket
from tests.api.dialing import FOLLOW, dial, say, subscribe, until
from tests.api.fakes import PATIENT, web_of
from tests.api.stalling import TEXT, Taking, lose_packets, metric, narrow_socket, reset_on_close
from tests.serving import serve

OPTIONS = WebOptions(send_seconds=0.5, keep_alive_seconds=0.2, show_cost=False)


class Watched(PatientHttp):
    """Every connection as the listener of `gateway serve` makes it, in shorter time."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 800)


@pytest.fixture
def fake() -> Taking:
    return Taking()


@pytest.fixture
def base_url(fake: Taking) -> Iterator[str]:
    pings = {"ws_ping_interval": 0.4, "ws_ping_timeout": 0.4, "ws_per_message_deflate": False}
    with serve(web_of(fake, options=OPTIONS), http=Watched, ws=PatientSocket, **pings) as base_url:
        yield base_url


async def nothing_is_left(base_url: str, fake: Taking) -> None:
    await until(lambda: fake.followers == 0)
    assert await metric(base_url, 'gateway_subscribers{transport="ws"}') == 0
    assert await metric(base_url, 'gateway_subscribers{transport="sse"}') == 0
    async with asyncio.timeout(5):
        while await metric(base_url, "gateway_websockets"):  # noqa: ASYNC110 -- the server's thread ends it
            await asyncio.sleep(0.02)


def stream(base_url: str) -> socket.socket:
    """Open an event stream on a bare socket."""
    connection = narrow_socket(base_url, 65_536)
    body = json.dumps({"query": FOLLOW, "variables": {"id": PATIENT}}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.parametrize("talkative", [False, True])
async def test_a_socket_whose_packets_are_lost_is_noticed(
    base_url: str, fake: Taking, *, talkative: bool
) -> None:
    url = base_url.replace("http", "ws") + "/graphql"
    connection = narrow_socket(url, 65_536)
    async with dial(url, sock=connection) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)

        lose_packets(connection)
        for _ in range(1_000 if talkative else 0):
            fake.receive(TEXT)

        await nothing_is_left(base_url, fake)
        client.transport.abort()


async def test_a_client_behind_a_relay_that_has_fallen_silent_is_noticed(base_url: str, fake: Taking) -> None:
    """The relay's end of the connection lives, so that only an answer to a ping can tell."""
    with relay(base_url) as (address, silence):
        async with dial(f"ws://{address}/graphql") as client:
            await subscribe(client, "1", FOLLOW, id=PATIENT)
            await until(lambda: fake.followers == 1)

            silence.set()

            await nothing_is_left(base_url, fake)
            client.transport.abort()


async def test_a_socket_that_is_reset_ends_at_once(base_url: str, fake: Taking) -> None:
    url = base_url.replace("http", "ws") + "/graphql"
    connection = narrow_socket(url)
    async with dial(url, sock=connection) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)

        reset_on_close(connection)
        client.transport.abort()

        await nothing_is_left(base_url, fake)


async def test_an_event_stream_whose_packets_are_lost_is_noticed(base_url: str, fake: Taking) -> None:
    with stream(base_url) as connection:
        await until(lambda: fake.followers == 1)

        lose_packets(connection)

        await nothing_is_left(base_url, fake)


async def test_an_event_stream_that_is_reset_ends_at_once(base_url: str, fake: Taking) -> None:
    connection = stream(base_url)
    await until(lambda: fake.followers == 1)

    reset_on_close(connection)
    connection.close()

    await nothing_is_left(base_url, fake)


@contextmanager
def relay(base_url: str) -> Iterator[tuple[str, threading.Event]]:
    """Pass bytes both ways until told to fall silent; then take them and pass nothing on."""
    target = urlsplit(base_url)
    silence = threading.Event()
    ends: list[socket.socket] = []

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        while True:
            try:
                piece = source.recv(65_536)
                if not piece:
                    return
                if not silence.is_set():
                    sink.sendall(piece)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            client, _ = listener.accept()
            server = socket.create_connection((target.hostname, target.port))
            ends.extend((client, server))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pass_on, args=pair, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", silence
        finally:
            for end in ends:
                end.close()


class Pinged(ClientConnection):
    """Counts the pings of the server's own protocol, which it answers as every client does."""

    pings = 0

    def process_event(self, event: Frame) -> None:
        self.pings += getattr(event, "opcode", None) is Opcode.PING
        super().process_event(event)


async def test_only_a_client_that_is_silent_is_pinged(base_url: str) -> None:
    url = base_url.replace("http", "ws") + "/graphql"
    async with (
        dial(url, create_connection=Pinged) as silent,
        dial(url, create_connection=Pinged) as talking,
    ):
        for _ in range(20):
            await say(talking, type="pong")
            await asyncio.sleep(0.1)

        assert silent.pings >= 3
        assert talking.pings == 0
        await asyncio.sleep(1)
        assert talking.pings >= 1
