"""What a call does to the budget of retries, and what it costs where nothing is repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.welkin.attempts import Attempts
from gateway.welkin.breaker import FEWEST_FAILURES, Breaker, BreakerState
from gateway.welkin.budget import RetryBudget
from gateway.welkin.failures import CallFailed
from gateway.welkin.throttle import Throttle
from gateway.welkin.transport import Answer
from tests.unit.services.fakes import run


class Welkin:
    """Fails two of five calls while it is unwell."""

    def __init__(self) -> None:
        self.calls = 0
        self.unwell = False

    async def perform(self, _stands: Callable[[], bool]) -> Answer:
        self.calls += 1
        number = self.calls
        await asyncio.sleep(0.001)
        return Answer(503 if self.unwell and number % 5 in {0, 2} else 200, b"")


def attempts() -> Attempts:
    clock = asyncio.get_running_loop().time
    return Attempts(10.0, breaker=Breaker(clock), budget=RetryBudget(clock), throttle=Throttle(clock))


@pytest.mark.parametrize("kept_back", [0, 2000])
def test_calls_that_were_kept_back_allow_no_retries(kept_back: int):
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        welkin, made = Welkin(), attempts()
        for _ in range(10):
            await made.make("op", welkin.perform, deadline=clock() + 10)
        if kept_back:
            made.throttle.slow_down(5.0)
        for _ in range(kept_back):
            with pytest.raises(CallFailed):
                await made.make("op", welkin.perform, deadline=clock() + 10)
            await asyncio.sleep(0.002)
        assert welkin.calls == 10
        await asyncio.sleep(1.5)

        welkin.unwell = True
        for _ in range(100):
            await made.make("op", welkin.perform, deadline=clock() + 10)

        assert welkin.calls - 10 <= 125  # a fifth of the 110 calls, and what is under way at once
        assert made.retries >= 15

    run(scenario)


def test_a_call_that_is_made_again_counts_once():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        made = attempts()
        answers = [Answer(503, b""), Answer(502, b""), Answer(200, b"")]

        async def perform(_stands: Callable[[], bool]) -> Answer:
            return answers.pop(0)

        answer = await made.make("op", perform, deadline=clock() + 10)

        assert answer.status == 200
        assert made.retries == 2
        assert made.budget._calls.count == 1

    run(scenario)


@pytest.mark.parametrize(("status", "state"), [(500, BreakerState.CLOSED), (503, BreakerState.OPEN)])
def test_only_a_500_may_be_of_one_subject_alone(status: int, state: BreakerState):
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        made = attempts()

        async def perform(_stands: Callable[[], bool]) -> Answer:
            return Answer(status, b"")

        for _ in range(FEWEST_FAILURES):
            await made.once("op", perform, clock() + 10, "/sick")

        assert made.breaker.state is state
        assert made.answered is False

    run(scenario)


def test_what_is_known_to_fail_alone_does_not_hide_that_others_are_answered():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        made = attempts()
        answers = [Answer(500, b""), Answer(200, b""), Answer(500, b"")]

        async def perform(_stands: Callable[[], bool]) -> Answer:
            return answers.pop(0)

        for subject in ("/sick", "/well", "/sick"):
            await made.once("op", perform, clock() + 10, subject)

        assert made.answered is True

    run(scenario)
