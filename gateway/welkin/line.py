"""The places of one instance: a bulkhead with a line before it that has an end.

Each instance has its own, so that one that hangs takes no place from another. Who finds the line full
is turned away at once: waiting longer than a deadline helps nobody.
"""

from __future__ import annotations

import asyncio

LONGEST = 4
"""As many times the places may wait."""


class LineFull(Exception):
    """So many wait that one more would wait in vain."""


class Line:
    """So many ``places``, and four times as many who wait for one, in the order in which they came."""

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._longest = LONGEST * places
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiting

    async def take(self, deadline: float) -> None:
        """Wait for a place until the deadline, a time of the running event loop; ``leave`` gives it back.

        Whoever is cancelled while it waits, or whose deadline passes, is in the line no more.

        Raises:
            LineFull: too many wait already.
            TimeoutError: the deadline has passed.
        """
        if self._places.locked() and self._waiting >= self._longest:
            raise LineFull
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._places.acquire()
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        """Give a place back."""
        self._places.release()
