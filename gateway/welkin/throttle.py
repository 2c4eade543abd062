"""How long one instance of Welkin has asked to be left alone."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_SECONDS = 60.0
"""After so long one may ask again, whatever Welkin said: a slip of an hour must not close an instance."""


class Throttle:
    """What the last 429 with a Retry-After said. ``clock`` gives seconds, and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_until = self._until = 0.0

    def slow_down(self, seconds: float) -> None:
        """Take note of what Welkin asked for."""
        now = self._clock()
        until = now + min(seconds, LONGEST_SECONDS)
        if until > self._until:
            self._until, self._asked_until = until, now + seconds

    @property
    def wait(self) -> float | None:
        """What a caller is told to wait, in seconds; None: a call may go out."""
        now = self._clock()
        return self._asked_until - now if now < self._until else None
