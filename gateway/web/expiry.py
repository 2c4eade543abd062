"""The moment at which a caller's proof ends, for answers that could outlast it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

LOOK_SECONDS = 5.0
"""How long to sleep at most: a clock that was set forward is noticed after this."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """An instant in Unix seconds; None never comes."""

    at: float | None
    now: Callable[[], float]

    @property
    def passed(self) -> bool:
        """Tell whether the proof has ended."""
        return self.at is not None and self.now() >= self.at

    async def wait(self) -> None:
        """Wait until the proof has ended."""
        if self.at is None:
            await asyncio.get_running_loop().create_future()
            return
        while (left := self.at - self.now()) > 0:  # noqa: ASYNC110 -- it is the clock that is waited for
            await asyncio.sleep(min(left, LOOK_SECONDS))
