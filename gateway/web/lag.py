"""How late the event loop comes to what is due: what every request waits for, however short it is."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

from gateway.web.waiting import settle

_BEAT_SECONDS = 0.1
_BEATS = 150
"""Kept, so that whoever asks every 15 seconds misses no delay."""


class LoopLag:
    """Looks at the clock again and again while it is entered."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=_BEATS)
        self._beating: asyncio.Task[None] | None = None

    @property
    def seconds(self) -> float:
        """The longest delay of late."""
        return max(self._late, default=0.0)

    async def __aenter__(self) -> None:
        """Begin to look."""
        self._beating = asyncio.create_task(self._beat())

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Look no more."""
        if self._beating is not None:
            await settle([self._beating])

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self._late.append(max(0.0, loop.time() - due))
