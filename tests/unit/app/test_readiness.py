"""A process is ready once every part was well, and says what is wrong with each."""

from __future__ import annotations

import asyncio

import pytest

from gateway.app import readiness
from gateway.app.readiness import Part, Readiness


class Health:
    """A part whose state a test sets."""

    def __init__(self, wrong: str | None = None) -> None:
        self.wrong = wrong
        self.asked = 0

    async def check(self) -> str | None:
        self.asked += 1
        await asyncio.sleep(0)
        return self.wrong


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_nothing_to_need_is_ready():
    assert (await Readiness([])()).ready


async def test_not_ready_until_every_part_was_well_once():
    store, welkin = Health(), Health("cannot be reached")
    clock = Clock()
    ready = Readiness([Part("store", store.check), Part("instances[0]", welkin.check)], clock)

    state = await ready()

    assert not state.ready
    assert state.parts == {"store": "ok", "instances[0]": "cannot be reached"}
    welkin.wrong, clock.now = None, 1.0
    assert (await ready()).ready


async def test_a_part_that_fails_later_is_told_of_and_takes_nothing_out_of_service():
    store = Health()
    clock = Clock()
    ready = Readiness([Part("store", store.check)], clock)
    assert not (await ready()).degraded
    store.wrong, clock.now = "cannot be reached", 5.0

    state = await ready()

    assert state.ready
    assert state.degraded
    assert state.parts == {"store": "cannot be reached"}


async def test_many_who_ask_cost_one_check_a_second():
    store = Health()
    clock = Clock()
    ready = Readiness([Part("store", store.check)], clock)

    await asyncio.gather(*(ready() for _ in range(50)))
    clock.now = 0.9
    await ready()

    assert store.asked == 1
    clock.now = 1.0
    await ready()
    assert store.asked == 2


async def test_a_check_that_hangs_or_fails_says_so_and_hides_no_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readiness, "CHECK_SECONDS", 0.05)

    async def hang() -> str | None:
        await asyncio.get_running_loop().create_future()
        return None

    async def fail() -> str | None:
        raise RuntimeError("canary")

    state = await Readiness([Part("a", hang), Part("b", fail), Part("c", Health().check)])()

    assert state.parts == {"a": "does not answer", "b": "its check failed (RuntimeError)", "c": "ok"}
    assert not state.ready


async def test_a_caller_that_leaves_does_not_end_the_check_for_the_others():
    store = Health()
    ready = Readiness([Part("store", store.check)])
    leaving = asyncio.create_task(ready())
    staying = asyncio.create_task(ready())
    await asyncio.sleep(0)
    leaving.cancel()

    assert (await staying).ready
    await ready.aclose()


@pytest.mark.parametrize("was_well", [True, False])
async def test_a_part_that_hangs_is_named_soon_and_takes_nothing_out_of_service(
    was_well, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(readiness, "ANSWER_SECONDS", 0.02)
    well, hanging = Health(), Health(None if was_well else "cannot be reached")
    goes_on = asyncio.Event()

    async def hang() -> str | None:
        await goes_on.wait()
        return await hanging.check()

    clock = Clock()
    ready = Readiness([Part("well", well.check), Part("hanging", hang)], clock)
    goes_on.set()
    assert (await ready()).ready == was_well
    goes_on.clear()
    clock.now = 5.0

    state = await ready()

    assert state.parts == {"well": "ok", "hanging": "does not answer"}
    assert (state.ready, state.degraded) == (was_well, True)
    assert (await ready()).parts == state.parts
    goes_on.set()
    hanging.wrong = None
    await ready.aclose()
    assert (await ready()).parts == {"well": "ok", "hanging": "ok"}
    assert hanging.asked == 2


def test_whoever_asks_is_answered_before_they_give_up():
    assert readiness.ANSWER_SECONDS < 1
