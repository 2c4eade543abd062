"""The reads of one conversation's listeners, shared: however many stand at one place, it is read once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from gateway.domain import paging
from gateway.domain.paging import Bounds, Cut
from gateway.domain.ports import Source
from gateway.domain.scan import Ask, Placed, Snapshot
from gateway.domain.target import Position
from gateway.services.walking import drive

BATCH = 200
"""Messages that a listener is given at once, at most."""

GOES_ROUND_SECONDS = 5.0
"""Within which a message has reached the listeners; for whoever comes later it is read anew."""

_AHEAD_SECONDS = 0.5
"""How long listeners wait for what is read for all of them, before each asks by itself."""

_PLACES = 16
"""At which many listeners may stand; nearly all of them stand at one."""

_LONGEST_SHARE = 0.5
"""How long a read of the newest message waits for the one before it, in seconds."""


class _Anew:
    """A conversation without the copies of before.

    A walk takes any copy of a page behind a link, since what is there stays put. But a message that is
    listed late may come to stand there.
    """

    def __init__(self, source: Source, not_before: float) -> None:
        self._source = source
        self._not_before = not_before

    def now(self) -> float:
        return self._source.now()

    async def page(self, ask: Ask) -> Snapshot:
        return await self._source.page(Ask(ask.ref, max(ask.not_before, self._not_before)))


class SharedWalks:
    """Reads one conversation. ``deadline`` in seconds, for each walk.

    It goes by *ticks*: with each, the conversation has moved on, and what was read before is old.
    """

    def __init__(self, source: Source, *, deadline: float) -> None:
        self.tick = 0
        self._source = source
        self._deadline = deadline
        self._fresh = source.now()
        self._newest: asyncio.Task[Placed | None] | None = None
        self._newest_next: asyncio.Task[Placed | None] | None = None
        self._under_way: dict[Position | None, tuple[int, asyncio.Task[Cut]]] = {}
        self._read: dict[Position | None, Cut] = {}  # at this tick, for those who are still to be told of it

    def move_on(self, fresh: float) -> None:
        """Begin a tick: from now on copies have to be at least as fresh."""
        self.tick += 1
        self._fresh = max(self._fresh, fresh)
        self._read.clear()

    async def newest(self) -> Placed | None:
        """Give the newest message there is now, not the newest in a copy.

        Who asks while it is being read shares the next read, so that a crowd that comes costs a few.
        """
        if self._newest_next is None:
            self._newest_next = asyncio.create_task(self._read_newest(self._newest))
            self._newest_next.add_done_callback(_seen)
        return await asyncio.shield(self._newest_next)

    async def newer_than(self, place: Position | None, *, anew: bool = False) -> tuple[Cut, int]:
        """Read the messages next to a place on the newer side, newest first, at most ``BATCH``.

        Listeners that read at the same place share one walk, while it is under way and while its messages
        go round. None stands before the first message. ``anew`` will have no copies. With the messages
        comes the tick at which the walk began: who joins it late has to read again.
        """
        read = None if anew else self._read.get(place)
        if read is not None:
            return read, self.tick
        held = self._under_way.get(place)
        if held is None or held[1].done():
            not_before = self._source.now() if anew else self._fresh
            walk = paging.newer(BATCH, Bounds(oldest=place), not_before=not_before)
            source = _Anew(self._source, not_before) if anew else self._source
            task = asyncio.create_task(drive(walk, source, self._deadline))
            held = self._under_way[place] = (self.tick, task)
            task.add_done_callback(lambda done: self._ended(place, done))
        tick, task = held
        return await asyncio.shield(task), tick

    async def read_ahead(self, place: Position | None) -> None:
        """Read where nearly all stand, so that each finds the messages at hand and need not wait."""
        with suppress(Exception):  # they see for themselves
            async with asyncio.timeout(_AHEAD_SECONDS):
                await self.newer_than(place)

    async def stop(self) -> None:
        """End the reads that nobody waits for."""
        under_way = [task for _, task in self._under_way.values()]
        for task in (self._newest, self._newest_next, *under_way):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._newest = self._newest_next = None

    async def _read_newest(self, before: asyncio.Task[Placed | None] | None) -> Placed | None:
        if before is not None:
            await asyncio.wait({before}, timeout=_LONGEST_SHARE)
        self._newest, self._newest_next = self._newest_next, None
        walk = paging.older(1, Bounds(), not_before=self._source.now())
        cut = await drive(walk, self._source, self._deadline)
        return cut.placed[0] if cut.placed else None

    def _ended(self, place: Position | None, task: asyncio.Task[Cut]) -> None:
        held = self._under_way.get(place)
        if held is not None and held[1] is task:
            del self._under_way[place]
            if _seen(task) and held[0] == self.tick:
                self._keep(place, task.result())
        else:
            _seen(task)

    def _keep(self, place: Position | None, cut: Cut) -> None:
        # One who is behind by more goes on from elsewhere, and is alone there.
        if cut.has_previous or len(self._read) >= _PLACES:
            return
        if not self._read:
            asyncio.get_running_loop().call_later(GOES_ROUND_SECONDS, self._read.clear)
        self._read[place] = cut


def _seen(task: asyncio.Task[Any]) -> bool:
    """Look at how a read ended, also where every caller has gone; tells whether it gave something."""
    return not task.cancelled() and task.exception() is None
