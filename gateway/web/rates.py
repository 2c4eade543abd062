"""How many operations a principal may run: a bucket of tokens for each, kept in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.graphql.limits import TooManyOperations

MAX_BUCKETS = 10_000
"""Principals remembered. The one that was silent longest is forgotten, and its bucket full again."""

_MINUTE = 60.0


class Rates:
    """Buckets by principal; each holds a minute's worth and fills evenly. Without a limit all pass."""

    def __init__(self, per_minute: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        if per_minute is not None and per_minute < 1:
            raise ValueError("operations_per_minute must be at least 1.")
        self._most = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Count the principals remembered."""
        return len(self._buckets)

    def take(self, principal_id: str) -> None:
        """Count one operation.

        Raises:
            TooManyOperations: the bucket is empty; the error says when it holds a token again.
        """
        if self._most is None:
            return
        now = self._clock()
        tokens, since = self._buckets.pop(principal_id, (float(self._most), now))
        tokens = min(float(self._most), tokens + (now - since) * self._most / _MINUTE)
        enough = tokens >= 1
        self._buckets[principal_id] = (tokens - 1 if enough else tokens, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if not enough:
            wait = round((1 - tokens) * _MINUTE / self._most, 3)
            raise TooManyOperations(f"At most {self._most} operations may be run in a minute.", wait)
