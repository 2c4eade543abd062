"""Many are woken a few at a time, each once, and whoever leaves is forgotten."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from gateway.services.bell import _AT_A_TIME, Bell
from tests.unit.services.fakes import run

MANY = 10 * _AT_A_TIME + 7


async def until_rung(bell: Bell) -> None:
    waiter = bell.next()
    try:
        await waiter
    finally:
        bell.leave(waiter)


async def crowd(bell: Bell, woken: list[int]) -> list[asyncio.Task[None]]:
    async def wait(number: int) -> None:
        await until_rung(bell)
        woken.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(MANY)]
    await asyncio.sleep(0)
    assert bell.waiting == MANY
    return tasks


def test_all_are_woken_in_the_order_in_which_they_came_and_others_get_their_turns_between():
    async def scenario() -> None:
        bell, woken, seen = Bell(), [], [0]
        await crowd(bell, woken)

        async def somebody_else() -> None:
            while len(woken) < MANY:
                seen.append(len(woken))
                await asyncio.sleep(0)

        other = asyncio.create_task(somebody_else())
        await bell.ring()
        await other

        assert woken == list(range(MANY))
        assert bell.waiting == 0
        assert max(later - before for before, later in pairwise(seen)) <= _AT_A_TIME
        assert seen[-1] >= MANY - _AT_A_TIME

    run(scenario)


def test_who_waits_again_while_others_are_woken_waits_for_the_next_time():
    async def scenario() -> None:
        bell, heard = Bell(), []

        async def wait() -> None:
            for _ in range(2):
                await until_rung(bell)
                heard.append(1)

        tasks = [asyncio.create_task(wait()) for _ in range(MANY)]
        await asyncio.sleep(0)
        await bell.ring()
        await asyncio.sleep(1)
        assert len(heard) == MANY
        await bell.ring()
        await asyncio.gather(*tasks)
        assert len(heard) == 2 * MANY

    run(scenario)


def test_who_leaves_is_not_waited_for_and_not_remembered():
    async def scenario() -> None:
        bell, woken = Bell(), []
        tasks = await crowd(bell, woken)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)

        assert bell.waiting == 1
        await bell.ring()
        await asyncio.sleep(0)
        assert woken == [0]

    run(scenario)


def test_who_leaves_while_the_others_are_woken_keeps_nobody_from_it():
    async def scenario() -> None:
        bell, woken = Bell(), []
        tasks = await crowd(bell, woken)
        ringing = asyncio.create_task(bell.ring())
        await asyncio.sleep(0)
        tasks[-1].cancel()
        await ringing
        await asyncio.gather(*tasks, return_exceptions=True)

        assert woken == list(range(MANY - 1))

    run(scenario)


def test_one_with_little_time_goes_on_when_it_is_up():
    async def scenario() -> None:
        bell, now = Bell(), asyncio.get_running_loop().time
        began = now()
        await bell.wait(2.0)

        assert 2.0 <= now() - began < 2.1
        assert bell.waiting == 0

    run(scenario)
