"""A way to a server that can be taken away, so that connecting is refused, and given back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.listening import Port

AWAY_SECONDS = 0.2
"""How long it is away where it comes back by itself."""


@dataclass
class Line:
    """Forwards a port of its own to a server. It goes before call ``away_from``, for ever or once."""

    away_from: int
    for_ever: bool
    url: str = ""
    _to: tuple[str, int] = ("", 0)
    _back: asyncio.Task[None] | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    ends: set[asyncio.Transport] = field(default_factory=set)
    connecting: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._port = Port(lambda: _End(self))

    @contextlib.asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[None]:
        """Forward to the server at this address until the block ends."""
        address = urlsplit(url)
        self._to = (address.hostname or "", address.port or 0)
        self._loop = asyncio.get_running_loop()
        self.give_back()
        self.url = f"http://127.0.0.1:{self._port.number}"
        try:
            yield
        finally:
            if self._back is not None:
                await self._back
            self._port.close()
            await self._port.settle()
            await asyncio.gather(*self.connecting)
            while self.ends:
                for end in self.ends:
                    end.abort()
                await asyncio.sleep(0)

    async def ends_before(self, call: int) -> bool:
        """Take the line away if this call shall not get through; tell whether it was. Any loop."""
        if call != self.away_from or self._loop is None:
            return False
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.take_away(), self._loop))
        return True

    async def take_away(self) -> None:
        """Refuse connections from now on."""
        self._port.close()
        if not self.for_ever:
            self._back = asyncio.create_task(self._come_back())

    def give_back(self) -> None:
        """Take connections, on the same port as before."""
        self._port.open()

    async def _come_back(self) -> None:
        await asyncio.sleep(AWAY_SECONDS)
        self.give_back()

    async def _connect(self, end: _End) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, end.other = await loop.create_connection(lambda: _End(self, end), *self._to)
        except OSError:
            end.transport.close()
        else:
            end.transport.resume_reading()


class _End(asyncio.Protocol):
    """One end of a connection that is forwarded: what comes in goes out at the other."""

    transport: asyncio.Transport

    def __init__(self, line: Line, other: _End | None = None) -> None:
        self.line = line
        self.other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.line.ends.add(transport)
        if self.other is None:
            transport.pause_reading()
            connecting = asyncio.create_task(self.line._connect(self))
            self.line.connecting.add(connecting)
            connecting.add_done_callback(self.line.connecting.discard)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.line.ends.discard(self.transport)
        if self.other is not None:
            self.other.transport.close()
