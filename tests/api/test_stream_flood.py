"""A client that asks without end and takes no answer is not read any further, whoever it is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gateway.app.http_protocol import PatientHttp
from gateway.web.options import WebOptions
from gateway.web.websocket_protocol import PatientSocket
from tests.api.fakes import FakeInstance, web_of
from tests.api.stalling import narrow_socket
from tests.serving import serve

PING = b"\x89\xfd" + bytes(4) + b"p" * 125
PONG_BYTES = 2 + 125
FLOOD_BYTES = 24 * 1024 * 1024
BUFFERS_BYTES = 12 * 1024 * 1024
"""More than what the kernel keeps between a client and a server that does not read: 4 to 6 MB for each."""

HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


@pytest.fixture(params=["asyncio", "uvloop"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with serve(
        web_of(FakeInstance(), options=WebOptions(connection_init_seconds=60)),
        http=PatientHttp,
        ws=PatientSocket,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        loop=request.param,
    ) as url:
        yield url


def upgraded(url: str) -> socket.socket:
    connection = narrow_socket(url, 65_536)
    connection.settimeout(10)
    connection.sendall(HANDSHAKE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return connection


def test_a_flood_of_pings_whose_answers_nobody_reads_is_not_read(url: str):
    """No credentials are needed to get this far."""
    with upgraded(url) as connection:
        connection.settimeout(1)
        block, sent = PING * 1_000, 0
        with suppress(TimeoutError):
            while sent < FLOOD_BYTES:
                sent += connection.send(block[sent % len(PING) :])

        assert sent < BUFFERS_BYTES

        # Whoever takes the answers after all is read again, and gets every one of them.
        connection.settimeout(10)
        expected, received = sent // len(PING) * PONG_BYTES, 0
        while received < expected:
            received += len(connection.recv(262_144))
        assert received == expected
