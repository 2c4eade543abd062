"""What has lived for a while is set aside; all is looked at, the more seldom the longer that takes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import async_solipsism
import pytest

from gateway.app import garbage


class Cycle:
    """Garbage that only a full collection finds, once it is old."""

    alive = 0

    def __init__(self) -> None:
        self.me = self
        Cycle.alive += 1

    def __del__(self) -> None:
        Cycle.alive -= 1


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*garbage._THRESHOLDS)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def run(scenario) -> None:
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        runner.run(scenario())


@contextmanager
def collecting(connections: Callable[[], int] = lambda: 0, **clock: Any) -> Iterator[None]:
    task = asyncio.create_task(garbage.collect_in_time(connections, **clock))
    yield
    assert not task.done()
    task.cancel()


def grow_older() -> None:
    """Let enough happen for something to be set aside."""
    for _ in range(garbage._OLDER):
        gc.collect(1)


@pytest.mark.usefixtures("collector")
def test_old_garbage_goes_with_the_look_at_everything():
    async def scenario() -> None:
        with collecting():
            await asyncio.sleep(0.5)
            cycle = Cycle()
            grow_older()
            await asyncio.sleep(1)
            del cycle
            gc.collect()
            assert Cycle.alive == 1
            await asyncio.sleep(garbage._SECONDS + 1)

            assert Cycle.alive == 0

    gc.collect()
    run(scenario)


@pytest.mark.usefixtures("collector")
def test_what_has_lived_for_a_while_is_set_aside_but_no_garbage_is():
    async def scenario() -> None:
        with collecting():
            await asyncio.sleep(0.5)
            gc.unfreeze()
            Cycle()
            grow_older()
            kept = Cycle()
            await asyncio.sleep(1)

            assert gc.get_freeze_count() > 10_000
            assert Cycle.alive == 1
            del kept

    gc.collect()
    run(scenario)


def moments_of_looks(monkeypatch: pytest.MonkeyPatch, connections: int, took: float) -> list[float]:
    """Give when all was looked at, within ten hours."""
    moments: list[float] = []

    async def scenario() -> None:
        now = asyncio.get_running_loop().time
        monkeypatch.setattr(garbage, "look_at_everything", lambda: moments.append(now()))
        ticks = iter(range(1_000_000))
        with collecting(lambda: connections, clock=lambda: took * next(ticks)):
            await asyncio.sleep(36_000)

    run(scenario)
    return moments


def test_a_long_look_is_followed_by_a_long_pause(monkeypatch: pytest.MonkeyPatch):
    moments = moments_of_looks(monkeypatch, 10_000, 2.0)

    assert moments[0] >= 10_000 * garbage._SECONDS_PER_CONNECTION * garbage._SHARE
    assert {round(later - moment) for moment, later in pairwise(moments)} == {2_000}


def test_a_short_look_is_made_now_and_then(monkeypatch: pytest.MonkeyPatch):
    moments = moments_of_looks(monkeypatch, 0, 0.05)

    assert {round(later - moment) for moment, later in pairwise(moments)} == {round(garbage._SECONDS)}


def test_nothing_is_set_aside_while_little_has_happened(monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        monkeypatch.setattr(gc, "get_count", lambda: (0, 0, garbage._OLDER - 1))
        monkeypatch.setattr(gc, "collect", lambda *_: pytest.fail("a look for nothing"))
        with collecting():
            await asyncio.sleep(60)

    run(scenario)
