"""How much is under way at once. What would be too much is refused at once.

Only for the processor a short queue is kept, see ``turnstile.py``.

The places are those of all instances together, but a quarter of them is kept, in equal parts, for the
instances each: operations that wait for one that hangs leave room for the others'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from gateway.domain.errors import Overloaded
from gateway.domain.model import InstanceName
from gateway.graphql.answers import Answer
from gateway.web.turnstile import Turnstile

RETRY_SECONDS = 1.0
"""When to come again: an operation takes less."""

RETRY = {"Retry-After": "1"}
"""The same as a header."""


_KEPT = 4
"""One place in so many is kept for an instance of its own."""


def too_much() -> Overloaded:
    """Give the error of whoever is refused."""
    return Overloaded("The gateway has too much to do.", RETRY_SECONDS)


class Load:
    """The operations under way, over all callers and transports. Subscriptions do not count."""

    def __init__(self, limit: int, instances: int = 1) -> None:
        if limit < 1:
            raise ValueError("max_operations must be at least 1.")
        self._limit = limit
        self._own = limit // (_KEPT * instances) if instances > 1 else 0
        self._common = limit - instances * self._own
        self._under_way = 0
        self._by_instance: Counter[InstanceName] = Counter()
        self._in_common = 0
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
    def place(self, instance: InstanceName) -> Generator[None]:
        """Hold a place while an operation on an instance runs.

        Raises:
            Overloaded: no place is free for that instance; nothing was begun.
        """
        in_common = self._by_instance[instance] >= self._own
        if in_common and self._in_common >= self._common:
            raise too_much()
        self._take(instance, 1)
        try:
            yield
        finally:
            self._take(instance, -1)

    def _take(self, instance: InstanceName, one: int) -> None:
        before = max(0, self._by_instance[instance] - self._own)
        self._under_way += one
        self._by_instance[instance] += one
        self._in_common += max(0, self._by_instance[instance] - self._own) - before


def answered_nothing_for_load(answer: Answer) -> bool:
    """Tell whether there was too much to do for every part of an answer, so that HTTP can say it too."""
    codes = answer.codes
    if not codes or any(code != Overloaded.code for code in codes):
        return False
    data: Mapping[str, Any] = answer.body.get("data") or {}
    return all(value is None for value in data.values())
