"""Where copies of reads lie: the protocol, and copies in this process's memory.

``SharedReads`` decides what may be served; a ``Copies`` finds and keeps. A copy is one of the
*generation* that its scope (a conversation, a record) had before the reading began. What is found is
always of the scope's generation of now, however old it is.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from aiocache.base import BaseCache  # pyright: ignore[reportMissingTypeStubs] - aiocache ships none

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """A value, and when the reading of it began and ended, in seconds of the clock of ``SharedReads``."""

    value: T
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Copy(Generic[T]):
    """What was kept, and until when it is fresh, by the same clock."""

    kept: Kept[T]
    fresh_until: float


@dataclass(frozen=True, slots=True)
class Held:
    """A copy as it lies in memory, with the generation that it is of."""

    generation: int
    copy: Copy[Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a scope, and this process's generation of the scope."""

    scope: str
    part: str
    generation: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found.

    ``ticket`` says under which generation a read that begins now may be kept; None: it cannot be kept.
    ``looked`` is the moment of the look by the clock of where copies lie, in microseconds.
    ``changed`` is how many seconds ago the scope changed, where that is known here.
    """

    copy: Copy[Any] | None = None
    ticket: str | None = None
    looked: int = 0
    changed: float = float("inf")


class Copies(Protocol):
    """Copies of the reads of one instance. No method raises, and none takes longer than moments."""

    async def look(self, place: Place) -> Found:
        """Look for the copy of a part."""
        ...

    async def keep(self, place: Place, also: Sequence[str], found: Found, copy: Copy[Any]) -> None:
        """Keep what was read after a look: for the part and ``also`` for others, unless newer is there."""
        ...

    def advance(self, scope: str, *, elsewhere: bool) -> None:
        """Make all copies of a scope worthless. ``elsewhere``: another process has done so already."""
        ...


class MemoryCopies:
    """Copies in an aiocache backend in memory. ``spare`` seconds they are kept beyond their freshness.

    A part has one place, whatever its generation: what a change made worthless is replaced by the next
    reading and does not lie about until its time is over. Generations of a scope never go back.
    """

    def __init__(
        self, cache: BaseCache, *, spare: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cache = cache
        self._spare = spare
        self._clock = clock
        self._key = secrets.token_bytes(32)

    async def look(self, place: Place) -> Found:
        """Look for the copy of a part."""
        held = await self._held(self._name(place.scope, place.part))
        if held is None or held.generation != place.generation:
            return Found(ticket="")
        return Found(held.copy, ticket="")

    async def keep(self, place: Place, also: Sequence[str], found: Found, copy: Copy[Any]) -> None:
        """Keep what was read, unless newer is there."""
        del found
        for part in {place.part, *also}:
            name = self._name(place.scope, part)
            held = await self._held(name)
            if held is None or _age(held.generation, held.copy) < _age(place.generation, copy):
                seconds = copy.fresh_until + self._spare - self._clock()
                await self._cache.set(name, Held(place.generation, copy), ttl=seconds)  # pyright: ignore[reportUnknownMemberType] - untyped

    def advance(self, scope: str, *, elsewhere: bool) -> None:
        """Do nothing: a copy tells its generation."""

    async def _held(self, name: str) -> Held | None:
        return cast("Held | None", await self._cache.get(name))  # pyright: ignore[reportUnknownMemberType] - untyped

    def _name(self, scope: str, part: str) -> str:
        text = f"{len(scope)}:{scope}{part}"
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=20).hexdigest()


def _age(generation: int, copy: Copy[Any]) -> tuple[int, float]:
    return generation, copy.kept.began
