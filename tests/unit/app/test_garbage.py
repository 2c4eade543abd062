"""What has lived for a while is set aside; all is looked at, the more seldom the longer that takes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import async_solipsism
import pytest

from gateway.app import garbage
from gateway.app.garbage import Collector


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
    gc.collect()
    gc.unfreeze()
    before = gc.get_threshold()
    gc.set_threshold(*garbage._THRESHOLDS)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def run(scenario) -> None:
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        runner.run(scenario())


@contextmanager
def collecting(connections: Callable[[], int] = lambda: 0, **clock: Any) -> Iterator[Collector]:
    collector = Collector(**clock)
    task = asyncio.create_task(collector.run(connections))
    yield collector
    assert not task.done()
    task.cancel()


def grow_older() -> None:
    """Let enough happen for something to be set aside."""
    for _ in range(garbage._OLDER):
        gc.collect(1)


MANY = garbage._FEW + 1


@pytest.mark.usefixtures("collector")
def test_with_few_connections_old_garbage_goes_once_enough_has_happened():
    async def scenario() -> None:
        with collecting(lambda: garbage._FEW):
            await asyncio.sleep(0.5)
            cycle = Cycle()
            grow_older()
            del cycle
            assert Cycle.alive == 1
            await asyncio.sleep(1)

            assert Cycle.alive == 0

    run(scenario)


@pytest.mark.usefixtures("collector")
def test_with_many_it_goes_with_the_look_at_everything():
    async def scenario() -> None:
        with collecting(lambda: MANY):
            await asyncio.sleep(0.5)
            cycle = Cycle()
            grow_older()
            await asyncio.sleep(1)
            del cycle
            gc.collect()
            assert Cycle.alive == 1
            await asyncio.sleep(garbage._SECONDS + 1)

            assert Cycle.alive == 0

    run(scenario)


@pytest.mark.usefixtures("collector")
def test_what_has_lived_for_a_while_is_set_aside_but_no_garbage_is():
    async def scenario() -> None:
        with collecting(lambda: MANY):
            await asyncio.sleep(0.5)
            gc.unfreeze()
            Cycle()
            grow_older()
            kept = Cycle()
            await asyncio.sleep(1)

            assert gc.get_freeze_count() > 10_000
            assert Cycle.alive == 1
            del kept

    run(scenario)


@contextmanager
def watched() -> Iterator[list[int]]:
    """Give the generations of the looks that are made."""
    looks: list[int] = []

    def watch(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            looks.append(info["generation"])

    gc.callbacks.append(watch)
    yield looks
    gc.callbacks.remove(watch)


@pytest.mark.usefixtures("collector")
def test_nothing_is_looked_at_while_a_crowd_is_told_and_all_of_it_later():
    async def scenario() -> None:
        with collecting(lambda: MANY) as collector:
            await asyncio.sleep(1.5)
            with watched() as looks, collector.undisturbed(MANY):
                with collector.undisturbed(MANY):  # of two conversations at once
                    Cycle()
                kept = [[] for _ in range(10 * garbage._THRESHOLDS[0])]
                await asyncio.sleep(5)
                assert (looks, len(kept)) == ([], 10 * garbage._THRESHOLDS[0])
            assert gc.isenabled()
            assert gc.get_freeze_count() > 10_000
            gc.collect()
            assert Cycle.alive == 1
            await asyncio.sleep(garbage._SECONDS + 1)

            assert Cycle.alive == 0

    run(scenario)


@pytest.mark.usefixtures("collector")
def test_with_few_connections_nothing_is_set_aside_for_a_crowd_on_them():
    async def scenario() -> None:
        with collecting(lambda: 5) as collector:
            await asyncio.sleep(1.5)
            with collector.undisturbed(MANY):
                Cycle()
                assert not gc.isenabled()
            assert gc.get_freeze_count() == 0
            grow_older()
            await asyncio.sleep(1)

            assert Cycle.alive == 0

    run(scenario)


@pytest.mark.usefixtures("collector")
def test_a_look_at_everything_waits_for_a_crowd_but_not_for_crowds_without_end():
    async def scenario() -> None:
        with collecting(lambda: MANY) as collector:
            await asyncio.sleep(1.5)
            with collector.undisturbed(MANY):
                pass
            await asyncio.sleep(garbage._SECONDS - 3)
            with watched() as looks, collector.undisturbed(MANY):
                await asyncio.sleep(garbage._LONGEST_CROWD - 3)
                assert looks == []
                await asyncio.sleep(garbage._LONGEST_CROWD)
                assert 2 in looks

    run(scenario)


@pytest.mark.usefixtures("collector")
def test_a_few_are_told_with_looks_as_usual():
    with Collector().undisturbed(garbage._FEW):
        assert gc.isenabled()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("is_on", [True, False])
def test_what_fails_while_a_crowd_is_told_leaves_the_collector_as_it_was(*, is_on: bool):
    if not is_on:
        gc.disable()
    telling = Collector().undisturbed(MANY)
    telling.__enter__()
    assert not gc.isenabled()
    telling.__exit__(OSError, OSError(), None)
    left = gc.isenabled()
    gc.enable()

    assert left == is_on


@dataclass
class Looks:
    """The moments of looks, each of which takes as long as is said; there is always something to look for."""

    took: float
    all_young: list[float] = field(default_factory=list)
    everything: list[float] = field(default_factory=list)

    def run(self, monkeypatch: pytest.MonkeyPatch, connections: Callable[[float], int]) -> None:
        """Collect garbage for ten hours."""

        async def scenario() -> None:
            now = asyncio.get_running_loop().time
            monkeypatch.setattr(gc, "get_count", lambda: (0, 0, garbage._OLDER))
            monkeypatch.setattr(gc, "collect", lambda: self.all_young.append(now()))
            monkeypatch.setattr(garbage, "set_aside", lambda: None)
            monkeypatch.setattr(garbage, "look_at_everything", lambda: self.everything.append(now()))
            ticks = iter(range(1_000_000))
            with collecting(lambda: connections(now()), clock=lambda: self.took * next(ticks)):
                await asyncio.sleep(36_000)

        run(scenario)


def pauses(moments: list[float]) -> set[int]:
    return {round(later - moment) for moment, later in pairwise(moments)}


def test_a_long_look_at_everything_is_followed_by_a_long_pause(monkeypatch: pytest.MonkeyPatch):
    looks = Looks(took=2.0)
    looks.run(monkeypatch, lambda _: 10_000)

    assert looks.all_young == []
    assert looks.everything[0] >= 10_000 * garbage._SECONDS_PER_CONNECTION * garbage._SHARE
    assert pauses(looks.everything) == {2_000}


def test_a_short_one_is_made_now_and_then(monkeypatch: pytest.MonkeyPatch):
    looks = Looks(took=0.05)
    looks.run(monkeypatch, lambda _: MANY)

    assert pauses(looks.everything) == {round(garbage._SECONDS)}


@pytest.mark.parametrize(("took", "pause"), [(0.01, 5), (0.2, 20)])
def test_with_few_connections_looks_are_made_as_often_as_they_are_short(
    took: float, pause: int, monkeypatch: pytest.MonkeyPatch
):
    looks = Looks(took=took)
    looks.run(monkeypatch, lambda _: 0)

    assert pauses(looks.all_young) <= {pause, pause + 1}
    assert looks.everything == []


def test_when_a_crowd_has_gone_everything_is_looked_at_once_more(monkeypatch: pytest.MonkeyPatch):
    looks = Looks(took=0.1)
    looks.run(monkeypatch, lambda now: 10_000 if now < 600 else 0)

    (moment,) = looks.everything
    assert 600 <= moment < 1_000


MIB = 1024 * 1024


@pytest.mark.parametrize(("more", "looks_then"), [(90, []), (150, [60])])
def test_more_memory_than_the_connections_explain_is_looked_into_at_once(
    more: int, looks_then: list[int], monkeypatch: pytest.MonkeyPatch
):
    everything: list[float] = []

    async def scenario() -> None:
        now = asyncio.get_running_loop().time
        monkeypatch.setattr(gc, "get_count", lambda: (0, 0, garbage._OLDER))
        monkeypatch.setattr(garbage, "set_aside", lambda: None)
        monkeypatch.setattr(garbage, "look_at_everything", lambda: everything.append(now()))

        def connections() -> int:
            return 0 if now() < 2 else 10_000

        def memory() -> int:
            crowd = connections() * garbage._BYTES_PER_CONNECTION
            return 100 * MIB + crowd + (more * MIB if now() > 30 else 0)

        with collecting(connections, clock=lambda: 0.0, memory=memory):
            await asyncio.sleep(250)

    run(scenario)
    assert [round(moment) for moment in everything] == looks_then


def test_the_memory_in_use_is_told():
    assert garbage.bytes_in_use() > 10 * MIB


def test_nothing_is_looked_at_while_little_has_happened(monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        monkeypatch.setattr(gc, "get_count", lambda: (0, 0, garbage._OLDER - 1))
        monkeypatch.setattr(gc, "collect", lambda *_: pytest.fail("a look for nothing"))
        with collecting(lambda: MANY):
            await asyncio.sleep(60)

    run(scenario)
