"""Whether a call to one instance may begin, what its outcome tells, and whether it is made again.

A call is kept back while Welkin asks for a pause (throttle) or has failed again and again (breaker). One
that failed is repeated, if that may help, at most three times, after a pause of full jitter, within its
deadline and the instance's retry budget:

* a read, or a question that changes nothing: after a connection that was refused, reset or not made, after
  500, 502, 503, 504, and after a 429 whose Retry-After is over in time;
* a message: only where surely no byte of it has left, so that it still goes out once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol, TypeVar

import stamina

from gateway.domain.errors import UpstreamTimeout
from gateway.welkin.breaker import Breaker, BreakerState
from gateway.welkin.budget import RetryBudget
from gateway.welkin.failures import CallFailed, kept_back, throttled
from gateway.welkin.instants import read_retry_after
from gateway.welkin.throttle import Throttle

_PASSING = frozenset({500, 502, 503, 504})
_LONGEST_PAUSE = 2.0
_FAIR_SHARE = 0.5
"""A call that had less than this share of its full time, and did not make it, tells nothing about Welkin."""


class Answered(Protocol):
    """An answer of any kind."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def retry_after(self) -> str | None:
        """The header, as it came."""
        ...


A = TypeVar("A", bound=Answered)
Stands = Callable[[], bool]
Perform = Callable[[Stands], Awaitable[A]]
"""Makes a call, once; asks before it goes out whether it still may."""


class _Unwell(Exception):
    """An answer that a repetition may better."""

    def __init__(self, again_in: float) -> None:
        super().__init__("Welkin failed")
        self.again_in = again_in


@dataclass(slots=True)
class _Call:
    """One call over all of its attempts. ``deadline`` is a time of the running event loop."""

    deadline: float
    sends: bool
    attempts: int = 0
    counted: bool = False


@dataclass(slots=True)
class Attempts:
    """The calls to one instance. ``full_seconds`` is what a call may take at most."""

    full_seconds: float
    max_retries: int = 3
    first_pause: float = 0.2
    breaker: Breaker = field(default_factory=Breaker)
    budget: RetryBudget = field(default_factory=RetryBudget)
    throttle: Throttle = field(default_factory=Throttle)
    retries: int = 0
    """How many calls were made again, since the start."""
    answered: bool | None = None
    """Whether the last call that tells anything had an answer; None: there was none yet."""
    _repeat: stamina.AsyncRetryingCaller = field(
        default_factory=lambda: stamina.AsyncRetryingCaller(attempts=None, timeout=None), repr=False
    )

    def __post_init__(self) -> None:
        """Keep stamina from reporting retries in its own way, past what may be logged here."""
        stamina.instrumentation.set_on_retry_hooks(())

    async def make(
        self,
        operation: str,
        perform: Perform[A],
        *,
        deadline: float,
        sends: bool = False,
        subject: str | None = None,
    ) -> A:
        """Make a call, and again while that is allowed and may help. ``sends``: it sends a message.

        ``subject``: what the call is about; answers of 500 may be of that alone.

        Raises:
            CallFailed: there is no answer.
        """
        call = _Call(deadline, sends)
        last: list[A] = []

        async def attempt() -> A:
            last.clear()
            call.attempts += 1
            try:
                answer = await self.once(operation, perform, deadline, subject)
            except CallFailed as failed:
                self._count(call, went_out=failed.works is not None)
                raise
            self._count(call, went_out=True)
            again_in = self._again_in(answer)
            if again_in is None or sends:
                return answer
            last.append(answer)
            raise _Unwell(again_in)

        try:
            return await self._repeated(call, attempt)
        except _Unwell:
            return last[0]

    async def _repeated(self, call: _Call, attempt: Callable[[], Awaitable[A]]) -> A:
        """Make attempts; when the next one is due, and whether there is any, is said by ``_pause``.

        stamina comes in once there is something to repeat: each run of it leaves some fifty objects to the
        garbage collector, and most calls succeed at once.
        """
        try:
            return await attempt()
        except (CallFailed, _Unwell) as error:
            pause = self._pause(call, error)
            if isinstance(pause, bool):
                raise
        await asyncio.sleep(pause)
        return await self._repeat(lambda error: self._pause(call, error), attempt)

    async def once(
        self, operation: str, perform: Perform[A], deadline: float, subject: str | None = None
    ) -> A:
        """Make a call once. ``subject``: see ``make``.

        Raises:
            CallFailed: there is no answer, or the call was kept back.
        """
        wait = self.throttle.wait
        if wait is not None:
            raise throttled(operation, wait)
        ticket = self.breaker.enter()
        if ticket is None:
            raise kept_back(operation)
        fair = deadline - asyncio.get_running_loop().time() >= _FAIR_SHARE * self.full_seconds
        ok: bool | None = None
        alone: str | None = None
        try:
            answer = await perform(lambda: self.breaker.stands(ticket))
            ok = answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
            alone = subject if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR else None
        except CallFailed as failed:
            ok = _tells(failed, fair=fair)
            raise
        else:
            return answer
        finally:
            ok = self.breaker.leave(ticket, ok=ok, subject=alone)
            self.answered = self.answered if ok is None else ok

    def _count(self, call: _Call, *, went_out: bool) -> None:
        """Count towards the budget what went out for the first time: what was kept back is no load."""
        if went_out and not call.counted:
            call.counted = True
            self.budget.called()

    def _again_in(self, answer: Answered) -> float | None:
        """Give after how many seconds the call may do better, None if never. Heeds what Welkin asks for."""
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            asked = read_retry_after(answer.retry_after, time.time())
            if asked:
                self.throttle.slow_down(asked)
            return asked
        if answer.status in _PASSING:
            return read_retry_after(answer.retry_after, time.time()) or 0.0
        return None

    def _pause(self, call: _Call, error: Exception) -> float | bool:
        """Give the pause before the next attempt, or False."""
        if not isinstance(error, CallFailed | _Unwell) or error.again_in is None:
            return False
        if isinstance(error, CallFailed) and error.maybe_sent and call.sends:
            return False
        if call.attempts > self.max_retries or self.breaker.state is BreakerState.OPEN:
            return False
        longest = min(_LONGEST_PAUSE, self.first_pause * 2 ** (call.attempts - 1))
        pause = error.again_in + random.uniform(0, longest)  # noqa: S311 - jitter
        if asyncio.get_running_loop().time() + pause >= call.deadline or not self.budget.spend():
            return False
        self.retries += 1
        return pause


def _tells(failed: CallFailed, *, fair: bool) -> bool | None:
    """Tell what a failure says of Welkin; one of a call that had too little time says nothing."""
    return None if isinstance(failed.error, UpstreamTimeout) and not fair else failed.works
