"""A server of bytes on a loopback port, for what no well-behaved server does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Script = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]


@dataclass
class Wire:
    """Where the server listens, and the heads of the requests that it read."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    open: int = 0
    connections: int = 0


@asynccontextmanager
async def speak(script: Script) -> AsyncIterator[Wire]:
    """Run ``script`` for every request; a connection ends when it raises or closes the writer."""
    wire = Wire()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire.open += 1
        wire.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [
                    line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                ]
                body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
                wire.requests.append(head + body)
                await script(writer, head)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            wire.open -= 1
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.close()


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Write a whole response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def saying(data: bytes) -> Script:
    """Answer every request with these bytes."""

    async def script(writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(data)

    return script
