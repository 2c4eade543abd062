"""What was read is shared and kept, and never outlives a change that somebody told of."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain import staleness
from gateway.domain.deadline import within
from gateway.domain.errors import (
    Forbidden,
    GatewayError,
    NotFound,
    PageRefused,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from tests.unit.services.fakes import run


class Source:
    """Counts its reads; each takes a second and gives the value that was there when it began."""

    def __init__(self) -> None:
        self.value = 0
        self.reads = 0
        self.seconds = 1.0
        self.error: GatewayError | None = None

    async def load(self) -> int:
        self.reads += 1
        value = self.value
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return value


def shared(ttl: float = 30, stale: float = 0, patience: float | None = None) -> SharedReads:
    clock = asyncio.get_running_loop().time
    cache = BoundedMemoryCache(weigh=lambda _: 1, clock=clock)
    return SharedReads(cache, ttl, clock, stale=stale, patience=patience)


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
        source.error = UpstreamUnavailable("down")
        with pytest.raises(UpstreamUnavailable):
            await reads.get("s", "a", source.load)
        source.error = None

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


async def told_stale(reads: SharedReads, source: Source, **options: float) -> tuple[int, float | None]:
    """Read, and give the value with the age that the operation was told."""
    note = staleness.watch()
    kept = await reads.get("s", "a", source.load, **options)
    return kept.value, note.seconds


@pytest.mark.parametrize("error", [UpstreamUnavailable(""), UpstreamTimeout(""), UpstreamRateLimited("")])
def test_while_the_upstream_is_down_a_copy_stands_in_for_a_while_and_every_caller_is_told(
    error: UpstreamError,
):
    async def scenario() -> None:
        source, reads = Source(), shared(ttl=30, stale=30)
        await reads.get("s", "a", source.load)
        source.error, source.reads = error, 0
        await asyncio.sleep(40)

        answers = await asyncio.gather(*(told_stale(reads, source) for _ in range(100)))
        assert (set(answers), source.reads) == ({(0, 42.0)}, 1)

        await asyncio.sleep(18)
        with pytest.raises(type(error)):
            await reads.get("s", "a", source.load)

    run(scenario)


def test_a_fresh_copy_is_not_told_as_stale_and_what_is_read_again_neither():
    async def scenario() -> None:
        source, reads = Source(), shared(ttl=30, stale=30)
        await reads.get("s", "a", source.load)

        assert await told_stale(reads, source) == (0, None)
        await asyncio.sleep(40)
        source.value = 1
        assert await told_stale(reads, source) == (1, None)

    run(scenario)


@pytest.mark.parametrize("error", [NotFound(""), Forbidden(""), UpstreamBadResponse(""), PageRefused("")])
def test_nothing_stands_in_for_a_clear_answer(error: GatewayError):
    async def scenario() -> None:
        source, reads = Source(), shared(ttl=30, stale=30)
        await reads.get("s", "a", source.load)
        await asyncio.sleep(40)
        source.error = error

        with pytest.raises(type(error)):
            await reads.get("s", "a", source.load)

    run(scenario)


@pytest.mark.parametrize("told_after", [0.0, 0.5])
def test_nothing_from_before_a_change_stands_in_be_it_told_while_the_call_is_under_way(told_after: float):
    async def scenario() -> None:
        source, reads = Source(), shared(ttl=30, stale=30)
        await reads.get("s", "a", source.load)
        await asyncio.sleep(40)
        source.error = UpstreamUnavailable("down")

        asyncio.get_running_loop().call_later(told_after, reads.advance, "s")
        await asyncio.sleep(0 if told_after else 0.1)
        with pytest.raises(UpstreamUnavailable):
            await reads.get("s", "a", source.load)

    run(scenario)


def test_no_copy_from_before_the_moment_that_a_reader_names_stands_in():
    async def scenario() -> None:
        source, reads = Source(), shared(ttl=30, stale=30)
        kept = await reads.get("s", "a", source.load)
        await asyncio.sleep(40)
        source.error = UpstreamUnavailable("down")

        assert (await told_stale(reads, source, not_before=kept.began))[0] == 0
        with pytest.raises(UpstreamUnavailable):
            await reads.get("s", "a", source.load, not_before=kept.ended)
        with pytest.raises(UpstreamUnavailable):
            await reads.get("s", "a", source.load, not_before=reads.now())

    run(scenario)


def test_for_an_upstream_that_hangs_a_copy_stands_in_before_the_callers_own_deadline():
    async def scenario() -> None:
        source, reads = Source(), shared(ttl=30, stale=60, patience=8)
        loop = asyncio.get_running_loop()
        for part in "abc":
            await reads.get("s", part, source.load)
        await asyncio.sleep(40)
        source.seconds, source.value = 100, 1

        began = loop.time()
        async with asyncio.timeout(10):  # a walk of three pages
            values = [(await reads.get("s", part, source.load)).value for part in "abc"]
        assert values == [0, 0, 0]
        assert loop.time() - began < 9

        source.seconds = 0.1
        await asyncio.sleep(90)  # the calls that hung come back at last
        assert await told_stale(reads, source) == (1, None)

    run(scenario)


def test_a_copy_that_may_stand_in_does_not_shorten_the_wait_for_an_upstream_that_is_only_slow():
    async def scenario() -> None:
        source, reads = Source(), shared(ttl=30, stale=60, patience=8)
        await reads.get("s", "a", source.load)
        await asyncio.sleep(40)
        source.seconds, source.value = 7, 1

        assert await told_stale(reads, source) == (1, None)

    run(scenario)


def test_who_joins_a_call_that_runs_out_of_its_own_time_makes_the_next():
    async def scenario() -> None:
        source, reads = Source(), shared(ttl=0)
        source.error = UpstreamTimeout("the first caller's deadline")
        first = asyncio.create_task(reads.get("s", "a", source.load))
        await asyncio.sleep(0.5)
        joined = [asyncio.create_task(reads.get("s", "a", source.load)) for _ in range(10)]
        await asyncio.sleep(0.6)
        source.error = None

        with pytest.raises(UpstreamTimeout):
            await first
        assert {kept.value for kept in await asyncio.gather(*joined)} == {0}
        assert source.reads == 2

    run(scenario)


def test_who_has_less_time_than_the_call_they_joined_gets_the_copy():
    async def scenario() -> None:
        source, reads = Source(), shared(ttl=1, stale=60, patience=8)
        await reads.get("s", "a", source.load)
        await asyncio.sleep(2)
        source.seconds = 30
        first = asyncio.create_task(reads.get("s", "a", source.load))
        await asyncio.sleep(0.1)

        with within(0.9):
            async with asyncio.timeout(1):
                assert (await reads.get("s", "a", source.load)).value == 0

        await first
        await reads.aclose()

    run(scenario)
