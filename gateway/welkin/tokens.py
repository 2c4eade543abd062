"""Upstream tokens: one kept per credential, fetched by one call at a time, never shown.

Welkin blocks a credential for five minutes after 100 token requests in five minutes (vendor's knowledge
base, D2). So the gateway stays far below that, stops at the first sign of a block, and never lets a
storm of refusals become a storm of token requests:

* callers that need a token at the same time share one request, which none of them can cancel;
* a refused token is dropped only if it is still the current one: the first 401 of many costs a refresh;
* after failures the next request waits, longer each time; a token that is still good is used meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from gateway.domain.errors import (
    UpstreamBadResponse,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.welkin.instants import read_retry_after
from gateway.welkin.lifetimes import Token, read_token
from gateway.welkin.transport import Answer, CallFailed
from gateway.welkin.upstream import Credential

BLOCK_SECONDS = 300.0
BURST = 20
REFILL_SECONDS = 10.0
"""At most BURST requests at once and one more every so often: 50 in any five minutes, half of what blocks."""
_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
"""How long after the first, second, … failure in a row no request is made."""

Fetch = Callable[[], Awaitable[Answer]]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why no token is asked for before ``until``."""

    kind: type[UpstreamError]
    message: str
    until: float

    def error(self, now: float) -> UpstreamError:
        """Give a new error for each caller."""
        if self.kind is UpstreamRateLimited:
            return UpstreamRateLimited(self.message, max(0.0, self.until - now))
        return self.kind(self.message)


@dataclass(slots=True)
class _Slot:
    """All that is known of one credential's token."""

    token: Token | None = None
    refresh: asyncio.Task[Token | _Refusal] | None = None
    refusal: _Refusal | None = None
    failures: int = 0
    allowance: float = float(BURST)
    counted_at: float = field(default=0.0)

    def usable(self, now: float) -> Token | None:
        """Give the token while it is good."""
        return self.token if self.token is not None and now < self.token.expires_at else None

    def take_leave(self, now: float) -> _Refusal | None:
        """Count a request that is about to be made, or say why it must not be."""
        if self.refusal is not None and now < self.refusal.until:
            return self.refusal
        self.allowance = min(BURST, self.allowance + max(0.0, now - self.counted_at) / REFILL_SECONDS)
        self.counted_at = now
        if self.allowance < 1:
            until = now + (1 - self.allowance) * REFILL_SECONDS
            message = "The gateway has asked Welkin for as many tokens as it may for now."
            return _Refusal(UpstreamRateLimited, message, until)
        self.allowance -= 1
        return None


class Tokens:
    """The tokens of any number of credentials. The clock counts seconds since the epoch."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._slots: dict[Credential, _Slot] = {}

    async def get(self, credential: Credential, fetch: Fetch, deadline: float) -> str:
        """Give a token, asking for one with ``fetch`` if need be, and waiting until the deadline at most.

        Raises:
            UpstreamError: there is no token to be had now.
        """
        slot = self._slots.setdefault(credential, _Slot(counted_at=self._clock()))
        now = self._clock()
        token = slot.usable(now)
        if token is not None and now < token.refresh_at:
            return token.value
        refresh = slot.refresh or self._start_refresh(slot, fetch, now)
        if token is not None:
            return token.value
        if isinstance(refresh, _Refusal):
            raise refresh.error(now)
        return await self._wait(refresh, deadline)

    def refused(self, credential: Credential, value: str) -> None:
        """Drop a token that Welkin refused, unless it was replaced meanwhile."""
        slot = self._slots.get(credential)
        if slot is not None and slot.token is not None and slot.token.value == value:
            slot.token = None

    async def aclose(self) -> None:
        """Wait for the requests under way."""
        running = [slot.refresh for slot in self._slots.values() if slot.refresh is not None]
        if running:
            await asyncio.wait(running)

    def _start_refresh(
        self, slot: _Slot, fetch: Fetch, now: float
    ) -> asyncio.Task[Token | _Refusal] | _Refusal:
        refusal = slot.take_leave(now)
        if refusal is not None:
            return refusal
        slot.refresh = asyncio.create_task(self._refresh(slot, fetch))
        return slot.refresh

    async def _wait(self, refresh: asyncio.Task[Token | _Refusal], deadline: float) -> str:
        await asyncio.wait({refresh}, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if not refresh.done():
            raise UpstreamTimeout("Welkin did not answer in time (get a token).")
        match refresh.result():
            case Token() as token:
                return token.value
            case _Refusal() as refusal:
                raise refusal.error(self._clock())

    async def _refresh(self, slot: _Slot, fetch: Fetch) -> Token | _Refusal:
        try:
            result = await self._ask(slot, fetch)
        finally:
            slot.refresh = None
        if isinstance(result, Token):
            slot.token, slot.refusal, slot.failures = result, None, 0
        else:
            slot.refusal, slot.failures = result, slot.failures + 1
        return result

    async def _ask(self, slot: _Slot, fetch: Fetch) -> Token | _Refusal:
        try:
            answer = await fetch()
        except CallFailed as failed:
            return self._pause(slot, type(failed.error), failed.error.message)
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            token = read_token(answer.body, self._clock())
            return token or self._pause(
                slot, UpstreamBadResponse, "Welkin's answer holds no token (get a token)."
            )
        return self._denied(slot, answer)

    def _denied(self, slot: _Slot, answer: Answer) -> _Refusal:
        if answer.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.FORBIDDEN}:
            now = self._clock()
            asked = read_retry_after(answer.retry_after, now) or 0.0
            message = "Welkin takes no token requests from the gateway for a while."
            return _Refusal(UpstreamRateLimited, message, now + max(BLOCK_SECONDS, asked))
        if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return self._pause(slot, UpstreamUnavailable, "Welkin refused the gateway's credentials.")
        return self._pause(slot, UpstreamUnavailable, "Welkin failed (get a token).")

    def _pause(self, slot: _Slot, kind: type[UpstreamError], message: str) -> _Refusal:
        pause = _PAUSES[min(slot.failures, len(_PAUSES) - 1)]
        return _Refusal(kind, message, self._clock() + pause)
