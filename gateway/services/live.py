"""The live tail: every message newer than a cursor, oldest first, each once.

A listener is a cursor that moves. It reads on from its own place whenever the conversation's feed
ticks; nothing is pushed into queues, so a slow listener holds up nobody and loses nothing. That it
delivers in order and once follows from the walk: the window next to a cursor is exact.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from gateway.domain import paging
from gateway.domain.connection import Edge, Filter
from gateway.domain.errors import UpstreamError
from gateway.domain.paging import Bounds, Cut
from gateway.domain.ports import Reads
from gateway.domain.scan import Placed
from gateway.domain.target import Position
from gateway.services.conversations import Conversations, edge, position
from gateway.services.feed import Feed
from gateway.services.walking import drive

_REMEMBERED = 1_000
"""How many delivered ids a listener knows, for the case that a time has to stand in for its place."""

_RETRY_SECONDS = 1.0


class Live:
    """The feeds of one instance. Seconds: ``reconcile_seconds`` between looks without a webhook."""

    def __init__(
        self, conversations: Conversations, reads: Reads, *, reconcile_seconds: float, deadline: float
    ) -> None:
        self._conversations = conversations
        self._reads = reads
        self._reconcile = reconcile_seconds
        self._deadline = deadline
        self._feeds: dict[str, Feed] = {}

    @property
    def listeners(self) -> int:
        """How many listeners there are now."""
        return sum(feed.listeners for feed in self._feeds.values())

    def wake(self, patient_id: str, sent: str | None = None) -> None:
        """Take a hint that a conversation changed; ``sent`` is the id of a message sent from here."""
        self._reads.changed(patient_id)
        feed = self._feeds.get(patient_id)
        if feed is not None:
            feed.wake(sent)

    async def follow(self, patient_id: str, after: str | None) -> AsyncGenerator[Edge]:
        """Give every message newer than ``after`` (None: than now), oldest first, each once, without end.

        Raises:
            BadInput: the patient id cannot be one.
            InvalidCursor: ``after`` was not made here for this conversation.
            NotFound: Welkin knows no such patient.
            UpstreamError: Welkin cannot tell where the tail begins; later failures are sat out.
        """
        cursors = self._conversations.cursors(patient_id)
        place = None if after is None else cursors.read(after, None)
        feed = self._join(patient_id)
        try:
            if place is None:
                place = await self._newest(patient_id)
                listed = place is not None
            else:
                listed = await self._is_listed(patient_id, place)
            delivered: deque[str] = deque(maxlen=_REMEMBERED)
            while True:
                tick = feed.tick
                try:
                    cut = await feed.newer_than(place)
                except UpstreamError:
                    await feed.beyond(tick, _RETRY_SECONDS)
                    continue
                moved = False
                for placed in _deliverable(cut, place, listed=listed):
                    if placed.message.external_id not in delivered:
                        delivered.append(placed.message.external_id)
                        place, listed, moved = position(placed), True, True
                        yield edge(cursors, placed, Filter())
                if not (moved and cut.has_previous):
                    await feed.beyond(tick)
        finally:
            await self._leave(patient_id, feed)

    async def aclose(self) -> None:
        """End every feed."""
        feeds, self._feeds = list(self._feeds.values()), {}
        await asyncio.gather(*(feed.stop() for feed in feeds))

    def _join(self, patient_id: str) -> Feed:
        feed = self._feeds.get(patient_id)
        if feed is None:
            feed = Feed(patient_id, self._reads, reconcile_seconds=self._reconcile, deadline=self._deadline)
            self._feeds[patient_id] = feed
            feed.start()
        feed.listeners += 1
        return feed

    async def _leave(self, patient_id: str, feed: Feed) -> None:
        feed.listeners -= 1
        if feed.listeners == 0 and self._feeds.get(patient_id) is feed:
            del self._feeds[patient_id]
            await feed.stop()

    async def _newest(self, patient_id: str) -> Position | None:
        """Find the place to begin at: the newest message there is now, not the newest in a copy."""
        walk = paging.older(1, Bounds(), not_before=self._reads.now())
        cut = await drive(walk, self._reads, patient_id, deadline=self._deadline)
        return position(cut.placed[0]) if cut.placed else None

    async def _is_listed(self, patient_id: str, place: Position) -> bool:
        """Tell whether the upstream lists the message that a cursor was made for."""
        walk = paging.newer(1, Bounds(oldest=place), not_before=self._reads.now())
        cut = await drive(walk, self._reads, patient_id, deadline=self._deadline)
        return not cut.lost


def _deliverable(cut: Cut, place: Position | None, *, listed: bool) -> list[Placed]:
    """Give the messages to deliver, oldest first.

    Where a message that was listed is missing now, the list may come from a replica that lags
    behind: messages of its own second may have been delivered to this client before, so only what
    is certainly newer counts. A cursor that was never listed here (the instance moved) goes by time.
    """
    oldest_first = cut.placed[::-1]
    if cut.lost and listed and place is not None:
        return [placed for placed in oldest_first if placed.message.created_at > place.time]
    return list(oldest_first)
