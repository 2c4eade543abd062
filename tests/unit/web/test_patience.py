"""What goes through at once has no limit and no timer; what waits has one."""

from __future__ import annotations

import asyncio

import pytest

from gateway.web.patience import in_time
from tests.unit.services.fakes import run


async def at_once(value: str) -> str:
    return value


async def after(seconds: float, value: str) -> str:
    await asyncio.sleep(seconds / 2)
    await asyncio.sleep(seconds / 2)
    return value


async def fails(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
    raise OSError("gone")


def test_what_comes_in_time_is_given():
    async def scenario() -> None:
        assert await in_time(at_once("a"), 1) == "a"
        assert await in_time(after(0.9, "b"), 1) == "b"
        assert await in_time(asyncio.sleep(0, "c"), 1) == "c"

    run(scenario)


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_an_error_comes_through(seconds: float):
    async def scenario() -> None:
        with pytest.raises(OSError, match="gone"):
            await in_time(fails(seconds), 1)

    run(scenario)


def test_what_takes_too_long_is_cancelled():
    async def scenario() -> None:
        cancelled = []

        async def hang() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                cancelled.append(True)

        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await in_time(hang(), 2)

        assert cancelled == [True]
        assert 2.0 <= asyncio.get_running_loop().time() - began < 2.1

    run(scenario)


def test_a_caller_that_is_cancelled_cancels_what_it_waits_for():
    async def scenario() -> None:
        ended = []

        async def hang() -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        task = asyncio.create_task(in_time(hang(), 50))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == ["cancelled"]

    run(scenario)


def test_what_takes_care_of_its_cancellation_may_end_in_its_own_way():
    async def scenario() -> None:
        async def stubborn() -> str:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
                return "late"
            return "never"

        assert await in_time(stubborn(), 2) == "late"

    run(scenario)


def test_no_timer_is_set_for_what_goes_through_at_once(monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        monkeypatch.setattr(asyncio, "timeout", lambda _: pytest.fail("a timer for nothing"))
        assert await in_time(at_once("a"), 1) == "a"

    run(scenario)
