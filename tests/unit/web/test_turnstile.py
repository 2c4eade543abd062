"""Turns at the processor, with a clock that moves only where work is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain import pacing
from gateway.web.turnstile import (
    CROWD_SECONDS,
    LONGEST_ROUND_SECONDS,
    LONGEST_WAIT_SECONDS,
    ROUND_SECONDS,
    Turnstile,
)

STEP = 0.002
SECONDS = 6.0


class Clock:
    """A clock that work moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Machine:
    """Operations of two steps, with a pause between them, and what became of them."""

    def __init__(self, step: float = STEP) -> None:
        self.clock = Clock()
        self.turns = Turnstile(self.clock)
        self.step = step
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.tasks: list[asyncio.Task[int]] = []

    async def operate(self, number: int, pause: Callable[[], Awaitable[object]]) -> int:
        """Work, wait, work."""
        self.begun.append(number)
        self.clock.now += self.step
        await pause()
        self.clock.now += self.step
        self.ended.append(number)
        return number

    def come(self, how_many: int, pause: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)) -> None:
        """Let so many operations come at once."""
        for _ in range(how_many):
            work = self.operate(len(self.tasks), pause)
            self.tasks.append(asyncio.ensure_future(self.turns.paced(work)))

    async def finish(self) -> list[int]:
        """Wait until all have ended."""
        return list(await asyncio.gather(*self.tasks))


async def test_everybody_ends_in_the_order_of_their_coming() -> None:
    machine = Machine()
    machine.come(200)

    assert await machine.finish() == list(range(200))
    assert machine.begun == machine.ended == list(range(200))
    assert machine.turns.waiting == 0


@pytest.mark.parametrize("step", [0.0001, 0.002, 0.02])
async def test_others_are_heard_between_the_turns(step: float) -> None:
    machine = Machine(step)
    woken = asyncio.Event()
    machine.come(300, woken.wait)
    heard: list[float] = []

    async def probe() -> None:
        while not all(task.done() for task in machine.tasks):
            heard.append(machine.clock.now)
            await asyncio.sleep(0)
            if len(machine.begun) == 300:
                woken.set()  # all become ready together, as those who wait for one answer do

    await probe()
    gaps = [after - before for before, after in pairwise(heard)]
    assert max(gaps) <= max(8 * step, 2 * ROUND_SECONDS) + 1e-9
    assert await machine.finish() == list(range(300))


async def test_what_was_taken_on_is_finished_first() -> None:
    machine = Machine()
    machine.come(100)
    for _ in range(25):
        await asyncio.sleep(0)

    assert len(machine.begun) > 20
    assert len(machine.begun) - len(machine.ended) < 10
    await machine.finish()


async def test_operations_get_half_of_the_time_where_something_else_takes_much() -> None:
    machine = Machine()
    machine.come(200)
    others = 0.0
    while not all(task.done() for task in machine.tasks):
        machine.clock.now += LONGEST_ROUND_SECONDS
        others += LONGEST_ROUND_SECONDS
        await asyncio.sleep(0)

    assert others / 4 < 200 * 2 * STEP
    await machine.finish()


async def test_a_crowd_is_served_and_a_queue_that_stays_is_full() -> None:
    machine = Machine()
    machine.come(1_000)
    await asyncio.sleep(0)
    began = machine.clock.now
    told: list[tuple[float, float, bool]] = []
    while machine.turns.waiting:
        await asyncio.sleep(0)
        told.append((machine.clock.now - began, machine.turns.expected_wait, machine.turns.is_full))

    early = [full for at, _, full in told if at < CROWD_SECONDS]
    late = [full for at, wait, full in told if at > CROWD_SECONDS * 1.1 and wait > LONGEST_WAIT_SECONDS]
    assert early
    assert late
    assert not any(early)
    assert all(late)
    expected = next(wait for at, wait, _ in told if at > CROWD_SECONDS * 1.1)
    assert expected == pytest.approx(1_000 * 2 * STEP - CROWD_SECONDS * 1.1, rel=0.1)
    assert not machine.turns.is_full
    await machine.finish()


@settings(max_examples=15, deadline=None)
@given(step=st.floats(0.002, 0.02), times=st.floats(1.5, 6), hold=st.floats(0, 0.3))
def test_all_are_admitted_again_within_a_second(step: float, times: float, hold: float) -> None:
    """More comes than can be served, the loop is held up once, and whoever is refused stays away."""

    async def play() -> None:
        machine = Machine(step)
        clock, turns = machine.clock, machine.turns
        began, came, refused = clock.now, 0, 0
        while (passed := clock.now - began) < SECONDS:
            due = int(passed * times / (2 * step)) + 1
            for _ in range(came, due):
                if turns.is_full:
                    refused += 1
                else:
                    machine.come(1)
            if came * 2 < SECONDS * times / (2 * step) <= due * 2:
                clock.now += hold
            came = due
            await asyncio.sleep(0)
        ended = clock.now
        await machine.finish()

        assert refused
        assert not turns.is_full
        assert turns.waiting == 0
        assert clock.now - ended < 1 + hold
        assert len(machine.ended) * 2 * step > 0.9 * (SECONDS - hold)

    asyncio.run(play())


@pytest.mark.parametrize("paced", [True, False])
async def test_what_operations_begin_on_the_way_takes_turns_with_them(*, paced: bool) -> None:
    """A hundred answers of Welkin's that came together are not all read before anybody else is heard."""
    machine = Machine(step=0.002)
    answered = asyncio.Event()
    reading: list[asyncio.Task[None]] = []

    async def read() -> None:
        await answered.wait()
        machine.clock.now += machine.step

    async def call() -> None:
        reading.append(asyncio.create_task(pacing.paced(read()) if paced else read()))
        await reading[-1]

    machine.come(100, call)
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(reading) == 100
    assert machine.turns.waiting == 0  # of what was begun on the way none counts as new
    answered.set()
    longest, before = 0.0, machine.clock.now
    while not all(task.done() for task in machine.tasks):
        await asyncio.sleep(0)
        longest, before = max(longest, machine.clock.now - before), machine.clock.now

    if paced:
        assert longest <= 2 * ROUND_SECONDS
    else:
        assert longest > 90 * machine.step  # all of them in one go
    assert await machine.finish() == list(range(100))


async def test_an_error_reaches_the_caller() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("canary")

    with pytest.raises(ValueError, match="canary"):
        await Turnstile().paced(fail())


async def test_a_caller_who_leaves_takes_no_turn() -> None:
    machine = Machine()
    machine.come(50, asyncio.Event().wait)
    await asyncio.sleep(0)
    assert 0 < len(machine.begun) < 50
    before = len(machine.begun)

    for task in machine.tasks:
        task.cancel()
    outcomes = await asyncio.gather(*machine.tasks, return_exceptions=True)

    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert len(machine.begun) == before
    machine.tasks.clear()
    machine.come(3)
    await machine.finish()
    assert machine.turns.waiting == 0


async def test_work_may_catch_its_cancellation() -> None:
    cleaned: list[str] = []

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            cleaned.append("yes")
            raise
        return "never"

    task = asyncio.ensure_future(Turnstile().paced(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == ["yes"]


async def test_a_deadline_inside_of_the_work_holds() -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"

    assert await Turnstile().paced(work()) == "late"
