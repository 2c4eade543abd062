"""Full collections are made when there is something to look for, and take at most a share of the time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from itertools import pairwise

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


@pytest.mark.usefixtures("collector")
def test_old_garbage_goes_once_enough_has_happened():
    async def scenario() -> None:
        collecting = asyncio.create_task(garbage.collect_in_time())
        await asyncio.sleep(0)
        cycle = Cycle()
        for _ in range(garbage._WORTH):
            gc.collect(1)
        del cycle
        assert Cycle.alive == 1
        await asyncio.sleep(garbage._SECONDS + 0.1)

        assert Cycle.alive == 0
        collecting.cancel()

    gc.collect()
    run(scenario)


def test_a_long_collection_is_followed_by_a_long_pause(monkeypatch: pytest.MonkeyPatch):
    moments: list[float] = []

    async def scenario() -> None:
        now = asyncio.get_running_loop().time
        monkeypatch.setattr(gc, "get_count", lambda: (0, 0, garbage._WORTH))
        monkeypatch.setattr(gc, "collect", lambda: moments.append(now()))
        ticks = iter(range(100))
        collecting = asyncio.create_task(garbage.collect_in_time(lambda: 2.0 * next(ticks)))
        await asyncio.sleep(500)
        collecting.cancel()

    run(scenario)

    assert [round(later - moment) for moment, later in pairwise(moments)] == [200, 200]


def test_nothing_is_collected_while_little_has_happened(monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        monkeypatch.setattr(gc, "get_count", lambda: (0, 0, garbage._WORTH - 1))
        monkeypatch.setattr(gc, "collect", lambda: pytest.fail("a collection for nothing"))
        collecting = asyncio.create_task(garbage.collect_in_time())
        await asyncio.sleep(60)
        assert not collecting.done()
        collecting.cancel()

    run(scenario)
