"""The live tail: every message newer than a cursor, oldest first, each once.

Each conversation that somebody listens to has one ``feed``, and each listener its own ``tail``: a cursor
that moves. Nothing is pushed into queues, so a slow listener holds up nobody and loses nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from gateway.domain import paging
from gateway.domain.connection import Edge, Filter
from gateway.domain.errors import InvalidCursor
from gateway.domain.paging import Bounds
from gateway.domain.ports import Reads, Source
from gateway.domain.scan import Placed
from gateway.domain.target import Position
from gateway.services.bell import Undisturbed
from gateway.services.conversations import Conversations, position
from gateway.services.feed import Feed
from gateway.services.tail import Listener, Place, follow
from gateway.services.walking import drive

MAX_REPLAY = 10_000
"""Messages in a row to a listener that lags behind; at 200 a read, 50 reads."""


class Live:
    """The feeds of one instance. Seconds: ``reconcile_seconds`` between looks without a webhook.

    ``told`` hears of every conversation that this process was the first to hear of. ``undisturbed`` is
    entered while many are woken.
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
        undisturbed: Undisturbed = nullcontext,
    ) -> None:
        self._conversations = conversations
        self._reads = reads
        self._reconcile = reconcile_seconds
        self._deadline = deadline
        self._max_replay = max_replay
        self._told = told
        self._undisturbed = undisturbed
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

    def follow(self, patient_id: str, after: str | None) -> AsyncGenerator[Edge]:
        """Give every message newer than ``after`` (None: than now), oldest first, each once, without end.

        Raises:
            BadInput: the patient id cannot be one.
            InvalidCursor: ``after`` was not made here for this conversation.
            NotFound: Welkin knows no such patient.
            RefetchRequired: too much came since the cursor to be replayed; see ``tail``.
            UpstreamError: Welkin cannot tell where the tail begins; later failures are sat out.
        """
        return self._follow(self._listening(patient_id, after))

    def follow_portal(self, token: str, after: str | None) -> AsyncGenerator[Edge]:
        """Give every message newer than ``after`` of the conversation that a chat token opens.

        Raises:
            Unsupported: the upstream version knows no such tokens.
            Unauthenticated: the token opens nothing, or does not any more.
            InvalidCursor: ``after`` was not made here for this conversation.
            RefetchRequired: too much came since the cursor to be replayed; see ``tail``.
            UpstreamError: Welkin cannot tell where the tail begins; later failures are sat out.
        """
        return self._follow(self._listening_portal(token, after))

    async def aclose(self) -> None:
        """End every feed."""
        feeds = [feed for feeds in self._feeds.values() for feed in feeds.values()]
        self._feeds = {}
        await asyncio.gather(*(feed.stop() for feed in feeds))

    def _follow(self, opening: AbstractAsyncContextManager[Listener]) -> AsyncGenerator[Edge]:
        return follow(opening, reconcile_seconds=self._reconcile, max_replay=self._max_replay)

    @asynccontextmanager
    async def _listening(self, patient_id: str, after: str | None) -> AsyncGenerator[Listener]:
        cursors = self._conversations.cursors(patient_id)
        start = None if after is None else cursors.read(after, None)
        source = self._reads.conversation(patient_id)

        def make(placed: Placed) -> Edge:
            return self._conversations.edge(cursors, placed, Filter())

        feed = self._join(patient_id, "", source)
        try:
            yield Listener(feed, await self._begin(feed, source, start), make)
        finally:
            await self._leave(patient_id, "", feed)

    @asynccontextmanager
    async def _listening_portal(self, token: str, after: str | None) -> AsyncGenerator[Listener]:
        source = self._reads.portal(token)
        newest = await self._newest(source)
        # Whose conversation it is stands in its messages alone; an empty one is woken by the timer.
        patient_id = newest.message.patient_id if newest is not None else ""
        start = None if newest is None else position(newest)
        if after is not None:
            if newest is None:
                raise InvalidCursor("The cursor is not one that this gateway made for this conversation.")
            start = self._conversations.cursors(patient_id).read(after, None)

        def make(placed: Placed) -> Edge:
            cursors = self._conversations.cursors(placed.message.patient_id)
            return self._conversations.edge(cursors, placed, Filter())

        key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        feed = self._join(patient_id, key, source)
        try:
            place = Place(start, listed=start is not None)
            if after is not None:
                place = await self._begin(feed, source, start)
            yield Listener(feed, place, make)
        finally:
            await self._leave(patient_id, key, feed)

    async def _begin(self, feed: Feed, source: Source, start: Position | None) -> Place:
        """Find the place to begin at: a cursor's, else the newest message there is now."""
        if start is None:
            newest = await feed.walks.newest()
            return Place(None if newest is None else position(newest), listed=newest is not None)
        # A message of this version that is not listed is not listed yet, or not any more.
        if not start.foreign:
            return Place(start, listed=True)
        walk = paging.newer(1, Bounds(oldest=start), not_before=source.now())
        await drive(walk, source, self._deadline)  # so that a patient that is not there is told at once
        return Place(start, listed=False)

    async def _newest(self, source: Source) -> Placed | None:
        """Give the newest message there is now, not the newest in a copy."""
        cut = await drive(paging.older(1, Bounds(), not_before=source.now()), source, self._deadline)
        return cut.placed[0] if cut.placed else None

    def _join(self, patient_id: str, key: str, source: Source) -> Feed:
        feeds = self._feeds.setdefault(patient_id, {})
        feed = feeds.get(key)
        if feed is None:
            feed = Feed(
                source,
                reconcile_seconds=self._reconcile,
                deadline=self._deadline,
                undisturbed=self._undisturbed,
            )
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
