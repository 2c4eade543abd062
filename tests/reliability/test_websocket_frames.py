"""WebSocket frames as no library would send them: the socket they came on closes, and the others go on."""

from __future__ import annotations

import socket
import struct
import time
import zlib
from contextlib import contextmanager

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.api.fakes import FakeInstance, web_of
from tests.serving import serve

DEFLATED, FINAL = 0x40, 0x80
TEXT, BINARY, CLOSE, PING, PONG, MORE = 1, 2, 8, 9, 10, 0


def frame(kind: int, data: bytes, *, bits: int = FINAL, masked: bool = True) -> bytes:
    size, mask = len(data), 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", bits | kind, mask | size)
    elif size < 65_536:
        head = struct.pack("!BBH", bits | kind, mask | 126, size)
    else:
        head = struct.pack("!BBQ", bits | kind, mask | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + data  # a mask of zeros changes nothing


class Raw:
    """A socket after the upgrade."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.wire = socket.create_connection((host, int(port)), timeout=10)
        self.wire.sendall(
            b"GET /gh/sb-demo/graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        )
        self.head = b""
        while b"\r\n\r\n" not in self.head:
            self.head += self.wire.recv(1)

    def read(self) -> tuple[int, bytes]:
        """Give the next frame of the server's."""
        first, second = self._take(2)
        size = second
        if second == 126:
            (size,) = struct.unpack("!H", self._take(2))
        return first & 0x0F, self._take(size)

    def close_code(self) -> int:
        while True:
            kind, data = self.read()
            if kind == CLOSE:
                return struct.unpack("!H", data[:2])[0]

    def _take(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            piece = self.wire.recv(size - len(got))
            assert piece, "closed without a word"
            got += piece
        return got


@pytest.fixture(scope="module")
def socket_url():
    options = {"ws_max_size": 512 * 1024, "ws_per_message_deflate": False}  # as the command line sets them
    with serve(web_of(FakeInstance()), **options) as url:
        yield url


@contextmanager
def raw(url: str):
    made = Raw(url)
    with made.wire:
        yield made


def bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join(packer.compress(b"a" * 1_000_000) for _ in range(100)) + packer.flush(zlib.Z_SYNC_FLUSH)


INIT = b'{"type": "connection_init"}'


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (frame(TEXT, bomb(), bits=FINAL | DEFLATED), 1002),
        (frame(BINARY, INIT), 4400),
        (frame(TEXT, INIT, masked=False), 1002),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"x", bits=0), 1002),
        (frame(MORE, b"x"), 1002),
        (frame(TEXT, b"x", bits=0) + frame(TEXT, b"x"), 1002),
        (frame(7, b"x"), 1002),
        (struct.pack("!BBQ", FINAL | TEXT, 0xFF, 2**62) + b"\0" * 4, 1009),
        (struct.pack("!BBQ", FINAL | TEXT, 0xFF, 512 * 1024 + 1) + b"\0" * 4, 1009),
        (frame(TEXT, b"{", bits=0) + frame(MORE, b" " * 60_000, bits=0) * 9, 1009),
        (frame(CLOSE, b"\x00"), 1002),
    ],
    ids=[
        "bomb",
        "binary",
        "unmasked",
        "not utf-8",
        "long ping",
        "ping in pieces",
        "piece of nothing",
        "two at once",
        "unknown kind",
        "2^62 bytes",
        "too long",
        "pieces without end",
        "half a close code",
    ],
)
def test_a_frame_that_breaks_the_rules_closes_its_own_socket(socket_url: str, frames: bytes, code: int):
    with raw(socket_url) as one, raw(socket_url) as other:
        assert b"permessage-deflate" not in one.head
        one.wire.sendall(frames)

        assert one.close_code() == code
        other.wire.sendall(frame(TEXT, INIT))
        assert other.read() == (TEXT, b'{"type":"connection_ack"}')


def test_a_message_in_pieces_is_one_message_and_a_ping_may_come_between(socket_url: str):
    with raw(socket_url) as one:
        one.wire.sendall(frame(TEXT, INIT[:9], bits=0) + frame(PING, b"?") + frame(MORE, INIT[9:]))

        assert one.read() == (PONG, b"?")
        assert one.read() == (TEXT, b'{"type":"connection_ack"}')


def test_a_flood_of_pings_keeps_nobody_waiting(socket_url: str):
    """Of both kinds, read by nobody for a while; others are served meanwhile, and the pongs are all there."""
    count = 2_000
    with raw(socket_url) as one:
        one.wire.sendall(frame(TEXT, INIT))
        one.read()
        one.wire.sendall(frame(PING, b"") * count + frame(TEXT, b'{"type":"ping"}') * 100)
        began = time.monotonic()
        assert httpx2.get(f"{socket_url}/healthz").status_code == 200
        waited = time.monotonic() - began
        kinds = [one.read()[0] for _ in range(count + 100)]

    assert kinds.count(PONG) == count
    assert waited < 5


@pytest.mark.parametrize("said", ["graphql-ws", "graphql-transport-ws-2", "GRAPHQL-TRANSPORT-WS", ""])
def test_no_older_language_is_spoken(socket_url: str, said: str):
    url = socket_url.replace("http", "ws", 1) + "/graphql"
    with connect(url, subprotocols=[said] if said else None) as client:  # type: ignore[list-item]
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=5)
        assert client.close_code == 4406
