"""A port that can be given up while connections come in, and taken again.

An ``asyncio.Server`` that is closed between a connection's coming and its transport's making lets that
transport lie about, open, until the garbage collector complains of it in whatever test is running then.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable


class Port:
    """A port of the loopback, and a protocol for each connection to it. For one event loop."""

    def __init__(self, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        self.number = 0
        """What it is, from the first `open` on."""
        self._protocol = protocol
        self._listener: socket.socket | None = None
        self._taking: set[asyncio.Task[object]] = set()

    def open(self) -> None:
        """Take connections, on the same port as before if there was one."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.number))
            self._listener.setblocking(False)
            self.number = self._listener.getsockname()[1]
            asyncio.get_running_loop().add_reader(self._listener, self._take, self._listener)

    def close(self) -> None:
        """Refuse connections from now on; those that were taken go on."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def settle(self) -> None:
        """Wait until every connection that was taken has its transport."""
        await asyncio.gather(*self._taking)

    def _take(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):  # whoever connected has gone again
            taken, _ = listener.accept()
            taken.setblocking(False)
            loop = asyncio.get_running_loop()
            taking = loop.create_task(loop.connect_accepted_socket(self._protocol, taken))
            self._taking.add(taking)
            taking.add_done_callback(self._taking.discard)
