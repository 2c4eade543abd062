"""One listener of the live tail: a cursor that moves; the messages newer than it, oldest first, each once.

A listener reads on from its own place whenever the conversation's feed ticks. That it delivers in order
and once follows from the walk: the window next to a cursor is exact.

A listener may lag behind the conversation's newest message, since it comes back after a while, or since
its reader is slow. One that was given ``max_replay`` messages in a row without once having been at the
newest is not replayed further: it gets ``RefetchRequired``. Until then each message came once and in order,
so nothing is lost; its last cursor is still good, to read the rest as pages or to follow on. However
busy a conversation is, a listener that keeps up is at the newest after every read and is never refused.

The message that a listener stands behind may not be listed: not yet (its own send, a replica that lags),
or not any more (archived). Then a time has to stand in for the place, and nobody can tell which messages
of that second come after it. They may have been delivered to this client before, so only what is certainly
newer counts. But to deliver that moves the place on, past what shares its second. So while there is
something of that second which was not delivered here, the newer ones are held back for a while too, unless
they are so much newer that the message is surely gone. If it is listed meanwhile, all of them come, in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from gateway.domain.connection import Edge
from gateway.domain.errors import Overloaded, RefetchRequired, UpstreamError, let_go
from gateway.domain.model import Message
from gateway.domain.scan import Placed
from gateway.domain.target import Position
from gateway.services.conversations import position
from gateway.services.feed import LISTED_WITHIN, Event, Feed, a_moment

_REMEMBERED = 1_000
"""How many delivered ids a listener knows, for the case that a time has to stand in for its place."""

_SURELY_LATER = timedelta(seconds=5)
"""What is so much newer than all that was delivered was not: Welkin's times of one message differ by less."""

_RETRY_SECONDS = 1.0

_GONE = timedelta(minutes=1)
"""What is not listed while something so much newer is, by Welkin's own times, is not waited for any more."""


@dataclass(slots=True)
class Place:
    """Where a listener is: behind a message (None: before all), and whether the upstream lists that one."""

    position: Position | None
    listed: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """What a read found: the messages to deliver, oldest first, and whether there may be more behind them.

    ``tick`` is the feed's at its beginning. ``unsure``: beside them there are messages of which it cannot be
    told, but perhaps soon, whether they come after the listener's place.
    """

    messages: tuple[Placed, ...]
    more: bool
    tick: int
    unsure: bool


class Listener(NamedTuple):
    """Who listens: to which feed, from where, and how a message becomes an edge to them."""

    feed: Feed
    place: Place
    make: Callable[[Placed], Edge]


async def follow(
    opening: AbstractAsyncContextManager[Listener], *, reconcile_seconds: float, max_replay: int
) -> AsyncGenerator[Edge]:
    """Give every message newer than the listener's place, without end; ``opening`` is entered for as long.

    Seconds: ``reconcile_seconds`` between looks without a webhook.

    Raises:
        RefetchRequired: too much came to be replayed; see this module.
    """
    async with opening as listener:
        feed, place, make = listener
        tail = Tail(feed, place, max_replay)
        after_error = after_lag = _RETRY_SECONDS
        anew = False
        while True:
            tick = feed.tick
            try:
                found = await tail.read(anew=anew)
            except Overloaded as error:  # many may have been woken at once: the line to Welkin is full
                let_go(error)
                await feed.beyond(tick, a_moment())
                continue
            except UpstreamError as error:
                let_go(error)
                await feed.beyond(tick, after_error)
                after_error = min(2 * after_error, reconcile_seconds)
                continue
            after_error = _RETRY_SECONDS
            if found.messages and found.unsure and (left := tail.hold()) > 0:
                anew = True
                await feed.beyond(found.tick, min(left, _RETRY_SECONDS))
                continue
            for placed in found.messages:
                yield tail.deliver(placed.message, feed.event(placed, make))
            if found.messages:
                after_lag, anew = _RETRY_SECONDS, False
                if found.more:
                    continue
            tail.lagging = 0
            # The feed saw another newest message than the one this listener stands behind: what
            # this listener read lags, and no tick may come for it. So it looks again itself.
            here = "" if place.position is None else place.position.external_id
            anew = found.more or feed.head not in {None, here}
            tick = found.tick
            del found  # thousands wait here: what each holds is what the collector goes through
            if anew:
                await feed.beyond(tick, after_lag)
                after_lag = min(2 * after_lag, reconcile_seconds)
            else:
                news = feed.news(tick, place.position)
                try:
                    await news
                finally:
                    feed.leave(news)
                    del news
                after_lag = _RETRY_SECONDS


class Tail:
    """A listener's place, and what was delivered on the way to it."""

    def __init__(self, feed: Feed, place: Place, max_replay: int) -> None:
        self.lagging = 0  # messages given since this listener was at the newest
        self._feed = feed
        self._place = place
        self._max_replay = max_replay
        self._delivered: deque[str] = deque(maxlen=_REMEMBERED)
        self._latest: datetime | None = None  # of what was delivered
        self._held_until: float | None = None  # at this place, by the loop's clock

    def deliver(self, message: Message, event: Event) -> Edge:
        """Give a message to the listener, who stands behind it then.

        Raises:
            RefetchRequired: one more than may be replayed.
        """
        if self.lagging == self._max_replay:
            raise RefetchRequired(_refetch(self._max_replay))
        self.lagging += 1
        self._place.position, self._place.listed, self._held_until = event.place, True, None
        self._delivered.append(message.external_id)
        self._latest = max(self._latest or message.created_at, message.created_at)
        return event.edge

    async def read(self, *, anew: bool) -> _Found:
        """Read on from the place, past what is not to be delivered, until something is or the end is there.

        What is passed over does not move the place: its message may still be listed, and then counts again.
        A cursor that was never listed here (the instance moved) goes by its time alone.
        """
        place = self._place
        cut, tick = await self._feed.walks.newer_than(place.position, anew=anew)
        behind = place.position if cut.lost and place.listed else None
        unsure = False
        while True:
            unseen = [each for each in cut.placed[::-1] if not self._was_delivered(each.message)]
            if behind is None:
                messages = unseen
            else:
                messages = [each for each in unseen if behind.newer(each.message)]
                unsure = unsure or len(messages) < len(unseen)
                if messages and messages[-1].message.created_at >= behind.time + _GONE:
                    unsure = False
            if messages or not cut.has_previous:
                return _Found(tuple(messages), cut.has_previous, tick, unsure)
            cut, _ = await self._feed.walks.newer_than(position(cut.placed[0]), anew=anew)
            if cut.lost:  # what was passed over is not there any more: from the place again, later
                return _Found((), True, tick, unsure)

    def _was_delivered(self, message: Message) -> bool:
        if self._latest is None or message.created_at - self._latest > _SURELY_LATER:
            return False  # without going through a thousand ids for each event
        return message.external_id in self._delivered

    def hold(self) -> float:
        """Give how many seconds more the newer messages are held back at this place."""
        now = asyncio.get_running_loop().time()
        if self._held_until is None:
            self._held_until = now + LISTED_WITHIN
        return self._held_until - now


def _refetch(most: int) -> str:
    return (
        f"More than {most} messages are newer than the cursor, too many to replay. Read the conversation "
        "anew and follow from its newest cursor, or follow on from the last cursor received."
    )
