"""A caller over HTTP that costs next to nothing: one connection, one request after the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer with its head as it came."""

    status: int
    head: bytes
    body: bytes


@dataclass(slots=True)
class Caller:
    """A connection. It reads answers that tell their length, and no others."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    open: bool = True

    @classmethod
    async def dial(cls, host: str) -> Caller:
        """Connect.

        Raises:
            OSError: nobody listens.
        """
        name, _, port = host.partition(":")
        return cls(*await asyncio.open_connection(name, int(port), limit=_LARGEST))

    async def ask(self, request: bytes) -> Answered:
        """Send a request as it is and read its answer.

        Raises:
            OSError: the connection ended before the answer did.
        """
        self.writer.write(request)
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = dict(line.partition(b": ")[::2] for line in head.lower().split(b"\r\n")[1:])
            body = await self.reader.readexactly(int(lines.get(b"content-length", b"0")))
        except asyncio.IncompleteReadError as error:
            self.close()
            raise ConnectionResetError("The answer was cut off.") from error
        if lines.get(b"connection") == b"close":
            self.close()
        return Answered(int(head[9:12]), head, body)

    def close(self) -> None:
        """End the connection."""
        self.open = False
        self.writer.close()
