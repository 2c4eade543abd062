"""Reads that are shared and kept: one call for equal reads in flight, a copy for a while after.

Three rules keep a copy from outliving the truth:

* a scope (one conversation, one record) has a *generation*; ``advance`` starts the next one, and
  neither a copy nor a call in flight from before is used again;
* a reader may ask for a copy not older than a moment (``not_before``);
* errors are never kept, and what is read soon after a change is kept only for a second: Welkin's
  list may show a message later than its webhook came.

Keys are keyed hashes: no id of a patient stands in one.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from aiocache.base import BaseCache  # pyright: ignore[reportMissingTypeStubs] - aiocache ships none

T = TypeVar("T")

_MAX_GENERATIONS = 100_000
_SETTLING_SECONDS = 10.0
_SETTLING_TTL = 1.0


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """A value, and when the reading of it began and ended, in seconds of the clock of ``SharedReads``."""

    value: T
    began: float
    ended: float


class SharedReads:
    """Read-through cache with single flight and generations. ``ttl`` in seconds; 0 keeps nothing."""

    def __init__(self, cache: BaseCache, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache = cache
        self._ttl = ttl
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._generations: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._oldest_generation = 0
        self._advances = 0
        self._in_flight: dict[str, tuple[float, asyncio.Task[Kept[Any]]]] = {}
        self._tasks: set[asyncio.Task[Kept[Any]]] = set()  # those overtaken by a newer read too

    def now(self) -> float:
        """Give the moment that ``not_before`` and ``Kept`` are measured in."""
        return self._clock()

    def advance(self, scope: str) -> None:
        """Make everything read of the scope until now worthless."""
        self._advances += 1
        self._generations[scope] = (self._advances, self._clock())
        self._generations.move_to_end(scope)
        if len(self._generations) > _MAX_GENERATIONS:
            # A forgotten scope falls back to a generation that no copy was ever kept under.
            self._generations.popitem(last=False)
            self._oldest_generation = self._advances

    async def get(
        self,
        scope: str,
        part: str,
        load: Callable[[], Awaitable[T]],
        *,
        not_before: float = 0.0,
        also: Callable[[T], str] | None = None,
        keep: bool = True,
    ) -> Kept[T]:
        """Give a part of a scope, read by ``load`` unless a good copy is there or under way.

        ``also`` names another part that the value answers as well; ``keep`` False shares what is
        under way and keeps no copy. A caller that goes away does not
        stop the read: others may be waiting for it.

        Raises:
            GatewayError: whatever ``load`` raises.
        """
        key = self._hash(scope, part)
        kept = cast("Kept[T] | None", await self._copy(key)) if keep else None
        if kept is not None and kept.began >= not_before:
            return kept
        flying = self._in_flight.get(key)
        if flying is None or flying[0] < not_before:
            began = self._clock()
            task = asyncio.create_task(self._load(scope, key, began, load, also if keep else None, keep=keep))
            flying = (began, task)
            self._in_flight[key] = flying
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(flying[1])

    async def aclose(self) -> None:
        """Wait for the reads that are still under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _load(
        self,
        scope: str,
        key: str,
        began: float,
        load: Callable[[], Awaitable[T]],
        also: Callable[[T], str] | None,
        *,
        keep: bool,
    ) -> Kept[T]:
        generation, changed_at = self._generation(scope)
        value = await load()
        kept = Kept(value, began, self._clock())
        if not keep:
            return kept
        ttl = min(self._ttl, _SETTLING_TTL) if began - changed_at < _SETTLING_SECONDS else self._ttl
        keys = {key} if also is None else {key, self._hash(scope, also(value), generation)}
        for each in keys:
            newer = await self._copy(each)
            if ttl and (newer is None or newer.began < began):
                await self._cache.set(each, kept, ttl=ttl)  # pyright: ignore[reportUnknownMemberType] - untyped
        return kept

    async def _copy(self, key: str) -> Kept[Any] | None:
        if not self._ttl:
            return None
        return cast("Kept[Any] | None", await self._cache.get(key))  # pyright: ignore[reportUnknownMemberType] - untyped

    def _landed(self, key: str, task: asyncio.Task[Kept[Any]]) -> None:
        self._tasks.discard(task)
        flying = self._in_flight.get(key)
        if flying is not None and flying[1] is task:
            del self._in_flight[key]
        if not task.cancelled():
            task.exception()  # looked at, also where every caller has gone

    def _generation(self, scope: str) -> tuple[int, float]:
        return self._generations.get(scope, (self._oldest_generation, float("-inf")))

    def _hash(self, scope: str, part: str, generation: int | None = None) -> str:
        if generation is None:
            generation, _ = self._generation(scope)
        text = f"{generation}:{len(scope)}:{scope}{part}"
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=20).hexdigest()
