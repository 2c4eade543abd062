"""Redis fails in every way: no read fails with it, none waits for it, and nothing old comes back."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from tests.redis_server import RedisServer, proxy, redis_server
from tests.store.conftest import StartProcess, Truth, until

RECOVERY_SECONDS = 5


async def test_a_redis_that_was_never_there_costs_nothing(start: StartProcess):
    truth, one = Truth(), start("redis://127.0.0.1:1/0")

    assert [await one.version(truth) for _ in range(20)] == [0] * 20
    assert not one.link.healthy


async def test_killed_and_started_empty_it_is_used_again_within_seconds(
    own_redis: RedisServer, start: StartProcess
):
    truth, one = Truth(), start(own_redis.url)
    await one.healthy()
    await one.version(truth)

    own_redis.kill()
    truth.version = 1
    one.reads.advance("s")
    assert await one.version(truth) == 1
    assert not one.link.healthy
    assert one.link.failures > 0

    own_redis.start()
    async with asyncio.timeout(RECOVERY_SECONDS):
        await one.healthy()
        await one.confirmed()
    truth.reads = 0
    assert [await one.version(truth) for _ in range(3)] == [1, 1, 1]
    assert truth.reads < 3, "copies are kept again, so soon after a change for a second"


async def test_what_it_had_on_disk_from_before_a_confirmed_change_is_not_believed(start: StartProcess):
    """A snapshot holds the copy and the generation of before the change, and both come back."""
    with redis_server(persistent=True) as server:
        truth, one = Truth(), start(server.url)
        await one.healthy()
        await one.version(truth)
        await one.link.run(lambda redis: redis.save(), within=5)
        truth.version = 1
        one.reads.advance("s")
        await one.confirmed()

        server.kill()
        server.start()
        two = start(server.url)
        await asyncio.gather(two.healthy(), until(lambda: one.link.healthy))

        names = await one.link.run(lambda redis: redis.keys("*"), within=5)
        assert names, "the snapshot was not loaded"
        assert [await one.version(truth), await two.version(truth)] == [1, 1]


async def test_a_change_that_it_could_not_be_told_of_is_told_later_and_nothing_older_is_served(
    own_redis: RedisServer, start: StartProcess
):
    """It hangs, keeps what it holds, and goes on."""
    truth, one, two = Truth(), start(own_redis.url, budget=0.05), start(own_redis.url)
    await asyncio.gather(one.healthy(), two.healthy())
    await two.version(truth)

    own_redis.pause()
    truth.version = 1
    one.reads.advance("s")
    assert await one.version(truth) == 1
    own_redis.go_on()

    seen = {await one.version(truth) for _ in range(50)}
    async with asyncio.timeout(RECOVERY_SECONDS):
        await one.confirmed()
    assert seen | {await one.version(truth), await two.version(truth)} == {1}


async def test_what_was_shown_while_it_was_away_is_not_followed_by_an_older_copy(
    own_redis: RedisServer, start: StartProcess
):
    """Nobody tells of this change: a copy may be old, but not older than what was shown."""
    truth, one, two = Truth(), start(own_redis.url, budget=0.05), start(own_redis.url)
    await asyncio.gather(one.healthy(), two.healthy())
    await two.version(truth)

    own_redis.pause()
    truth.version = 1
    assert {await one.version(truth, part) for part in ("", "other", "")} == {1}
    own_redis.go_on()

    async with asyncio.timeout(RECOVERY_SECONDS):
        await one.healthy()
        await one.confirmed()
    assert [await one.version(truth), await two.version(truth)] == [1, 1]


async def test_while_it_hangs_one_read_waits_for_the_budget_and_the_others_for_nothing(
    own_redis: RedisServer, start: StartProcess
):
    truth, one = Truth(), start(own_redis.url, budget=0.05)
    await one.healthy()
    await one.version(truth)
    own_redis.pause()

    await one.version(truth)
    assert not one.link.healthy, "it was left alone after the first budget, before any socket's deadline"
    failures = one.link.failures
    began = time.monotonic()
    for _ in range(100):
        await one.version(truth)
    assert time.monotonic() - began < 2, "a hundred budgets are five seconds"
    assert one.link.failures - failures < 10
    own_redis.go_on()

    async with asyncio.timeout(RECOVERY_SECONDS):
        await one.healthy()


@pytest.mark.parametrize("delay", [0.08, 0.5])
async def test_slow_it_is_left_alone_and_quick_again_it_is_used(
    redis: RedisServer, start: StartProcess, delay: float
):
    async with proxy(redis.port) as between:
        truth, one = Truth(), start(between.url, budget=0.05)
        await one.healthy()
        await one.version(truth)
        between.delay = delay

        began = time.monotonic()
        for _ in range(100):
            await one.version(truth)
        assert time.monotonic() - began < 2
        assert not one.link.healthy

        between.delay = 0
        async with asyncio.timeout(RECOVERY_SECONDS):
            await one.healthy()
            await one.confirmed()
        await one.aclose()


async def test_connections_that_are_cut_or_lead_to_another_server_fail_no_read(
    redis: RedisServer, own_redis: RedisServer, start: StartProcess
):
    async with proxy(redis.port) as between:
        truth, one = Truth(), start(between.url)
        await one.healthy()
        for target in (own_redis.port, redis.port, own_redis.port):
            between.target = target
            between.cut()
            truth.version += 1
            one.reads.advance("s")
            assert await one.version(truth) == truth.version
            async with asyncio.timeout(RECOVERY_SECONDS):
                await one.healthy()
                await one.confirmed()
            assert await one.version(truth) == truth.version
        await one.aclose()


async def test_callers_that_leave_during_a_command_get_nobody_anothers_answer(
    redis: RedisServer, start: StartProcess
):
    draw = random.Random(1)
    async with proxy(redis.port) as between:
        one = start(between.url)
        await one.healthy()
        truths = [Truth(version=each) for each in range(20)]
        between.delay = 0.05

        async def ask(number: int) -> None:
            reading = asyncio.create_task(one.version(truths[number], f"patient/{number}"))
            await asyncio.wait([reading], timeout=draw.uniform(0, 0.2))
            if reading.cancel():
                await asyncio.gather(reading, return_exceptions=True)
            elif reading.result() != number:
                wrong.append(number)

        wrong: list[int] = []
        for _ in range(10):
            await asyncio.gather(*(ask(each % 20) for each in range(100)))
        between.delay = 0
        await until(lambda: one.link.healthy)
        answers = [await one.version(truth, f"patient/{n}") for n, truth in enumerate(truths)]

        assert (wrong, answers) == ([], list(range(20)))
        await one.aclose()


async def test_a_redis_that_refuses_is_gone_without(redis: RedisServer, start: StartProcess):
    """Full memory, a replica, no rights: it answers, but not what is asked."""
    truth, one = Truth(), start(redis.url)
    await one.healthy()
    await one.link.run(lambda client: client.config_set("min-replicas-to-write", 1), within=5)
    try:
        assert [await one.version(truth) for _ in range(3)] == [0, 0, 0]
        assert not one.link.healthy
    finally:
        await one.link.run(lambda client: client.config_set("min-replicas-to-write", 0), within=5)

    await one.confirmed()
    await one.version(truth)
    assert one.link.healthy


async def test_changes_without_number_while_it_is_away_become_one_of_everything(
    own_redis: RedisServer, start: StartProcess
):
    truth, one, two = Truth(), start(own_redis.url), start(own_redis.url)
    await asyncio.gather(one.healthy(), two.healthy())
    await two.version(truth, "s")
    own_redis.pause()
    truth.version = 1
    for scope in ["s", *map(str, range(30_000))]:
        one.reads.advance(scope)

    assert one.outbox.pending < 20_100
    own_redis.go_on()
    async with asyncio.timeout(RECOVERY_SECONDS * 4):
        await one.confirmed()
    assert [await one.version(truth), await two.version(truth)] == [1, 1]
