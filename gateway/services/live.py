"""The live tail: every message newer than a cursor, oldest first, each once.

A listener is a cursor that moves. It reads on from its own place whenever the conversation's feed
ticks; nothing is pushed into queues, so a slow listener holds up nobody and loses nothing. That it
delivers in order and once follows from the walk: the window next to a cursor is exact.

A listener may lag behind the conversation's newest message, since it comes back after a while, or since
its reader is slow. One that was given ``max_replay`` messages in a row without once having been at the
newest is not replayed further: it gets ``RefetchRequired``. Until then each message came once and in order,
so nothing is lost; its last cursor is still good, to read the rest as pages or to follow on. However
busy a conversation is, a listener that keeps up is at the newest after every read and is never refused.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from gateway.domain import paging
from gateway.domain.connection import Edge, Filter
from gateway.domain.errors import InvalidCursor, Overloaded, RefetchRequired, UpstreamError
from gateway.domain.paging import Bounds, Cut
from gateway.domain.ports import Reads, Source
from gateway.domain.scan import Placed
from gateway.domain.target import Position
from gateway.services.conversations import Conversations, position
from gateway.services.feed import Feed, a_moment
from gateway.services.walking import drive

_REMEMBERED = 1_000
"""How many delivered ids a listener knows, for the case that a time has to stand in for its place."""

_RETRY_SECONDS = 1.0

MAX_REPLAY = 10_000
"""Messages in a row to a listener that lags behind; at 200 a read, 50 reads."""


@dataclass(slots=True)
class _Place:
    """Where a listener is: behind a message (None: before all), and whether the upstream lists that one."""

    position: Position | None
    listed: bool


class Live:
    """The feeds of one instance. Seconds: ``reconcile_seconds`` between looks without a webhook.

    ``told`` hears of every conversation that this process was the first to hear of.
    """

    def __init__(
        self,
        conversations: Conversations,
        reads: Reads,
        *,
        reconcile_seconds: float,
        deadline: float,
        max_replay: int = MAX_REPLAY,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self._conversations = conversations
        self._reads = reads
        self._reconcile = reconcile_seconds
        self._deadline = deadline
        self._max_replay = max_replay
        self._told = told
        self._feeds: dict[str, dict[str, Feed]] = {}  # by patient, then by what opens the conversation

    @property
    def listeners(self) -> int:
        """How many listeners there are now."""
        return sum(feed.listeners for feeds in self._feeds.values() for feed in feeds.values())

    def wake(self, patient_id: str, sent: str | None = None, *, elsewhere: bool = False) -> None:
        """Take a hint that a conversation changed; ``sent`` is the id of a message sent from here.

        ``elsewhere``: the hint comes from another process of this gateway.
        """
        self._reads.changed(patient_id, elsewhere=elsewhere)
        for feed in self._feeds.get(patient_id, {}).values():
            feed.wake(sent)
        if self._told is not None and not elsewhere:
            self._told(patient_id)

    def look_again(self) -> None:
        """Look at every conversation that is listened to: hints from elsewhere may have been missed."""
        for patient_id, feeds in self._feeds.items():
            if patient_id:  # not known of an empty conversation behind a chat token; nothing of it is kept
                self._reads.changed(patient_id)
            for feed in feeds.values():
                feed.look_again()

    async def follow(self, patient_id: str, after: str | None) -> AsyncGenerator[Edge]:
        """Give every message newer than ``after`` (None: than now), oldest first, each once, without end.

        Raises:
            BadInput: the patient id cannot be one.
            InvalidCursor: ``after`` was not made here for this conversation.
            NotFound: Welkin knows no such patient.
            RefetchRequired: too much came since the cursor to be replayed; see this module.
            UpstreamError: Welkin cannot tell where the tail begins; later failures are sat out.
        """
        cursors = self._conversations.cursors(patient_id)
        start = None if after is None else cursors.read(after, None)
        source = self._reads.conversation(patient_id)
        feed = self._join(patient_id, "", source)
        try:
            place = await self._begin(feed, source, start)
            async with aclosing(self._tail(feed, place)) as tail:
                async for placed in tail:
                    yield feed.edge(placed, partial(self._conversations.edge, cursors, placed, Filter()))
        finally:
            await self._leave(patient_id, "", feed)

    async def follow_portal(self, token: str, after: str | None) -> AsyncGenerator[Edge]:
        """Give every message newer than ``after`` of the conversation that a chat token opens.

        Raises:
            Unsupported: the upstream version knows no such tokens.
            Unauthenticated: the token opens nothing, or does not any more.
            InvalidCursor: ``after`` was not made here for this conversation.
            RefetchRequired: too much came since the cursor to be replayed; see this module.
            UpstreamError: Welkin cannot tell where the tail begins; later failures are sat out.
        """
        source = self._reads.portal(token)
        newest = await self._newest(source)
        # Whose conversation it is stands in its messages alone; an empty one is woken by the timer.
        patient_id = newest.message.patient_id if newest is not None else ""
        start = None if newest is None else position(newest)
        if after is not None:
            if newest is None:
                raise InvalidCursor("The cursor is not one that this gateway made for this conversation.")
            start = self._conversations.cursors(patient_id).read(after, None)
        key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        feed = self._join(patient_id, key, source)
        try:
            place = _Place(start, listed=start is not None)
            if after is not None:
                place = await self._begin(feed, source, start)
            async with aclosing(self._tail(feed, place)) as tail:
                async for placed in tail:
                    cursors = self._conversations.cursors(placed.message.patient_id)
                    yield feed.edge(placed, partial(self._conversations.edge, cursors, placed, Filter()))
        finally:
            await self._leave(patient_id, key, feed)

    async def aclose(self) -> None:
        """End every feed."""
        feeds = [feed for feeds in self._feeds.values() for feed in feeds.values()]
        self._feeds = {}
        await asyncio.gather(*(feed.stop() for feed in feeds))

    async def _tail(self, feed: Feed, place: _Place) -> AsyncGenerator[Placed]:
        delivered: deque[str] = deque(maxlen=_REMEMBERED)
        pause = _RETRY_SECONDS
        anew = False
        lagging = 0  # messages given since this listener was at the newest
        while True:
            tick = feed.tick
            try:
                cut, tick = await feed.newer_than(place.position, anew=anew)
            except Overloaded:  # the line to Welkin may be full of listeners who were all woken at once
                await feed.beyond(tick, a_moment())
                continue
            except UpstreamError:
                await feed.beyond(tick, pause)
                pause = min(2 * pause, self._reconcile)
                continue
            moved = False
            for placed in _deliverable(cut, place):
                if placed.message.external_id not in delivered:
                    if lagging == self._max_replay:
                        raise RefetchRequired(_refetch(self._max_replay))
                    lagging += 1
                    delivered.append(placed.message.external_id)
                    place.position, place.listed, moved = position(placed), True, True
                    yield placed
            if moved:
                pause, anew = _RETRY_SECONDS, False
                if cut.has_previous:
                    continue
            lagging = 0
            # The feed saw another newest message than the one this listener stands behind: what
            # this listener read lags, and no tick may come for it. So it looks again itself.
            anew = feed.head is not None and (
                place.position is None or place.position.external_id != feed.head
            )
            await feed.beyond(tick, pause if anew else None)
            if anew:
                pause = min(2 * pause, self._reconcile)

    async def _begin(self, feed: Feed, source: Source, start: Position | None) -> _Place:
        """Find the place to begin at: a cursor's, else the newest message there is now."""
        if start is None:
            newest = await feed.newest()
            return _Place(None if newest is None else position(newest), listed=newest is not None)
        # A message of this version that is not listed is not listed yet, or not any more.
        if not start.foreign:
            return _Place(start, listed=True)
        walk = paging.newer(1, Bounds(oldest=start), not_before=source.now())
        await drive(walk, source, self._deadline)  # so that a patient that is not there is told at once
        return _Place(start, listed=False)

    async def _newest(self, source: Source) -> Placed | None:
        """Give the newest message there is now, not the newest in a copy."""
        cut = await drive(paging.older(1, Bounds(), not_before=source.now()), source, self._deadline)
        return cut.placed[0] if cut.placed else None

    def _join(self, patient_id: str, key: str, source: Source) -> Feed:
        feeds = self._feeds.setdefault(patient_id, {})
        feed = feeds.get(key)
        if feed is None:
            feed = Feed(source, reconcile_seconds=self._reconcile, deadline=self._deadline)
            feeds[key] = feed
            feed.start()
        feed.listeners += 1
        return feed

    async def _leave(self, patient_id: str, key: str, feed: Feed) -> None:
        feed.listeners -= 1
        feeds = self._feeds.get(patient_id, {})
        if feed.listeners == 0 and feeds.get(key) is feed:
            del feeds[key]
            if not feeds:
                del self._feeds[patient_id]
            await feed.stop()


def _refetch(most: int) -> str:
    return (
        f"More than {most} messages are newer than the cursor, too many to replay. Read the conversation "
        "anew and follow from its newest cursor, or follow on from the last cursor received."
    )


def _deliverable(cut: Cut, place: _Place) -> list[Placed]:
    """Give the messages to deliver, oldest first.

    Where a message that was listed is missing now, the list may come from a replica that lags
    behind: messages of its own second may have been delivered to this client before, so only what
    is certainly newer counts. A cursor that was never listed here (the instance moved) goes by time.
    """
    oldest_first = list(cut.placed[::-1])
    if cut.lost and place.listed and place.position is not None:
        return [placed for placed in oldest_first if place.position.newer(placed.message)]
    return oldest_first
