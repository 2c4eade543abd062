"""How many streams are open: WebSockets and event streams together, over all callers and for each one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from gateway.domain.errors import LimitExceeded


class ServerFull(LimitExceeded):
    """The process holds as many streams as it may, whoever opened them."""


class Streams:
    """Counts streams; those that are open are never touched. ``per_caller`` None: any number."""

    def __init__(self, at_most: int, per_caller: int | None = None) -> None:
        if at_most < 1 or (per_caller is not None and per_caller < 1):
            raise ValueError("At least one stream must be allowed.")
        self._at_most = at_most
        self._per_caller = per_caller
        self._open = 0
        self._callers: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._open

    @contextmanager
    def room(self) -> Generator[None]:
        """Hold the place of one stream.

        Raises:
            ServerFull: there is none left.
        """
        if self._open >= self._at_most:
            raise ServerFull("No more streams can be opened here now.")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    @contextmanager
    def room_for(self, caller: str) -> Generator[None]:
        """Hold one of a caller's places.

        Raises:
            LimitExceeded: they hold all that they may.
        """
        if self._per_caller is not None and self._callers[caller] >= self._per_caller:
            raise LimitExceeded(f"One caller may open at most {self._per_caller} streams at once.")
        self._callers[caller] += 1
        try:
            yield
        finally:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]
