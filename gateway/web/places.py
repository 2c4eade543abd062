"""Places that each caller may hold at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from gateway.domain.errors import LimitExceeded


class PlacesByCaller:
    """So many places for each caller; None: any number."""

    def __init__(self, limit: int | None, what: str) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"At least one of the {what} must be allowed.")
        self._limit = limit
        self._what = what
        self._taken: Counter[str] = Counter()

    @contextmanager
    def place(self, caller: str) -> Generator[None]:
        """Hold one of a caller's places.

        Raises:
            LimitExceeded: the caller holds them all.
        """
        if self._limit is not None and self._taken[caller] >= self._limit:
            raise LimitExceeded(f"At most {self._limit} {self._what} may be under way at once.")
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]
