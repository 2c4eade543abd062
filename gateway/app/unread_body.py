"""Answers that are given before the whole body of their request was read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import ref

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Connection(Protocol):
    """What an answer is sent over."""

    transport: asyncio.Transport

    def write(self, data: bytes) -> None:
        """Send bytes."""
        ...

    def part(self) -> None:
        """Close once everything written is on its way."""
        ...


class Outlet(asyncio.Transport):
    """What an answer is written to: the connection, which it does not close before its body was seen to."""

    def __init__(self, connection: Connection, cycle: RequestResponseCycle) -> None:
        super().__init__()
        self._connection = connection
        self._cycle = ref(cycle)  # which holds this: a circle would outlive the answer

    def write(self, data: Any) -> None:
        """Send bytes."""
        self._connection.write(data)

    def is_closing(self) -> bool:
        """Tell whether the connection ends."""
        return self._connection.transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell of the connection."""
        return self._connection.transport.get_extra_info(name, default)

    def abort(self) -> None:
        """End the connection at once."""
        self._connection.transport.abort()

    def close(self) -> None:
        """End the connection, once its client can have read the answer."""
        cycle = self._cycle()
        if cycle is not None and cycle.response_complete and cycle.more_body:
            self._connection.part()
        else:
            self._connection.transport.close()


@dataclass(frozen=True, slots=True)
class Careful:
    """The application; what it answers without having read the whole body ends the connection."""

    app: Any
    cycle: RequestResponseCycle
    small_body: int

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run, and watch how the answer begins."""

        async def tell(message: Any) -> None:
            if message["type"] == "http.response.start" and self.cycle.more_body and not self._is_small():
                self.cycle.keep_alive = False
            await send(message)

        await self.app(scope, receive, tell)

    def _is_small(self) -> bool:
        announced = [value for name, value in self.cycle.scope["headers"] if name == b"content-length"]
        return len(announced) == 1 and announced[0].isdigit() and int(announced[0][:20]) <= self.small_body
