"""The generations of scopes: a number for each, that only ever grows, within bounds on memory.

A scope that never changed has generation 0. Of those that changed, the latest are listed. One that is
forgotten falls back to the *floor* of its bucket, raised to its generation first: so no scope's
generation ever goes back, neither to one that a copy of before its change may be kept under, nor
below that of the copies of now. The floor is that of a few other scopes too, whose copies it makes
worthless; there are so many buckets that this is rare. No clock is relied on: how long a read may
take does not matter.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict

_MAX_LISTED = 100_000
_BUCKETS = 1 << 18
_LONG_AGO = float("-inf")


class Generations:
    """The generations of the scopes of one instance."""

    def __init__(self, *, listed: int = _MAX_LISTED, buckets: int = _BUCKETS) -> None:
        self._max_listed = listed
        self._buckets = buckets
        self._listed: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._floors: array[int] = array("Q")  # empty until a scope is forgotten: few instances need them
        self._advances = 0

    def advance(self, scope: str, now: float) -> None:
        """Start a scope's next generation."""
        self._advances += 1
        self._listed[scope] = (self._advances, now)
        self._listed.move_to_end(scope)
        if len(self._listed) > self._max_listed:
            forgotten, (generation, _) = self._listed.popitem(last=False)
            if not self._floors:
                self._floors = array("Q", bytes(8 * self._buckets))
            # They are forgotten in the order of their generations, so this raises the floor.
            self._floors[self._bucket(forgotten)] = generation

    def of(self, scope: str) -> tuple[int, float]:
        """Give a scope's generation, and when it began where that is remembered."""
        listed = self._listed.get(scope)
        if listed is not None:
            return listed
        return (self._floors[self._bucket(scope)] if self._floors else 0, _LONG_AGO)

    def _bucket(self, scope: str) -> int:
        return hash(scope) % self._buckets
