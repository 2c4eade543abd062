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
    """Copies in an aiocache backend in memory. ``spare`` seconds they are kept beyond their freshness."""

    def __init__(
        self, cache: BaseCache, *, spare: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cache = cache
        self._spare = spare
        self._clock = clock
        self._key = secrets.token_bytes(32)

    async def look(self, place: Place) -> Found:
        """Look for the copy of a part."""
        return Found(await self._copy(self._name(place, place.part)), ticket="")

    async def keep(self, place: Place, also: Sequence[str], found: Found, copy: Copy[Any]) -> None:
        """Keep what was read, unless newer is there."""
        del found
        for part in {place.part, *also}:
            name = self._name(place, part)
            newer = await self._copy(name)
            if newer is None or newer.kept.began < copy.kept.began:
                seconds = copy.fresh_until + self._spare - self._clock()
                await self._cache.set(name, copy, ttl=seconds)  # pyright: ignore[reportUnknownMemberType] - untyped

    def advance(self, scope: str, *, elsewhere: bool) -> None:
        """Do nothing: the generation stands in the names."""

    async def _copy(self, name: str) -> Copy[Any] | None:
        return cast("Copy[Any] | None", await self._cache.get(name))  # pyright: ignore[reportUnknownMemberType] - untyped

    def _name(self, place: Place, part: str) -> str:
        text = f"{place.generation}:{len(place.scope)}:{place.scope}{part}"
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=20).hexdigest()
