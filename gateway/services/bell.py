"""Wakes all who wait for one conversation to move: a few in each round of the loop.

To wake ten thousand at once would keep everybody else waiting until all of them had their turn, and what
they make on the way would lie about by the hundred thousand, where Python's collector goes through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TypeAlias

Undisturbed: TypeAlias = Callable[[int], AbstractContextManager[None]]
"""Keeps away what would stop everybody again and again while so many are woken."""

_AT_A_TIME = 100
"""Listeners woken in one round: some 5 ms in which nobody else is served."""


class Bell:
    """Who waits, and how to wake them."""

    def __init__(self, undisturbed: Undisturbed = nullcontext) -> None:
        self._undisturbed = undisturbed
        self._waiting: dict[asyncio.Future[None], None] = {}  # a set that knows who came first

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def next(self) -> asyncio.Future[None]:
        """Give what is done when it is rung. Whoever waits for it has to ``leave`` then, however it ends."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        return waiter

    def leave(self, waiter: asyncio.Future[None]) -> None:
        """Wait no longer."""
        self._waiting.pop(waiter, None)

    async def wait(self, at_most: float) -> None:
        """Wait until it is rung, or the time (seconds) is up."""
        waiter = self.next()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(at_most):
                    await waiter
        finally:
            self.leave(waiter)

    async def ring(self) -> None:
        """Wake all who wait, those first who came first; who comes meanwhile waits for the next time."""
        waiting, self._waiting = self._waiting, {}
        with self._undisturbed(len(waiting)):
            for number, waiter in enumerate(waiting, 1):
                if not waiter.done():
                    waiter.set_result(None)
                if number % _AT_A_TIME == 0:
                    await asyncio.sleep(0)
