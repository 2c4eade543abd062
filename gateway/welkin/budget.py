"""The retry budget of one instance: so that retries never become the load that keeps Welkin down."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.welkin.recent import Recent

WINDOW_SECONDS = 10.0
SHARE = 0.2
AT_LEAST = 3


class RetryBudget:
    """Allows as many retries as a fifth of the calls of the last ten seconds, and always three."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = Recent(WINDOW_SECONDS, clock)
        self._retries = Recent(WINDOW_SECONDS, clock)

    def called(self) -> None:
        """Note a call that goes out for the first time."""
        self._calls.add()

    def spend(self) -> bool:
        """Take leave for one retry, if there is one left."""
        if self._retries.count >= max(AT_LEAST, int(SHARE * self._calls.count)):
            return False
        self._retries.add()
        return True
