"""What was read is shared and kept, and never outlives a change that somebody told of."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.errors import UpstreamUnavailable
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from tests.unit.services.fakes import run


class Source:
    """Counts its reads; each takes a second and gives the value that was there when it began."""

    def __init__(self) -> None:
        self.value = 0
        self.reads = 0
        self.fails = False

    async def load(self) -> int:
        self.reads += 1
        value = self.value
        await asyncio.sleep(1)
        if self.fails:
            raise UpstreamUnavailable("down")
        return value


def shared(ttl: float = 30, **bounds: int) -> SharedReads:
    clock = asyncio.get_running_loop().time
    return SharedReads(BoundedMemoryCache(weigh=lambda _: 1, clock=clock, **bounds), ttl, clock)


def test_equal_reads_in_flight_share_one_call_and_a_copy_serves_until_its_time_is_up():
    async def scenario() -> None:
        source, reads = Source(), shared()

        kept = await asyncio.gather(*(reads.get("s", "a", source.load) for _ in range(500)))
        await asyncio.sleep(28)
        await reads.get("s", "a", source.load)

        assert ({k.value for k in kept}, source.reads) == ({0}, 1)
        await asyncio.sleep(2)
        await reads.get("s", "a", source.load)
        assert source.reads == 2

    run(scenario)


def test_after_a_change_neither_a_copy_nor_a_call_under_way_is_used():
    async def scenario() -> None:
        source, reads = Source(), shared()
        before = asyncio.create_task(reads.get("s", "a", source.load))
        await asyncio.sleep(0.5)

        source.value = 1
        reads.advance("s")
        after = await reads.get("s", "a", source.load)

        assert ((await before).value, after.value) == (0, 1)
        assert (await reads.get("s", "a", source.load)).value == 1

    run(scenario)


def test_a_reader_that_wants_it_newer_gets_it_newer_and_an_older_read_does_not_overwrite_it():
    async def scenario() -> None:
        source, reads = Source(), shared()
        older = asyncio.create_task(reads.get("s", "a", source.load))
        await asyncio.sleep(0.5)
        source.value = 1

        newer = await reads.get("s", "a", source.load, not_before=reads.now())
        await older

        assert (newer.value, source.reads) == (1, 2)
        assert (await reads.get("s", "a", source.load)).value == 1

    run(scenario)


def test_errors_are_not_kept():
    async def scenario() -> None:
        source, reads = Source(), shared()
        source.fails = True
        with pytest.raises(UpstreamUnavailable):
            await reads.get("s", "a", source.load)
        source.fails = False

        assert (await reads.get("s", "a", source.load)).value == 0

    run(scenario)


def test_a_caller_that_goes_away_does_not_spoil_the_read_for_others():
    async def scenario() -> None:
        source, reads = Source(), shared()
        leader = asyncio.create_task(reads.get("s", "a", source.load))
        await asyncio.sleep(0.2)
        follower = asyncio.create_task(reads.get("s", "a", source.load))
        await asyncio.sleep(0.2)
        leader.cancel()

        assert ((await follower).value, source.reads) == (0, 1)

    run(scenario)


def test_what_is_read_right_after_a_change_is_kept_for_a_second_only():
    async def scenario() -> None:
        source, reads = Source(), shared()
        reads.advance("s")

        await reads.get("s", "a", source.load)
        await asyncio.sleep(1.1)
        await reads.get("s", "a", source.load)

        assert source.reads == 2

    run(scenario)


def test_a_ttl_of_nothing_keeps_nothing():
    async def scenario() -> None:
        source, reads = Source(), shared(ttl=0)

        await reads.get("s", "a", source.load)
        await reads.get("s", "a", source.load)

        assert source.reads == 2

    run(scenario)


def test_the_cache_is_bounded_in_entries_and_weight_and_drops_what_was_not_used():
    async def scenario() -> None:
        cache = BoundedMemoryCache(weigh=len, max_entries=3, max_weight=100)
        for name in "abc":
            await cache.set(name, "x" * 10)
        await cache.get("a")

        await cache.set("d", "x" * 10)
        assert [name for name in "abcd" if await cache.exists(name)] == ["a", "c", "d"]

        await cache.set("e", "x" * 90)
        assert [name for name in "abcde" if await cache.exists(name)] == ["d", "e"]
        await cache.set("f", "x" * 101)
        assert (len(cache), cache.weight) == (0, 0)

    run(scenario)


def test_keys_do_not_show_what_they_stand_for():
    async def scenario() -> None:
        cache = BoundedMemoryCache(weigh=lambda _: 1)
        reads = SharedReads(cache, 30)
        source = Source()

        await reads.get("conversation/pt_canary", "newest", source.load)

        assert len(cache) == 1
        assert "canary" not in repr(list(cache._entries))

    run(scenario)
