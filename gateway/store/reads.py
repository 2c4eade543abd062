"""Reads that are shared and kept: one call for equal reads in flight, a copy for a while after.

Rules that keep a copy from outliving the truth:

* a scope (one conversation, one record) has a *generation*; ``advance`` starts the next one, and
  neither a copy nor a call in flight from before is used again;
* a reader may ask for a copy not older than a moment (``not_before``);
* errors are never kept, and what is read soon after a change is kept only for a second: Welkin's
  list may show a message later than its webhook came.

Where the upstream is down, a copy *stands in* for a while beyond its freshness: of the scope's
generation of now (looked up again at that moment), not from before ``not_before``, and marked
(``staleness``). An upstream that hangs is down too, but says so only at the end of the caller's own
deadline. So a caller with such a copy waits for ``patience`` alone, while the call goes on for
others; and once one has waited in vain, those after it wait only a moment, until a call succeeds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiocache.base import BaseCache  # pyright: ignore[reportMissingTypeStubs] - aiocache ships none

from gateway.domain import deadline, pacing, staleness
from gateway.domain.errors import (
    Overloaded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
    let_go,
)
from gateway.store.copies import Copies, Copy, Found, Kept, MemoryCopies, Place
from gateway.store.generations import Generations

T = TypeVar("T")

_SETTLING_SECONDS = 10.0
_SETTLING_TTL = 1.0
_DOWN = (UpstreamUnavailable, UpstreamTimeout, UpstreamRateLimited, Overloaded)
_WORTH_A_CALL = 0.1
"""Seconds that a caller has to have longer than the call that it joined, to make one of its own."""
_MOMENT = 0.05
"""The share of its patience that a caller has left once another one waited in vain."""


@dataclass(frozen=True, slots=True)
class _Flight:
    """A call under way."""

    generation: int
    ticket: str | None
    began: float
    until: float
    task: asyncio.Task[Kept[Any]]

    def serves(self, place: Place, ticket: str | None, not_before: float) -> bool:
        """Tell whether who has looked just now may wait for this call."""
        same = ticket is None or ticket == self.ticket  # who could not look knows of no other generation
        return same and self.generation == place.generation and self.began >= not_before


class SharedReads:
    """Read-through copies with single flight and generations. A bare aiocache backend is memory.

    Seconds: ``ttl`` a copy is fresh (0 keeps nothing), ``stale`` it stands in after that, ``patience``
    before one stands in for a call that hangs (None: never).
    """

    def __init__(
        self,
        copies: Copies | BaseCache,
        ttl: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        stale: float = 0.0,
        patience: float | None = None,
        generations: Generations | None = None,
    ) -> None:
        in_memory = isinstance(copies, BaseCache)
        self._copies = MemoryCopies(copies, spare=stale, clock=clock) if in_memory else copies
        self._ttl = ttl
        self._clock = clock
        self._stale = stale
        self._patience = patience
        self._hangs = False
        self._generations = generations or Generations()
        self._in_flight: dict[tuple[str, str], _Flight] = {}
        self._tasks: set[asyncio.Task[Kept[Any]]] = set()  # those overtaken by a newer read too

    def now(self) -> float:
        """Give the moment that ``not_before`` and ``Kept`` are measured in."""
        return self._clock()

    def advance(self, scope: str, *, elsewhere: bool = False) -> None:
        """Make everything read of the scope until now worthless.

        ``elsewhere``: another process said so, and has told the shared store already.
        """
        self._generations.advance(scope, self._clock())
        if self._ttl:
            self._copies.advance(scope, elsewhere=elsewhere)

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
            GatewayError: whatever ``load`` raises, unless a copy may stand in.
        """
        place = Place(scope, part, self._generations.of(scope)[0])
        kept = keep and self._ttl > 0
        found = await self._copies.look(place) if kept else Found()
        copy = found.copy
        if copy is not None and copy.kept.began >= not_before and self._clock() < copy.fresh_until:
            return copy.kept
        flight = self._in_flight.get((scope, part))
        if flight is not None and flight.serves(place, found.ticket, not_before):
            try:
                return await self._answer(place, flight, copy, not_before, kept=kept)
            except UpstreamTimeout:
                if deadline.at() - flight.until < _WORTH_A_CALL:
                    raise
            # It had the deadline of who began it, and there is more time here. Much may have changed since.
            place = Place(scope, part, self._generations.of(scope)[0])
            found = await self._copies.look(place) if kept else Found()
            newer = self._in_flight.get((scope, part))
            flight = newer if newer is not flight else None
        if flight is None or not flight.serves(place, found.ticket, not_before):
            flight = self._start(place, found, load, also, keep=kept)
        return await self._answer(place, flight, copy, not_before, kept=kept)

    async def _answer(
        self, place: Place, flight: _Flight, copy: Copy[Any] | None, not_before: float, *, kept: bool
    ) -> Kept[Any]:
        if kept and self._stale:
            return await self._answer_or_copy(place, flight, copy, not_before)
        return await asyncio.shield(flight.task)

    async def aclose(self) -> None:
        """Wait for the reads that are still under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(
        self,
        place: Place,
        found: Found,
        load: Callable[[], Awaitable[T]],
        also: Callable[[T], str] | None,
        *,
        keep: bool,
    ) -> _Flight:
        began = self._clock()
        reading = self._load_and_keep(place, found, began, load, also) if keep else self._load(began, load)
        task = asyncio.create_task(pacing.paced(reading))
        flight = _Flight(place.generation, found.ticket, began, deadline.at(), task)
        self._in_flight[place.scope, place.part] = flight
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._landed(place, flight))
        return flight

    async def _load(self, began: float, load: Callable[[], Awaitable[T]]) -> Kept[T]:
        value = await load()
        self._hangs = False
        return Kept(value, began, self._clock())

    async def _load_and_keep(
        self,
        place: Place,
        found: Found,
        began: float,
        load: Callable[[], Awaitable[T]],
        also: Callable[[T], str] | None,
    ) -> Kept[T]:
        changed_at = self._generations.of(place.scope)[1]
        settling = min(began - changed_at, found.changed) < _SETTLING_SECONDS
        kept = await self._load(began, load)
        ttl = min(self._ttl, _SETTLING_TTL) if settling else self._ttl
        others = () if also is None else (also(kept.value),)
        await self._copies.keep(place, others, found, Copy(kept, kept.ended + ttl))
        return kept

    async def _answer_or_copy(
        self, place: Place, flight: _Flight, copy: Copy[Any] | None, not_before: float
    ) -> Kept[Any]:
        """Wait for a call; give a copy if the upstream is down, or does not answer in time."""
        if self._patience is not None and self._may_stand_in(copy, not_before):
            knows = self._hangs
            patience = self._patience * (_MOMENT if knows else 1.0)
            left = max(0.0, flight.began + patience - self._clock())
            # Not beyond this caller's own deadline: the call may have that of another one, who has longer.
            own = deadline.remaining()
            await asyncio.wait([flight.task], timeout=min(left, own))
            if not flight.task.done():
                if not knows and left <= own:  # else it is this caller who had no time, and not the upstream
                    self._hangs = True
                stand_in = await self._stand_in(place, not_before)
                if stand_in is not None:
                    return stand_in
        try:
            return await asyncio.shield(flight.task)
        except _DOWN as error:
            stand_in = await self._stand_in(place, not_before)
            if stand_in is None:
                raise
            let_go(error)
            return stand_in

    async def _stand_in(self, place: Place, not_before: float) -> Kept[Any] | None:
        """Look again, since the scope may have changed while the call was under way."""
        copy = (await self._copies.look(place)).copy
        unchanged = self._generations.of(place.scope)[0] == place.generation
        if copy is None or not unchanged or not self._may_stand_in(copy, not_before):
            return None
        if self._clock() >= copy.fresh_until:
            staleness.mark(self._clock() - copy.kept.began)
        return copy.kept

    def _may_stand_in(self, copy: Copy[Any] | None, not_before: float) -> bool:
        if copy is None or copy.kept.began < not_before:
            return False
        return self._clock() < copy.fresh_until + self._stale

    def _landed(self, place: Place, flight: _Flight) -> None:
        self._tasks.discard(flight.task)
        if self._in_flight.get((place.scope, place.part)) is flight:
            del self._in_flight[place.scope, place.part]
        if not flight.task.cancelled():
            flight.task.exception()  # looked at, also where every caller has gone
