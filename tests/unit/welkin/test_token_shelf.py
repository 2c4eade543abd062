"""Tokens and blocks that outlive a process, are shared with its neighbours, and may be garbled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.domain.errors import UpstreamRateLimited
from gateway.welkin.failures import CallFailed
from gateway.welkin.token_slot import BLOCK_SECONDS, MOST_SHARED
from gateway.welkin.tokens import Tokens
from gateway.welkin.transport import Answer
from gateway.welkin.upstream import Credential

ME = Credential("https://welkin.example", "gh", "CLIENT")
NOW = 1_900_000_000.0


@dataclass
class MemoryShelf:
    """What processes share, and the times for which it was put there."""

    kept: dict[str, bytes] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    async def get(self, name: str) -> bytes | None:
        await asyncio.sleep(0)
        return self.kept.get(name)

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        await asyncio.sleep(0)
        self.kept[name] = value
        self.seconds.append(seconds)


@dataclass
class World:
    """One token endpoint, one shelf, and the clocks of a machine."""

    shelf: MemoryShelf = field(default_factory=MemoryShelf)
    answers: list[Answer] = field(default_factory=list)
    requests: int = 0
    now: float = NOW

    def process(self, *, ahead: float = 0.0) -> Tokens:
        """Start a process, on a machine whose wall clock is ``ahead`` and whose own clock began elsewhere."""
        return Tokens(self.shelf, clock=lambda: self.now - NOW + 7, wall=lambda: self.now + ahead)

    async def fetch(self) -> Answer:
        self.requests += 1
        if self.answers:
            return self.answers.pop(0)
        return Answer(200, json.dumps({"token": f"t{self.requests}", "expiresIn": 3600}).encode())

    async def get(self, tokens: Tokens) -> str:
        return await tokens.get(ME, self.fetch, asyncio.get_running_loop().time() + 5)

    async def renew(self, tokens: Tokens) -> None:
        await tokens.renew(ME, self.fetch, asyncio.get_running_loop().time() + 5)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_token_outlives_the_process_that_asked_for_it(world: World) -> None:
    assert await world.get(world.process()) == "t1"
    world.now += 1800

    assert await world.get(world.process()) == "t1"

    assert world.requests == 1
    assert world.shelf.seconds == [pytest.approx(3600)]


async def test_a_token_is_not_taken_from_the_shelf_after_its_end(world: World) -> None:
    await world.get(world.process())
    world.now += 3600

    assert await world.get(world.process()) == "t2"


async def test_a_block_outlives_the_process_that_ran_into_it(world: World) -> None:
    world.answers.append(Answer(429, b"", "600"))
    with pytest.raises(CallFailed):
        await world.get(world.process())
    world.now += 400

    restarted = world.process()
    with pytest.raises(CallFailed) as caught:
        await world.get(restarted)

    assert isinstance(caught.value.error, UpstreamRateLimited)
    assert caught.value.error.retry_after == pytest.approx(200)
    assert caught.value.works is None
    assert world.requests == 1
    world.now += 201
    assert await world.get(restarted) == "t2"


async def test_a_token_is_used_while_the_credential_is_blocked(world: World) -> None:
    first = world.process()
    await world.get(first)
    world.answers.append(Answer(429, b""))
    world.now += 3600 - 30
    assert await world.get(first) == "t1"
    await first.aclose()
    assert world.requests == 2

    assert await world.get(world.process()) == "t1"

    assert world.requests == 2


async def test_a_token_that_a_neighbour_fetched_after_the_same_refusal_is_used(world: World) -> None:
    one, other = world.process(), world.process()
    assert {await world.get(one), await world.get(other)} == {"t1"}
    for each in (one, other):
        each.refused(ME, "t1")

    assert {await world.get(one), await world.get(other)} == {"t2"}
    assert world.requests == 2


async def test_a_token_that_a_neighbour_renewed_early_is_used(world: World) -> None:
    one, other = world.process(), world.process()
    await world.get(one)
    await world.get(other)
    world.now += 3600 - 30
    for each in (one, other):
        await world.get(each)
        await each.aclose()

    assert {await world.get(one), await world.get(other)} == {"t2"}
    assert world.requests == 2


async def test_a_probe_asks_welkin_where_the_shelf_holds_nothing_fresh(world: World) -> None:
    await world.get(world.process())
    world.now += 60
    tokens = world.process()

    await world.renew(tokens)

    assert world.requests == 2
    assert await world.get(tokens) == "t2"


async def test_a_probe_takes_what_a_neighbour_has_just_asked_for_and_asks_the_next_time(
    world: World,
) -> None:
    one, other = world.process(), world.process()
    await world.get(one)
    await world.get(other)
    world.now += 60
    await world.renew(one)
    assert world.requests == 2

    await world.renew(other)

    assert world.requests == 2
    assert await world.get(other) == "t2"
    await world.renew(other)
    assert world.requests == 3


async def test_a_probe_does_not_take_back_a_token_that_welkin_refused(world: World) -> None:
    tokens = world.process()
    tokens.refused(ME, await world.get(tokens))

    await world.renew(tokens)

    assert await world.get(tokens) == "t2"


async def test_a_probe_does_not_take_a_token_that_ends_before_its_own(world: World) -> None:
    one, other = world.process(), world.process()
    await world.get(one)
    world.answers.append(Answer(200, b'{"token":"short","expiresIn":600}'))
    world.now += 60
    await world.renew(other)

    await world.renew(one)

    assert world.requests == 3
    assert await world.get(one) == "t3"


@pytest.mark.parametrize("asked_at", [None, "soon", 5, [], [None, "soon", True], [1e300], [-1e300]])
async def test_a_token_that_does_not_say_when_it_was_asked_for_is_not_fresh(
    world: World, asked_at: object
) -> None:
    """An older gateway put it there, or nobody knows who."""
    await world.get(world.process())
    (name,) = world.shelf.kept
    fields = {**json.loads(world.shelf.kept[name]), "asked_at": asked_at}
    world.shelf.kept[name] = json.dumps(fields).encode()
    tokens = world.process()

    await world.renew(tokens)

    assert world.requests == 2


@pytest.mark.parametrize("processes", [2, 3, 8])
async def test_processes_that_renew_all_the_time_ask_no_more_often_than_one(
    world: World, processes: int
) -> None:
    running = [world.process() for _ in range(processes)]

    for round_ in range(60):  # every 5 s for 300 s
        for place in range(processes):
            with contextlib.suppress(CallFailed):
                await world.renew(running[(place + round_) % processes])
        world.now += 5

    assert 50 <= world.requests <= MOST_SHARED


async def test_processes_that_renew_in_any_order_and_hectically_stay_below_the_limit(world: World) -> None:
    running = [world.process() for _ in range(8)]
    order = random.Random(7)

    for _ in range(3000):  # tenths of a second
        with contextlib.suppress(CallFailed):
            await world.renew(order.choice(running))
        world.now += 0.1
    assert world.requests <= MOST_SHARED

    for tokens in running:
        tokens.refused(ME, await world.get(tokens))
    assert await world.get(running[0]) == await world.get(running[1]), "who has no token may ask still"
    world.now += 300
    before = world.requests
    await world.renew(running[0])
    assert world.requests == before + 1


@pytest.mark.parametrize(
    "garble",
    [
        lambda _: b"",
        lambda _: b"\xff\x00",
        lambda _: b"[]",
        lambda _: b"null",
        lambda value: value[:-5],
        lambda value: value.replace(b'"t1"', b'"a b\\r\\n"'),
        lambda value: value.replace(b'"t1"', b"5"),
        lambda _: b'{"token":"x","refresh_at":1e300,"expires_at":1e300}',
        lambda _: b'{"token":"x","refresh_at":null,"expires_at":2e9}',
        lambda _: b'{"token":"x","refresh_at":0,"expires_at":0}',
        lambda _: b'{"until":1e300}',
        lambda _: b'{"until":"never"}',
    ],
)
async def test_what_cannot_be_read_is_as_if_it_were_not_there(
    world: World, garble: Callable[[bytes], bytes]
) -> None:
    await world.get(world.process())
    token = next(name for name in world.shelf.kept if name.startswith("token/"))
    world.shelf.kept[token] = garble(world.shelf.kept[token])
    world.shelf.kept[token.replace("token/", "block/")] = world.shelf.kept[token]

    assert await world.get(world.process()) == "t2"


@pytest.mark.parametrize("ahead", [-600.0, 600.0])
async def test_clocks_that_disagree_by_ten_minutes_cause_no_storm(world: World, ahead: float) -> None:
    here, there = world.process(), world.process(ahead=ahead)
    for _ in range(100):
        await world.get(here)
        await world.get(there)
        world.now += 60

    assert world.requests <= 6


async def test_a_wall_clock_that_is_set_back_does_not_lengthen_a_block() -> None:
    steady, wall, requests = [0.0], [NOW], [0]

    async def fetch() -> Answer:
        requests[0] += 1
        return Answer(429, b"") if requests[0] == 1 else Answer(200, b'{"token":"t"}')

    tokens = Tokens(clock=lambda: steady[0], wall=lambda: wall[0])
    with pytest.raises(CallFailed):
        await tokens.get(ME, fetch, asyncio.get_running_loop().time() + 5)
    steady[0] += BLOCK_SECONDS + 1
    wall[0] -= 7200

    assert await tokens.get(ME, fetch, asyncio.get_running_loop().time() + 5) == "t"


async def test_no_name_on_the_shelf_tells_whose_it_is(world: World) -> None:
    world.answers.append(Answer(429, b""))
    with pytest.raises(CallFailed):
        await world.get(world.process())
    world.now += BLOCK_SECONDS + 1
    await world.get(world.process())

    names = " ".join(world.shelf.kept)
    assert len(world.shelf.kept) == 2
    assert not any(word in names for word in ("welkin", "gh", "CLIENT", "t2"))


@pytest.mark.parametrize("processes", [1, 3, 8])
async def test_processes_that_share_a_shelf_stay_below_the_limit_together(processes: int) -> None:
    """100 requests in five minutes block; each process alone would make 49 while the endpoint fails."""
    world = World()
    asked: list[float] = []
    running = [world.process() for _ in range(processes)]

    async def fails() -> Answer:
        asked.append(world.now)
        return Answer(500, b"")

    for _ in range(2400):  # quarters of a second
        for tokens in running:
            with pytest.raises(CallFailed):
                await tokens.get(ME, fails, asyncio.get_running_loop().time() + 5)
        world.now += 0.25

    most = max(sum(began <= each < began + 300 for each in asked) for began in asked)
    assert 40 <= most <= 90


async def test_a_return_is_noticed_by_every_process_within_seconds() -> None:
    world = World()
    running = [world.process() for _ in range(3)]
    world.answers = [Answer(500, b"")] * 30
    for _ in range(30):
        for tokens in running:
            with pytest.raises(CallFailed):
                await world.get(tokens)
        world.now += 1
    world.answers.clear()

    world.now += 4.5

    assert {await world.get(tokens) for tokens in running} == {f"t{world.requests}"}
