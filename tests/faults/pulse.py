"""How long this process was kept from running: what a busy machine adds to every time that is measured."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

BEAT = 0.05
"""Seconds between two beats."""

STALL = 0.1
"""Seconds lost without which nothing came too late: a send refuses to begin with little time left."""


class Pulse:
    """Beats in the loop of the test; beats that come late are time that nobody in the process had."""

    def __init__(self) -> None:
        self._lost = 0.0
        self._due = time.monotonic() + BEAT

    @property
    def lost(self) -> float:
        """The seconds lost so far, those of the beat that is overdue included."""
        return self._lost + max(0.0, time.monotonic() - self._due)

    @contextlib.asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Beat until the block ends."""
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            self._due = time.monotonic() + BEAT
            await asyncio.sleep(BEAT)
            self._lost += max(0.0, time.monotonic() - self._due)
