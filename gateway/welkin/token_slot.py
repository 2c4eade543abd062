"""All that is known of one credential's token, and how often one may be asked for. No I/O."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from gateway.domain.errors import (
    GatewayError,
    UpstreamBadResponse,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.welkin.failures import CallFailed
from gateway.welkin.instants import read_retry_after
from gateway.welkin.lifetimes import Token
from gateway.welkin.transport import Answer

BLOCK_SECONDS = 300.0
LONGEST_BLOCK = 3600.0
BURST = 20
REFILL_SECONDS = 10.0
"""At most BURST requests at once and one more every so often: 50 in any five minutes, half of what blocks."""
MOST_SHARED = 60
"""So many tokens in five minutes are asked for by all processes that share a shelf, before the ones that
hold a token ask for no other."""
_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)
"""How long after the first, second, … failure in a row no request is made."""
LONGEST_PAUSE = _PAUSES[-1]
"""Processes that share a shelf keep each other's pauses: together they make one request in each, 75 in any
five minutes at the most, and a return is still noticed within 5 s."""
_NEVER_COUNTED = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
"""Said by a proxy in front of what counts token requests."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no token is asked for before ``until``. ``passing``: a request after that may do better.

    ``works``: what the request told of Welkin; None: the gateway made none.
    """

    kind: type[GatewayError]
    message: str
    until: float
    works: bool | None
    passing: bool = False

    @property
    def is_hiccup(self) -> bool:
        """Whether asking once more within moments may do. What timed out has used the time up."""
        return self.passing and self.works is not None and not issubclass(self.kind, UpstreamTimeout)

    def failure(self, now: float, *, new: bool) -> CallFailed:
        """Give a failure for each caller; ``new``: the request was made for this one.

        It is one request, however many have waited for it: only one of them tells what came of it.
        """
        left = max(0.0, self.until - now)
        limited = self.kind is UpstreamRateLimited
        error = UpstreamRateLimited(self.message, left) if limited else self.kind(self.message)
        again_in = left if self.passing else None
        return CallFailed(error, maybe_sent=False, again_in=again_in, works=self.works if new else None)


Result = Token | Refusal


@dataclass(slots=True)
class Slot:
    """One credential's token; times are on the clock that is handed in."""

    counted_at: float
    token: Token | None = None
    rejected: str | None = None
    refresh: asyncio.Task[Result] | None = None
    refusal: Refusal | None = None
    failures: int = 0
    allowance: float = float(BURST)

    def usable(self, now: float) -> Token | None:
        """Give the token while it is good."""
        return self.token if self.token is not None and now < self.token.expires_at else None

    def pending(self, now: float) -> Refusal | None:
        """Give the reason why no request may be made yet, if there is one."""
        return self.refusal if self.refusal is not None and now < self.refusal.until else None

    def wants(self, kept: Token, now: float) -> bool:
        """Tell whether a token that lay on the shelf is better than asking for one."""
        if kept.value == self.rejected or now >= kept.expires_at:
            return False
        return now < kept.refresh_at or self.usable(now) is None

    def is_bettered_by(self, fresh: Token, now: float) -> bool:
        """Tell whether a token that a neighbour has just asked for will do where one is to be renewed."""
        if fresh.value == self.rejected or now >= fresh.expires_at:
            return False
        ours = self.token
        return ours is None or (fresh.value != ours.value and fresh.expires_at > ours.expires_at)

    def reject(self, value: str) -> None:
        """Drop a token that Welkin refused, unless it was replaced meanwhile."""
        if self.token is not None and self.token.value == value:
            self.token, self.rejected = None, value

    def take_leave(self, now: float) -> Refusal | None:
        """Count a request that is about to be made, or say why it must not be."""
        self.allowance = min(BURST, self.allowance + max(0.0, now - self.counted_at) / REFILL_SECONDS)
        self.counted_at = now
        if self.allowance < 1:
            until = now + (1 - self.allowance) * REFILL_SECONDS
            message = "The gateway has asked Welkin for as many tokens as it may for now."
            return Refusal(UpstreamRateLimited, message, until, works=None)
        self.allowance -= 1
        return None

    def note(self, result: Result) -> None:
        """Keep what a request brought."""
        if isinstance(result, Token):
            self.token, self.refusal, self.failures = result, None, 0
        else:
            self.refusal = result
            self.failures += result.works is not None

    def unanswered(self, failed: CallFailed, now: float) -> Refusal:
        """Give the refusal for a request without an answer."""
        if not failed.maybe_sent:
            self.allowance += 1
        passing = failed.again_in is not None
        return self._pause(type(failed.error), failed.error.message, now, works=failed.works, passing=passing)

    def unusable(self, now: float) -> Refusal:
        """Give the refusal for an answer without a token in it."""
        message = "Welkin's answer holds no token (get a token)."
        return self._pause(UpstreamBadResponse, message, now, works=True)

    def denied(self, answer: Answer, now: float, wall: float) -> Refusal:
        """Give the refusal for an answer that is not a success. ``wall``: the seconds since the epoch."""
        if answer.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.FORBIDDEN}:
            asked = min(read_retry_after(answer.retry_after, wall) or 0.0, LONGEST_BLOCK)
            return blocked(now + max(BLOCK_SECONDS, asked), works=True)
        if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            message = "Welkin refused the gateway's credentials."
            return self._pause(UpstreamUnavailable, message, now, works=True)
        if answer.status in _NEVER_COUNTED:
            self.allowance += 1
        message = "Welkin failed (get a token)."
        return self._pause(UpstreamUnavailable, message, now, works=False, passing=True)

    def _pause(
        self, kind: type[GatewayError], message: str, now: float, *, works: bool | None, passing: bool = False
    ) -> Refusal:
        pause = _PAUSES[min(self.failures, len(_PAUSES) - 1)]
        return Refusal(kind, message, now + pause, works, passing)


def enough(now: float) -> Refusal:
    """Give the refusal of a renewal where all processes together have asked often enough.

    It is over at once: whoever has no token must be free to ask.
    """
    message = "The gateways have asked Welkin for as many tokens as they may for now."
    return Refusal(UpstreamRateLimited, message, now, works=None)


def paused(until: float) -> Refusal:
    """Give the refusal for a credential for which a neighbour asked in vain a moment ago."""
    message = "Welkin failed (get a token)."
    return Refusal(UpstreamUnavailable, message, until, works=None, passing=True)


def blocked(until: float, *, works: bool | None) -> Refusal:
    """Give the refusal for a credential that Welkin has blocked."""
    message = "Welkin takes no token requests from the gateway for a while."
    return Refusal(UpstreamRateLimited, message, until, works)
