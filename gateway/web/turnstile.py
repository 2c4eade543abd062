"""Turns at the processor: operations run in short rounds, and it is known how long the next has to wait.

One thread serves everybody. A hundred operations that become ready together would otherwise run to their
next pause one after the other before the loop looks at a socket again, and until then a probe, a webhook
and even a refusal wait with them. So each step of an operation, from one pause to the next, takes a turn:
in a round of the loop turns are given for some milliseconds, the others wait for the next round. Who has
begun goes before who has not, so that what was taken on is finished. The calls to Welkin that an operation
makes run in tasks of their own; most of the work for them is ours, and they take turns too.

What waits to begin is the queue. It may grow for a moment, since callers come in crowds. Where it has not
been empty for a while and is longer than can be served soon, it is *full*: there is more work than time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

from gateway.domain import pacing

T = TypeVar("T")

ROUND_SECONDS = 0.005
"""For turns in one round. All else gets its own time in each round."""

LONGEST_ROUND_SECONDS = 0.05
"""The same where all else takes longer than that: operations get half of the time, up to this."""

LONGEST_WAIT_SECONDS = 0.5
"""Before an operation begins; who would wait longer had better come again."""

CROWD_SECONDS = 1.0
"""For which the queue may be longer than that."""

_MOST_TURNS = 8
"""In a short round, however short turns were lately: the next may be longer."""

_LATELY_SECONDS = 2.0
"""For which it is remembered how many operations could begin: they come and go in waves."""


class Turnstile:
    """Gives turns to the operations of one event loop."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._new: deque[asyncio.Future[None]] = deque()
        self._begun: deque[asyncio.Future[None]] = deque()
        self._queue_since: float | None = None
        self._in_round = False
        self._round_began = 0.0
        self._room = ROUND_SECONDS
        self._spent = 0.0
        self._step_seconds = 0.001
        self._started = 0
        self._queued_seconds = 0.0
        self._queued_starts = 0.0

    @property
    def waiting(self) -> int:
        """How many operations wait to begin."""
        return len(self._new)

    @property
    def expected_wait(self) -> float:
        """The seconds until an operation would begin that came now."""
        return len(self._new) * self._queued_seconds / max(self._queued_starts, 1.0)

    @property
    def is_full(self) -> bool:
        """Whether there is more work than time, and has been for a while."""
        since = self._queue_since
        if since is None or self.expected_wait <= LONGEST_WAIT_SECONDS:
            return False
        return self._clock() - since > CROWD_SECONDS

    async def alongside(self, work: Coroutine[Any, Any, T]) -> T:
        """Run what an operation that has begun needs, in a task of its own, with a turn for each step."""
        return await self._steps(work, self._begun)

    async def paced(self, work: Coroutine[Any, Any, T]) -> T:
        """Run an operation to its end, with a turn for each step. Cancelling it takes no turn.

        What it begins by ``pacing.paced`` takes turns alongside.
        """
        pacing.pace_with(self.alongside)
        return await self._steps(work, self._new)

    @coroutine
    def _steps(
        self, work: Coroutine[Any, Any, T], line: deque[asyncio.Future[None]]
    ) -> Generator[Any, Any, T]:
        wrong: BaseException | None = None
        while True:
            if wrong is None and (turn := self._queue_up(line)) is not None:
                try:
                    yield from turn
                except BaseException as error:  # noqa: BLE001 -- the work's own to deal with
                    wrong = error
            if line is self._new:
                line = self._begun
                self._started += 1
            began = self._clock()
            try:
                awaited = work.send(None) if wrong is None else work.throw(wrong)
            except StopIteration as end:
                return end.value
            finally:
                wrong = None  # it would keep this frame alive, and the frame it
                self._spend(began)
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001 -- the same
                wrong = error

    def _queue_up(self, line: deque[asyncio.Future[None]]) -> asyncio.Future[None] | None:
        """Stand in line; None where a step may be taken at once."""
        if self._spent < self._room and not self._begun and not self._new:
            return None
        if line is self._new and not line:
            self._queue_since = self._clock()
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        return turn

    def _spend(self, began: float) -> None:
        took = self._clock() - began
        self._spent += took
        self._step_seconds += (took - self._step_seconds) / 20
        if not self._in_round:
            self._in_round = True
            self._round_began = began
            asyncio.get_running_loop().call_soon(self._end_round)

    def _end_round(self) -> None:
        now = self._clock()
        took, self._round_began = now - self._round_began, now
        if self._queue_since is not None:
            kept = max(0.0, 1.0 - took / _LATELY_SECONDS)
            self._queued_seconds = self._queued_seconds * kept + took
            self._queued_starts = self._queued_starts * kept + self._started
        self._room = min(max(ROUND_SECONDS, took - self._spent), LONGEST_ROUND_SECONDS)
        is_last = not (self._spent or self._new or self._begun)
        self._started, self._spent = 0, 0.0
        self._give_turns()
        if not self._new:
            self._queue_since = None
        self._in_round = not is_last
        if self._in_round:
            asyncio.get_running_loop().call_soon(self._end_round)

    def _give_turns(self) -> None:
        most = _MOST_TURNS * self._room / ROUND_SECONDS
        left = max(1, int(min(most, self._room / self._step_seconds)))
        while left and (line := self._begun or self._new):
            turn = line.popleft()
            if not turn.done():  # else its caller has gone
                turn.set_result(None)
                left -= 1
