"""One feed per conversation that somebody listens to: it looks whether the conversation has moved.

A wake-up (webhook, send) says only that something happened; it may come early, late, twice or
never. So the feed looks at the newest page at once, and again with growing pauses while fewer
messages have appeared than wake-ups came; without any wake-up it looks every ``reconcile_seconds``.
What it tells its listeners is a *tick*: "read on, with copies not older than ``fresh``". They read
from their own cursor, through the shared reads, so many listeners cost one read.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import nullcontext, suppress
from contextvars import Context
from datetime import datetime
from typing import NamedTuple

from gateway.domain.connection import Edge
from gateway.domain.errors import GatewayError, Overloaded, UpstreamError, UpstreamRateLimited, let_go
from gateway.domain.model import Message, SenderKind
from gateway.domain.pages import Newest
from gateway.domain.ports import Source
from gateway.domain.scan import Ask, Placed
from gateway.domain.target import Position
from gateway.services.bell import Bell, Undisturbed
from gateway.services.conversations import position
from gateway.services.shared_walks import BATCH, GOES_ROUND_SECONDS, SharedWalks

_LOOKS_AFTER_A_WAKE = (0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Pauses in seconds. A message that shows up within 6.5 s of its webhook is delivered within a second, unless
another shows up in between whose own webhook is late or lost: that one is taken for what was announced, the
looks end, and the next wake-up or the timer finds the other. To look on would cost every event more reads.
"""

LISTED_WITHIN = sum(_LOOKS_AFTER_A_WAKE)
"""How long, in seconds, a message that is known of is looked for at short intervals."""

_FIRST_RETRY = 0.5
"""Seconds after the first look that failed, doubled with each further one. Between a failed look and the
next there is always so much time, however many wake-ups come."""
_LONGEST_WAIT = 60.0
"""Seconds that a feed holds still where Welkin asks for a pause: after so long calls go out again, whatever
it asked for, and a feed that waited longer would leave its listeners without news for no reason."""

_log = logging.getLogger(__name__)


class Event(NamedTuple):
    """A message as listeners get it, and where they stand then."""

    place: Position
    edge: Edge


class Feed:
    """Watches one conversation while it has listeners.

    While it is not known whose conversation it is (``patient_id``), the first message seen tells: ``named``
    hears of that.
    """

    def __init__(
        self,
        source: Source,
        *,
        reconcile_seconds: float,
        deadline: float,
        undisturbed: Undisturbed = nullcontext,
        named: Callable[[Feed, str], None] | None = None,
    ) -> None:
        self.listeners = 0
        self.patient_id: str | None = None
        self.walks = SharedWalks(source, deadline=deadline)
        self._source = source
        self._reconcile = reconcile_seconds
        self._named = named
        self._head: str | None = None
        self._furthest: tuple[str, datetime] | None = None
        self._webhooks = 0
        self._sent: set[str] = set()
        self._looks_left: list[float] = []
        self._woken = asyncio.Event()  # by what no look has begun after
        self._held_until = 0.0
        self._bell = Bell(undisturbed)
        self._newest_place: Position | None = None
        self._events: dict[Placed, Event] = {}
        self._round: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch, in a context of its own: no deadline of the first listener's binds the others."""
        self._task = asyncio.create_task(self._watch(), context=Context())

    async def stop(self) -> None:
        """End the watch and the reads that nobody waits for."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._round is not None:
            self._round.cancel()
        await self.walks.stop()

    def wake(self, sent: str | None = None) -> None:
        """Take a hint that a message came: by a webhook, or (its id) sent through this gateway."""
        if sent is None:
            self._webhooks += 1
        else:
            self._sent.add(sent)
        self._looks_left = list(_LOOKS_AFTER_A_WAKE)
        self._woken.set()

    def look_again(self) -> None:
        """Look at the conversation once, soon: hints may have been missed."""
        self._woken.set()

    @property
    def tick(self) -> int:
        """How often the conversation has moved on."""
        return self.walks.tick

    @property
    def head(self) -> str | None:
        """The id of the newest message at the last look; "" where none was shown, None before the first."""
        return self._head

    def event(self, placed: Placed, make: Callable[[Placed], Edge]) -> Event:
        """Give what a message is to listeners, made once for all who get it now."""
        known = self._events.get(placed)
        if known is None:
            if not self._events:
                self._round = asyncio.get_running_loop().call_later(GOES_ROUND_SECONDS, self._events.clear)
            elif len(self._events) >= BATCH:
                self._events.clear()
            known = self._events[placed] = Event(position(placed), make(placed))
        return known

    def news(self, tick: int, place: Position | None) -> asyncio.Future[None]:
        """Wait, at the newest message, until the conversation moves on from a tick; then ``leave``.

        No coroutine: thousands wait here, and each has to be gone through when it is woken.
        """
        waiter = self._bell.next()
        if self.tick == tick:
            self._newest_place = place
        else:
            waiter.set_result(None)
        return waiter

    def leave(self, waiter: asyncio.Future[None]) -> None:
        """Wait no longer."""
        self._bell.leave(waiter)

    async def beyond(self, tick: int, at_most: float) -> None:
        """Wait until the conversation moves on from a tick, or the time (seconds) is up."""
        if self.tick == tick:
            await self._bell.wait(at_most)

    async def _move_on(self, fresh: float) -> None:
        """Tell the listeners to read on, with copies not older than ``fresh``."""
        self.walks.move_on(fresh)
        if self._bell.waiting > 1:
            await self.walks.read_ahead(self._newest_place)
        await self._bell.ring()

    async def _watch(self) -> None:
        retry = _FIRST_RETRY
        while True:
            at_least = _FIRST_RETRY
            try:
                await self._look()
                retry = _FIRST_RETRY
                pause, at_least = self._next_pause(), 0.0
            except Overloaded:  # nothing is wrong upstream: many want to look at once
                pause = at_least = a_moment()
            except UpstreamError as error:
                _log.warning("a feed could not look upstream: %s", error.code)
                pause, retry = max(retry, self._held(error)), min(retry * 2, self._reconcile)
                let_go(error)
            except GatewayError as error:
                # Forbidden or not found: the listeners' own reads tell them.
                _log.warning("a feed is refused upstream: %s", error.code)
                let_go(error)
                await self._move_on(self._source.now())
                pause = self._reconcile
            except Exception as error:  # noqa: BLE001 - a watch that died would leave its listeners waiting
                _log.error("a feed failed: %s", type(error).__name__)
                pause = self._reconcile
            if await self._rest(pause, at_least):
                retry = _FIRST_RETRY

    async def _rest(self, pause: float, at_least: float) -> bool:
        """Wait for a wake-up, at most and at least so long, and tell whether one came.

        One that came while the look was under way counts too: a look that failed has answered nobody.
        """
        at_least = min(at_least, pause)
        if at_least:
            await asyncio.sleep(at_least)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause - at_least):
                await self._woken.wait()
        return self._woken.is_set()

    def _held(self, error: UpstreamError) -> float:
        """Give how many seconds Welkin wants to be left alone.

        A call that was kept back meanwhile says how much is left of what Welkin asked for; it does not
        begin the pause anew.
        """
        if not isinstance(error, UpstreamRateLimited) or not error.retry_after:
            return 0.0
        now = self._source.now()
        if now >= self._held_until:
            self._held_until = now + min(error.retry_after, _LONGEST_WAIT)
        return self._held_until - now

    async def _look(self) -> None:
        self._woken.clear()
        snapshot = await self._source.page(Ask(Newest(), self._source.now()))
        messages = snapshot.page.messages
        head = messages[0].external_id if messages else ""
        if head == self._head:
            return
        if self.patient_id is None and messages and self._named is not None:
            self._named(self, messages[0].patient_id)
        appeared = self._appeared(messages)
        if self._head is not None:
            self._take_off(appeared)
        self._head = head
        await self._move_on(snapshot.began)

    def _appeared(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """Give those of the newest messages that were not there before.

        Where the furthest message seen so far is not listed (it was archived, or the list lags), only what
        is certainly newer counts, and the list may well show less than it did.
        """
        appeared = messages
        if self._furthest is not None:
            furthest, time = self._furthest
            ids = [message.external_id for message in messages]
            if furthest in ids:
                appeared = messages[: ids.index(furthest)]
            else:
                appeared = tuple(message for message in messages if message.created_at > time)
        if appeared:
            self._furthest = appeared[0].external_id, appeared[0].created_at
        return appeared

    def _take_off(self, appeared: tuple[Message, ...]) -> None:
        """Take what appeared off what is waited for. A patient's own message has no webhook (D1)."""
        self._webhooks -= sum(message.sender.kind is not SenderKind.PATIENT for message in appeared)
        self._webhooks = max(0, self._webhooks)
        self._sent -= {message.external_id for message in appeared}

    def _next_pause(self) -> float:
        if self._woken.is_set():
            return 0.0
        if (self._webhooks or self._sent) and self._looks_left:
            return min(self._looks_left.pop(0), self._reconcile)
        self._webhooks = 0
        self._sent.clear()
        return self._reconcile


def a_moment() -> float:
    """Give a pause in seconds after which the line to Welkin may have room; drawn, so that few collide."""
    return random.uniform(0.5, 1.5)  # noqa: S311 - jitter
