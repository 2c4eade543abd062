"""However many scopes change: a copy is never served after a change was told of, and few are lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.deadline import within
from gateway.domain.errors import UpstreamError, UpstreamUnavailable
from gateway.store.generations import Generations
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from tests.unit.services.fakes import run

SCOPES = "abcd"


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.sampled_from(SCOPES), max_size=40))
def test_a_generation_never_goes_back_and_each_change_begins_one_that_never_was(
    listed: int, buckets: int, changes: list[str]
):
    generations = Generations(listed=listed, buckets=buckets)
    reached = dict.fromkeys(SCOPES, 0)
    for moment, changed in enumerate(changes):
        generations.advance(changed, moment)
        assert generations.of(changed) == (moment + 1, moment)
        for scope in SCOPES:
            generation, _ = generations.of(scope)
            assert generation > reached[scope] if scope == changed else generation >= reached[scope]
            reached[scope] = generation


@dataclass
class World:
    """An upstream in which scopes change, and what a reader of each may not fall behind."""

    reads: SharedReads
    truth: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SCOPES, 0))
    told: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SCOPES, 0))
    down: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def take(self, step: str, scope: str, seconds: float) -> None:
        match step:
            case "read":
                self.tasks.append(asyncio.create_task(self.read(scope, seconds)))
            case "change":
                self.truth[scope] += 1
                self.told[scope] = self.truth[scope]
                self.reads.advance(scope)
            case "move":  # nobody is told
                self.truth[scope] += 1
            case _:
                self.down = not self.down

    async def read(self, scope: str, seconds: float) -> None:
        async def load() -> int:
            value = self.truth[scope]
            await asyncio.sleep(seconds)
            if self.down:
                raise UpstreamUnavailable("down")
            return value

        least = self.told[scope]
        try:
            with within(50):
                kept = await self.reads.get(scope, "", load)
        except UpstreamError:
            return
        assert kept.value >= least


STEPS = st.tuples(
    st.sampled_from(["read", "read", "read", "change", "move", "down"]),
    st.sampled_from(SCOPES),
    st.sampled_from([0.0, 0.5, 3.0, 45.0]),
    st.sampled_from([0.0, 0.1, 2.0, 11.0]),
)


def steps(text: str, seconds: float = 0.0) -> list[tuple[str, str, float, float]]:
    words = {"r": "read", "c": "change", "m": "move", "d": "down"}
    return [(words[each[0]], each[1], seconds, 0.1) for each in text.split()]


@given(st.integers(1, 3), st.integers(1, 3), st.lists(STEPS, max_size=40))
@example(1, 1, steps("ra ca cb ra"))
@example(1, 4, steps("ra ca cb cc ra rd cd ca ra"))
@example(1, 1, steps("ra ca cb ra ra", 45.0))
@example(2, 1, steps("ca ra da ca cb cc ra"))
def test_a_copy_or_a_call_from_before_a_change_serves_nobody_who_asks_after_it(
    listed: int, buckets: int, taken: list[tuple[str, str, float, float]]
):
    """Each step: what happens where, how long a read takes, and how long it is until the next step."""

    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        cache = BoundedMemoryCache(weigh=lambda _: 1, clock=clock)
        generations = Generations(listed=listed, buckets=buckets)
        world = World(SharedReads(cache, 20, clock, stale=20, patience=8, generations=generations))
        for step, scope, seconds, pause in taken:
            world.take(step, scope, seconds)
            await asyncio.sleep(pause)
        await asyncio.gather(*world.tasks)
        await world.reads.aclose()

    run(scenario)


def test_a_copy_outlives_the_changes_of_any_number_of_others():
    async def scenario() -> None:
        reads = SharedReads(
            BoundedMemoryCache(weigh=lambda _: 1), 3600, generations=Generations(listed=1_000)
        )
        calls = 0

        async def load() -> int:
            nonlocal calls
            calls += 1
            return 1

        for number in range(2_000):
            reads.advance(f"other {number}")
            await reads.get("quiet", "", load)

        assert calls <= 3  # one, but for the few others of its bucket

    run(scenario)


def test_a_copy_outlives_that_its_scope_is_forgotten():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        cache = BoundedMemoryCache(weigh=lambda _: 1, clock=clock)
        reads = SharedReads(cache, 3600, clock, generations=Generations(listed=10))
        calls = 0

        async def load() -> int:
            nonlocal calls
            calls += 1
            return 1

        reads.advance("s")
        await asyncio.sleep(11)
        await reads.get("s", "", load)
        for number in range(50):
            reads.advance(f"other {number}")
            await reads.get("s", "", load)

        assert calls <= 2

    run(scenario)
