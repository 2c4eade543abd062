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
        self._feeds: dict[str, Feed] = {}  # by what opens the conversation
        self._feeds_of: dict[str, dict[Feed, None]] = {}  # by patient, as soon as one is known; ordered sets

    @property
    def listeners(self) -> int:
        """How many listeners there are now."""
        return sum(feed.listeners for feed in self._feeds.values())

    def wake(self, patient_id: str, sent: str | None = None, *, elsewhere: bool = False) -> None:
        """Take a hint that a conversation changed; ``sent`` is the id of a message sent from here.

        ``elsewhere``: the hint comes from another process of this gateway.
        """
        self._reads.changed(patient_id, elsewhere=elsewhere)
        for feed in self._feeds_of.get(patient_id, ()):
            feed.wake(sent)
        if self._told is not None and not elsewhere:
            self._told(patient_id)

    def look_again(self) -> None:
        """Look at every conversation that is listened to: hints from elsewhere may have been missed."""
        for patient_id in self._feeds_of:
            self._reads.changed(patient_id)
        for feed in self._feeds.values():
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
        feeds = list(self._feeds.values())
        self._feeds = {}
        self._feeds_of = {}
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

        key = f"patient/{patient_id}"
        feed = self._join(key, source, patient_id)
        try:
            yield Listener(feed, await self._begin(feed, source, start), make)
        finally:
            await self._leave(key, feed)

    @asynccontextmanager
    async def _listening_portal(self, token: str, after: str | None) -> AsyncGenerator[Listener]:
        source = self._reads.portal(token)
        newest = await self._newest(source)
        # Whose conversation it is stands in its messages alone: the first one of an empty one is found by
        # the timer, and names the patient to the feed.
        patient_id = None if newest is None else newest.message.patient_id
        start = None if newest is None else position(newest)
        if after is not None:
            if patient_id is None:
                raise InvalidCursor("The cursor is not one that this gateway made for this conversation.")
            start = self._conversations.cursors(patient_id).read(after, None)

        def make(placed: Placed) -> Edge:
            cursors = self._conversations.cursors(placed.message.patient_id)
            return self._conversations.edge(cursors, placed, Filter())

        key = "token/" + hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        feed = self._join(key, source, patient_id)
        try:
            place = Place(start, listed=start is not None)
            if after is not None:
                place = await self._begin(feed, source, start)
            yield Listener(feed, place, make)
        finally:
            await self._leave(key, feed)

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

    def _join(self, key: str, source: Source, patient_id: str | None) -> Feed:
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(
                source,
                reconcile_seconds=self._reconcile,
                deadline=self._deadline,
                undisturbed=self._undisturbed,
                named=self._named,
            )
            feed.start()
        feed.listeners += 1
        if patient_id is not None and feed.patient_id is None:
            self._named(feed, patient_id)
            feed.look_again()  # if it was empty at the last look, the others are not told of that message yet
        return feed

    def _named(self, feed: Feed, patient_id: str) -> None:
        """Wake the feed from now on when something is heard of its patient."""
        feed.patient_id = patient_id
        self._feeds_of.setdefault(patient_id, {})[feed] = None

    async def _leave(self, key: str, feed: Feed) -> None:
        feed.listeners -= 1
        if feed.listeners == 0 and self._feeds.get(key) is feed:
            del self._feeds[key]
            if feed.patient_id is not None:
                feeds = self._feeds_of[feed.patient_id]
                del feeds[feed]
                if not feeds:
                    del self._feeds_of[feed.patient_id]
            await feed.stop()
