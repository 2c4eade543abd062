"""Turns: one holder at a time for each name, in the order of asking.

Nothing is kept of a name that nobody wants.
"""

from __future__ import annotations

import asyncio


class Turns:
    """A lock per name."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    async def take(self, name: str) -> None:
        """Wait for the turn. Whoever is cancelled while waiting does not hold it."""
        lock, wanted = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = (lock, wanted + 1)
        try:
            await lock.acquire()
        except BaseException:
            self._leave(name)
            raise

    def give_back(self, name: str) -> None:
        """End the turn."""
        self._locks[name][0].release()
        self._leave(name)

    def _leave(self, name: str) -> None:
        lock, wanted = self._locks.pop(name)
        if wanted > 1:
            self._locks[name] = (lock, wanted - 1)
