"""Clients of the gateway's live doors that cost next to nothing: one protocol object for each connection.

They speak as much of WebSocket (RFC 6455) and of server-sent events as the gateway does: unfragmented
frames without extensions, chunked answers. Anything else ends the connection and is told.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import orjson

Heard = Callable[[dict[str, Any]], None]
"""Takes one event: ``{"data": …}`` or ``{"errors": …}``."""

Ended = Callable[[str], None]
"""Takes why a connection ended; called once."""

_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_SHORT, _LONG = 126, 127


class Live(asyncio.Protocol, ABC):
    """What both kinds of connection share."""

    __slots__ = ("_buffer", "_ended", "_heard", "_request", "open", "transport")

    def __init__(self, request: bytes, heard: Heard, ended: Ended) -> None:
        self._request = request
        self._heard = heard
        self._ended: Ended | None = ended
        self._buffer = b""
        self.open = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what is wanted."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self.transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the other side has gone, unless the end has been told."""
        self.end("lost" if exc is None else type(exc).__name__)

    def data_received(self, data: bytes) -> None:
        """Read what is whole and keep the rest."""
        self._buffer = self._buffer + data if self._buffer else data
        if not self.open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self._buffer = rest
            self._opened(head)
        if self.open:
            self._read()

    def end(self, why: str) -> None:
        """Close the connection at once; nothing is told of after this."""
        ended, self._ended = self._ended, None
        if self.transport is not None:
            self.transport.abort()
        if ended is not None:
            ended(why)

    def hold(self) -> None:
        """Stop reading, as a slow client does."""
        if self.transport is not None and self._ended is not None:
            self.transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        if self.transport is not None and self._ended is not None:
            self.transport.resume_reading()

    @abstractmethod
    def _opened(self, head: bytes) -> None:
        """Take the head of the answer, the first thing that comes."""

    @abstractmethod
    def _read(self) -> None:
        """Take what has come since."""


class WebSocket(Live):
    """One socket with one operation on it."""

    __slots__ = ("_subscribe", "_subscribed")

    def __init__(
        self,
        host: str,
        path: str,
        operation: dict[str, Any],
        heard: Heard,
        ended: Ended,
        *,
        subscribed: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(_upgrade(host, path), heard, ended)
        self._subscribed = subscribed
        self._subscribe = _say({"id": "1", "type": "subscribe", "payload": operation})

    def _opened(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 101"):
            self.end(head[:16].decode("latin-1"))
            return
        self.open = True
        self._write(_say({"type": "connection_init"}))

    def _read(self) -> None:
        buffer, place = self._buffer, 0
        while self._ended is not None and len(buffer) >= place + 2:
            length, start = buffer[place + 1], place + 2
            if length in (_SHORT, _LONG):
                start += 2 if length == _SHORT else 8
                if len(buffer) < start:
                    break
                length = int.from_bytes(buffer[place + 2 : start], "big")
            if len(buffer) < start + length:
                break
            opcode, place, payload = buffer[place], start + length, buffer[start : start + length]
            self._frame(opcode, payload)
        self._buffer = buffer[place:]

    def _frame(self, opcode: int, payload: bytes) -> None:
        match opcode:
            case 0x81:
                self._message(payload)
            case 0x89:
                self._write(_frame(_PONG, payload))
            case 0x88:
                self.end(f"closed {int.from_bytes(payload[:2], 'big')}")
            case _:
                self.end(f"frame {opcode:#x}")

    def _message(self, payload: bytes) -> None:
        message = orjson.loads(payload)
        match message["type"]:
            case "next":
                self._heard(message["payload"])
            case "connection_ack":
                self._write(self._subscribe)
                if self._subscribed is not None:
                    self._subscribed()
            case "ping":
                self._write(_say({"type": "pong"}))
            case "error":
                self.end(f"error {message['payload'][0].get('extensions', {}).get('code')}")
            case other:
                self.end(other)

    def _write(self, frame: bytes) -> None:
        if self.transport is not None and self._ended is not None:
            self.transport.write(frame)


class EventStream(Live):
    """One operation over server-sent events."""

    __slots__ = ("_text", "last_id")

    def __init__(
        self,
        host: str,
        path: str,
        operation: dict[str, Any],
        heard: Heard,
        ended: Ended,
        *,
        last_id: str | None = None,
    ) -> None:
        body = json.dumps(operation).encode()
        resume = f"last-event-id: {last_id}\r\n" if last_id else ""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{resume}\r\n"
        )
        super().__init__(head.encode() + body, heard, ended)
        self._text = b""
        self.last_id = last_id

    def _opened(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 200"):
            self.end(head[:16].decode("latin-1"))
            return
        self.open = True

    def _read(self) -> None:
        while self._ended is not None:
            size, found, rest = self._buffer.partition(b"\r\n")
            if not found or len(rest) < (length := int(size, 16)) + 2:
                return
            self._text, self._buffer = self._text + rest[:length], rest[length + 2 :]
            if length == 0:
                self.end("complete")
            self._events()

    def _events(self) -> None:
        *events, self._text = self._text.split(b"\n\n")
        for event in events:
            if self._ended is None:
                return
            lines = dict(line.partition(b": ")[::2] for line in event.split(b"\n") if line)
            if b"id" in lines:
                self.last_id = lines[b"id"].decode()
            if lines.get(b"event") == b"next":
                self._heard(orjson.loads(lines[b"data"]))


async def dial(host: str, make: Callable[[], Live]) -> Live:
    """Open the connection of a client.

    Raises:
        OSError: nobody listens.
    """
    name, _, port = host.partition(":")
    _, protocol = await asyncio.get_running_loop().create_connection(make, name, int(port))
    return protocol


def _upgrade(host: str, path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        f"sec-websocket-key: {_KEY.decode()}\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
    ).encode()


def _say(message: dict[str, Any]) -> bytes:
    return _frame(_TEXT, json.dumps(message, separators=(",", ":")).encode())


def _frame(opcode: int, payload: bytes) -> bytes:
    """Build a client's frame. The mask is zero, so that the payload stays as it is."""
    size = len(payload)
    if size < _SHORT:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | _SHORT]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | _LONG]) + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + b"\0\0\0\0" + payload
