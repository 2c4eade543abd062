"""Callers wait a moment only where the upstream hangs, not where one of them had no time."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain import staleness
from gateway.domain.deadline import within
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from tests.unit.services.fakes import run
from tests.unit.store.test_reads import Source


async def with_old_copies(source: Source, *parts: str) -> SharedReads:
    """Give reads that hold an old copy of each part; the source has moved on since."""
    clock = asyncio.get_running_loop().time
    cache = BoundedMemoryCache(weigh=lambda _: 1, clock=clock)
    reads = SharedReads(cache, 30, clock, stale=600, patience=8)
    for part in parts:
        await reads.get("s", part, source.load)
    await asyncio.sleep(60)
    source.value = 1
    return reads


async def told(reads: SharedReads, source: Source, part: str, seconds: float = 9.0) -> tuple[int, bool]:
    """Read with so much time, and give the value and whether it was told as stale."""
    note = staleness.watch()
    with within(seconds):
        kept = await reads.get("s", part, source.load)
    return kept.value, note.seconds is not None


@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.9])
def test_a_caller_with_little_time_of_its_own_costs_the_others_nothing(seconds: float):
    async def scenario() -> None:
        source = Source()
        reads = await with_old_copies(source, "a", "b")

        assert await asyncio.create_task(told(reads, source, "a", seconds)) == (0, True)
        assert await asyncio.create_task(told(reads, source, "b")) == (1, False)
        await reads.aclose()

    run(scenario)


def test_who_waited_a_moment_for_an_upstream_that_has_answered_since_costs_the_others_nothing():
    async def scenario() -> None:
        source = Source()
        reads = await with_old_copies(source, "a", "b", "c", "d")
        source.seconds = 100
        assert await asyncio.create_task(told(reads, source, "a")) == (0, True)
        source.seconds = 0.1
        early = asyncio.create_task(told(reads, source, "b"))  # it answers, while the next one waits
        await asyncio.sleep(0.01)
        source.seconds = 1
        moment = asyncio.create_task(told(reads, source, "c"))

        assert [await early, await moment] == [(1, False), (0, True)]
        assert await asyncio.create_task(told(reads, source, "d")) == (1, False)
        await reads.aclose()

    run(scenario)


def test_once_one_has_waited_in_vain_the_others_wait_a_moment():
    async def scenario() -> None:
        source = Source()
        reads = await with_old_copies(source, "a", "b")
        loop = asyncio.get_running_loop()
        source.seconds = 100

        began = loop.time()
        assert await asyncio.create_task(told(reads, source, "a")) == (0, True)
        assert await asyncio.create_task(told(reads, source, "b")) == (0, True)
        assert loop.time() - began < 9
        await reads.aclose()

    run(scenario)
