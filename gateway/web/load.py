"""How much is under way at once. What would be too much is refused at once.

Only for the processor a short queue is kept, see ``turnstile.py``.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from gateway.domain.errors import Overloaded
from gateway.graphql.answers import Answer
from gateway.web.turnstile import Turnstile

RETRY_SECONDS = 1.0
"""When to come again: an operation takes less."""

RETRY = {"Retry-After": "1"}
"""The same as a header."""


def too_much() -> Overloaded:
    """Give the error of whoever is refused."""
    return Overloaded("The gateway has too much to do.", RETRY_SECONDS)


class Load:
    """The operations under way, over all callers and transports. Subscriptions do not count."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("max_operations must be at least 1.")
        self._limit = limit
        self._under_way = 0
        self.turns = Turnstile()
        """Where operations wait for the processor."""

    @property
    def under_way(self) -> int:
        """How many operations are under way."""
        return self._under_way

    @property
    def has_room(self) -> bool:
        """Whether one more operation could be taken on; to be asked before anything of it is read."""
        return self._under_way + self.turns.waiting < self._limit and not self.turns.is_full

    def check(self) -> None:
        """Refuse early.

        Raises:
            Overloaded: there is no room for one more.
        """
        if not self.has_room:
            raise too_much()

    @contextmanager
    def place(self) -> Generator[None]:
        """Hold a place while an operation runs.

        Raises:
            Overloaded: no place is free; nothing was begun.
        """
        if self._under_way >= self._limit:
            raise too_much()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


def answered_nothing_for_load(answer: Answer) -> bool:
    """Tell whether there was too much to do for every part of an answer, so that HTTP can say it too."""
    codes = answer.codes
    if not codes or any(code != Overloaded.code for code in codes):
        return False
    data: Mapping[str, Any] = answer.body.get("data") or {}
    return all(value is None for value in data.values())
