"""Upstream tokens: one kept per credential, fetched by one call at a time, never shown.

Welkin blocks a credential for five minutes after 100 token requests in five minutes (vendor's knowledge
base, D2). So the gateway stays far below that, stops at the first sign of a block, and never lets a
storm of refusals become a storm of token requests:

* callers that need a token at the same time share one request, which none of them can cancel;
* a refused token is dropped only if it is still the current one: the first 401 of many costs a refresh;
* after failures the next request waits, longer each time; a token that is still good is used meanwhile;
* a first failure that may pass is not told yet: the same request is made once more, for all who wait;
* before Welkin is asked, the shelf is: what a neighbour fetched is used, a block that a neighbour, or
  this gateway before its restart, ran into is waited out, and so is the pause after its failure.

Times are kept on a clock that never jumps; the wall clock is only read to understand what Welkin says.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from gateway.domain.errors import UpstreamRateLimited
from gateway.domain.ports import Shelf
from gateway.welkin.failures import CallFailed, timed_out
from gateway.welkin.lifetimes import Token, read_token
from gateway.welkin.token_shelf import TokenShelf
from gateway.welkin.token_slot import MOST_SHARED, Refusal, Result, Slot, blocked, enough, paused
from gateway.welkin.transport import Answer
from gateway.welkin.upstream import Credential

OPERATION = "get a token"
Fetch = Callable[[], Awaitable[Answer]]
Clock = Callable[[], float]

_HICCUP_SECONDS = (0.05, 0.2)
"""At least and at most, between a first failure and the same request once more."""


class Tokens:
    """The tokens of any number of credentials.

    ``clock`` counts seconds and never goes back; ``wall`` counts them since the epoch.
    """

    def __init__(
        self, shelf: Shelf | None = None, *, clock: Clock = time.monotonic, wall: Clock = time.time
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._shelf = TokenShelf(shelf, clock, wall)
        self._slots: dict[Credential, Slot] = {}

    async def get(self, credential: Credential, fetch: Fetch, deadline: float) -> str:
        """Give a token, asking for one with ``fetch`` if need be, and waiting until the deadline at most.

        Raises:
            CallFailed: there is no token to be had now.
        """
        slot = self._slot(credential)
        now = self._clock()
        token = slot.usable(now)
        if token is not None and now < token.refresh_at:
            return token.value
        starts = slot.refresh is None
        refresh = slot.refresh or self._start_refresh(credential, slot, fetch)
        if token is not None:
            return token.value
        return (await self._outcome(refresh, deadline, starts=starts)).value

    async def renew(self, credential: Credential, fetch: Fetch, deadline: float) -> None:
        """Ask Welkin for a token, whether there is one or not; within the same limits.

        One that a neighbour asked for a moment ago is taken instead, and all processes together ask for
        so many and no more: Welkin counts them together.

        Raises:
            CallFailed: there is none to be had now. The token at hand stays.
        """
        slot = self._slot(credential)
        starts = slot.refresh is None
        refresh = slot.refresh or self._start_refresh(credential, slot, fetch, anew=True)
        await self._outcome(refresh, deadline, starts=starts)

    def holds(self, credential: Credential) -> bool:
        """Tell whether there is a token that may be used."""
        return self._slot(credential).usable(self._clock()) is not None

    def refused(self, credential: Credential, value: str) -> None:
        """Drop a token that Welkin refused, unless it was replaced meanwhile."""
        self._slot(credential).reject(value)

    async def aclose(self) -> None:
        """Wait for the requests under way."""
        running = [slot.refresh for slot in self._slots.values() if slot.refresh is not None]
        if running:
            await asyncio.wait(running)

    def _slot(self, credential: Credential) -> Slot:
        slot = self._slots.get(credential)
        if slot is None:
            slot = self._slots[credential] = Slot(counted_at=self._clock())
        return slot

    def _start_refresh(
        self, credential: Credential, slot: Slot, fetch: Fetch, *, anew: bool = False
    ) -> asyncio.Task[Result] | Refusal:
        refusal = slot.pending(self._clock())
        if refusal is not None:
            return refusal
        slot.refresh = asyncio.create_task(self._refresh(credential, slot, fetch, anew=anew))
        return slot.refresh

    async def _outcome(
        self, refresh: asyncio.Task[Result] | Refusal, deadline: float, *, starts: bool
    ) -> Token:
        """Wait for a token. ``starts``: the request for it was made for this caller."""
        if isinstance(refresh, Refusal):
            raise refresh.failure(self._clock(), new=False)
        await asyncio.wait({refresh}, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if not refresh.done():
            raise timed_out(OPERATION, maybe_sent=False)
        result = refresh.result()
        if isinstance(result, Refusal):
            raise result.failure(self._clock(), new=starts)
        return result

    async def _refresh(self, credential: Credential, slot: Slot, fetch: Fetch, *, anew: bool) -> Result:
        try:
            result = await self._result(credential, slot, fetch, anew=anew)
            if isinstance(result, Refusal) and result.is_hiccup and slot.failures == 1:
                await asyncio.sleep(random.uniform(*_HICCUP_SECONDS))  # noqa: S311 - jitter
                result = await self._result(credential, slot, fetch, anew=anew)
            return result
        finally:
            slot.refresh = None

    async def _result(self, credential: Credential, slot: Slot, fetch: Fetch, *, anew: bool) -> Result:
        result = await self._kept(credential, slot, anew=anew)
        if result is not None:
            slot.note(result)
            return result
        result = await self._ask(slot, fetch)
        slot.note(result)
        await self._keep(credential, result)
        return result

    async def _kept(self, credential: Credential, slot: Slot, *, anew: bool) -> Result | None:
        """Give what the shelf holds instead of a request."""
        if anew:
            token = await self._shelf.fresh_token(credential)
            wanted = token is not None and slot.is_bettered_by(token, self._clock())
            if not wanted and self._shelf.count(credential) >= MOST_SHARED:
                return enough(self._clock())
        else:
            token = await self._shelf.token(credential)
            wanted = token is not None and slot.wants(token, self._clock())
        if wanted:
            return token
        until = await self._shelf.blocked_until(credential)
        if until is not None:
            return blocked(until, works=None)
        until = await self._shelf.paused_until(credential)
        return None if until is None else paused(until)

    async def _keep(self, credential: Credential, result: Result) -> None:
        if isinstance(result, Token):
            await self._shelf.keep_token(credential, result)
        elif result.works and result.kind is UpstreamRateLimited:
            await self._shelf.keep_block(credential, result.until)
        elif result.works is not None:
            await self._shelf.keep_pause(credential, result.until)

    async def _ask(self, slot: Slot, fetch: Fetch) -> Result:
        refusal = slot.take_leave(self._clock())
        if refusal is not None:
            return refusal
        try:
            answer = await fetch()
        except CallFailed as failed:
            return slot.unanswered(failed, self._clock())
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return slot.denied(answer, self._clock(), self._wall())
        now, wall = self._clock(), self._wall()
        token = read_token(answer.body, wall)
        return slot.unusable(now) if token is None else token.shifted(now - wall)
