"""Copies in memory: one for each part of a scope, and none for longer than it can be of use."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.store.copies import Copy, Found, Kept, MemoryCopies, Place
from gateway.store.listed_times import ListedTimes
from gateway.store.memory import BoundedMemoryCache
from tests.unit.services.fakes import run


def still() -> float:
    return 0.0


def made(value: str, began: float) -> Copy[str]:
    return Copy(Kept(value, began, began + 1), began + 100)


def test_memory_lets_go_of_copies_that_nobody_asks_for_again():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        cache = BoundedMemoryCache(weigh=lambda _: 1, clock=clock)
        for number in range(1_000):
            await cache.set(f"old {number}", 0, ttl=30)
        await asyncio.sleep(31)
        for number in range(500):
            await cache.set(f"new {number}", 0, ttl=30)

        assert len(cache) == cache.weight == 500

    run(scenario)


def test_a_change_makes_room_for_the_next_copy():
    """However often a conversation changes, it has one copy of its newest page."""

    async def scenario() -> None:
        cache = BoundedMemoryCache(weigh=lambda _: 1, clock=still)
        copies = MemoryCopies(cache, clock=still)
        for generation in range(100):
            place = Place("conversation", "newest", generation)
            assert (await copies.look(place)).copy is None
            await copies.keep(place, ("page 1",), Found(), made(f"{generation}", generation))

        assert len(cache) == cache.weight == 2

    run(scenario)


steps = st.tuples(
    st.integers(0, 3), st.floats(0, 10), st.sampled_from(["a", "b"]), st.sampled_from(["p", "q"])
)


@given(st.lists(steps, max_size=12))
def test_what_is_found_is_the_newest_of_its_generation_that_no_later_one_replaced(
    kept: list[tuple[int, float, str, str]],
):
    """Calls end in any order: one that began under an older generation never replaces a later copy."""

    async def scenario() -> None:
        copies = MemoryCopies(BoundedMemoryCache(weigh=lambda _: 1, clock=still), clock=still)
        newest: dict[tuple[str, str], tuple[int, float, str]] = {}
        for number, (generation, began, scope, part) in enumerate(kept):
            copy = made(f"{number}", began)
            await copies.keep(Place(scope, part, generation), (), Found(), copy)
            before = newest.get((scope, part))
            if before is None or before[:2] < (generation, began):
                newest[scope, part] = (generation, began, copy.kept.value)

        for scope in "ab":
            for part in "pq":
                for generation in range(4):
                    found = (await copies.look(Place(scope, part, generation))).copy
                    held = newest.get((scope, part))
                    wanted = held[2] if held is not None and held[0] == generation else None
                    assert (found and found.kept.value) == wanted

    run(scenario)


moments = st.integers(-2_000_000_000_000, 7_000_000_000_000).map(
    lambda milliseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
)


@given(st.lists(st.tuples(st.text(max_size=3), moments), max_size=60))
def test_a_time_that_is_known_is_the_one_that_was_told_last(told: list[tuple[str, datetime]]):
    """With so few slots most are forgotten, and none is ever another message's."""
    times = ListedTimes(slots=16)
    last: dict[str, datetime] = {}
    for message_id, moment in told:
        times.note(message_id, moment)
        last[message_id] = moment
        assert times.of(message_id) == moment

    for message_id, moment in last.items():
        assert times.of(message_id) in {moment, None}
    assert times.of("never told") is None


def test_of_the_last_fifty_thousand_times_hardly_any_is_forgotten():
    began = datetime(2026, 1, 1, tzinfo=UTC)
    told = {f"IM{number:032x}": began + timedelta(seconds=number) for number in range(250_000)}
    times = ListedTimes()
    for message_id, moment in told.items():
        times.note(message_id, moment)

    last = list(told)[-50_000:]
    forgotten = [message_id for message_id in last if times.of(message_id) != told[message_id]]
    assert len(forgotten) < 500
