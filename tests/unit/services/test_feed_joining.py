"""Listeners share walks; who joins one that began before the last change reads on at once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from gateway.domain.connection import Filter, Window
from gateway.domain.errors import NotFound
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve

MISSED = 40


def test_who_joins_a_walk_late_is_shown_what_came_meanwhile_as_soon_as_the_others():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        upstream = LinkedUpstream(5)
        upstream.arrive(1)
        welkin = FakeWelkin(upstream, latency=0.2)
        instance = serve(welkin, reconcile=1000)
        cursor = (await instance.messages("p1", Window(first=1), Filter())).edges[0].cursor
        for _ in range(MISSED):
            upstream.arrive(1)
        instance.wake("p1")
        shown: dict[str, dict[str, float]] = {"early": {}, "late": {}}

        async def listen(name: str) -> None:
            async with aclosing(instance.follow("p1", cursor)) as tail:
                async for edge in tail:
                    shown[name][edge.message.external_id] = clock()

        tasks = [asyncio.create_task(listen("early"))]
        await asyncio.sleep(0.9)  # eight pages of five take 1.6 s
        new = upstream.arrive(1).external_id
        instance.wake("p1")
        await asyncio.sleep(0.3)
        begun = welkin.lists
        tasks.append(asyncio.create_task(listen("late")))
        await asyncio.sleep(0.2)
        assert welkin.lists <= begun + 1  # it joined
        assert shown == {"early": {}, "late": {}}
        await asyncio.sleep(20)

        assert (
            list(shown["early"]) == list(shown["late"]) == [each.external_id for each in upstream.history[1:]]
        )
        assert shown["late"][new] - shown["early"][new] < 0.1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await instance.aclose()

    run(scenario)


def test_who_is_reading_while_the_feed_is_refused_is_told_of_that_too():
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        upstream = LinkedUpstream(5)
        upstream.arrive(1)
        welkin = FakeWelkin(upstream, latency=1)
        instance = serve(welkin, ttl=0, reconcile=1000)
        cursor = (await instance.messages("p1", Window(first=1), Filter())).edges[0].cursor

        async def listen() -> None:
            async with aclosing(instance.follow("p1", cursor)) as tail:
                await anext(tail)

        early = asyncio.create_task(listen())
        await asyncio.sleep(10)
        begun = loop.time()
        late = asyncio.create_task(listen())
        await asyncio.sleep(0.1)
        instance.wake("p1")
        await asyncio.sleep(0.45)  # the late one's read has its answer; the feed's look has not
        welkin.failures = [NotFound("Welkin knows no such patient.") for _ in range(100)]

        for task in (early, late):
            with pytest.raises(NotFound):
                await task
        assert loop.time() - begun < 5
        await instance.aclose()

    run(scenario)
