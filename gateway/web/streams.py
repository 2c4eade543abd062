"""How many streams are open: WebSockets and event streams together, over all callers and for each one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

from gateway.domain.errors import LimitExceeded
from gateway.web.places import PlacesByCaller


class ServerFull(LimitExceeded):
    """The process holds as many streams as it may, whoever opened them."""


class Streams:
    """Counts streams; those that are open are never touched. ``per_caller`` None: any number."""

    def __init__(self, at_most: int, per_caller: int | None = None) -> None:
        if at_most < 1:
            raise ValueError("At least one stream must be allowed.")
        self._at_most = at_most
        self._open = 0
        self._callers = PlacesByCaller(per_caller, "streams")

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

    def room_for(self, caller: str) -> AbstractContextManager[None]:
        """Hold one of a caller's places.

        Raises:
            LimitExceeded: they hold all that they may.
        """
        return self._callers.place(caller)
