"""Pieces of a body between the task that reads them and the one that takes them: never more than one waits.

Either side can end it. The reader leaves, and the pump notices at its next piece; the pump finishes, and
the reader gets what is left and then the end, or the reason why there is no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from gateway.domain.errors import UpstreamError


class Pipe:
    """One body's way. ``left`` says that nobody takes pieces any more."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | UpstreamError | None] = asyncio.Queue(maxsize=1)
        self._on_leave: Callable[[], None] | None = None
        self._over = False
        self.left = False

    async def put(self, piece: bytes) -> None:
        """Hand over a piece, as soon as the one before it was taken or the reader has left."""
        if not self.left:
            await self._waiting.put(piece)

    async def finish(self, error: UpstreamError | None, stopped: UpstreamError) -> None:
        """Say that nothing follows: the body has ended, or why it has not; ``stopped`` if the reader left."""
        if not self.left:
            await self._waiting.put(error)
        if self.left:
            self._drain()
            self._waiting.put_nowait(stopped)

    def on_leave(self, interrupt: Callable[[], None]) -> None:
        """Call this when the reader leaves, to wake a pump that waits for the upstream."""
        self._on_leave = interrupt
        if self.left:
            interrupt()

    def leave(self) -> None:
        """Take no more pieces. A pump that waits to hand one over goes on, and stops."""
        if self.left:
            return
        self.left = True
        self._drain()
        if self._on_leave is not None:
            self._on_leave()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the pieces in order.

        Raises:
            UpstreamError: the body has not come to its end.
        """
        while not self._over:
            piece = await self._waiting.get()
            if isinstance(piece, bytes):
                yield piece
                continue
            self._over = True
            if piece is not None:
                raise piece

    def _drain(self) -> None:
        while not self._waiting.empty():
            self._waiting.get_nowait()
