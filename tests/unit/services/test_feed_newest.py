"""A crowd that begins to follow at once costs a few reads, and each is shown where the tail began."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from gateway.domain.errors import UpstreamUnavailable
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve


def conversation(size: int = 3) -> LinkedUpstream:
    upstream = LinkedUpstream(5)
    for _ in range(size):
        upstream.arrive(1)
    return upstream


def test_a_crowd_that_comes_over_a_second_costs_a_few_reads_and_misses_nothing():
    async def scenario() -> None:
        upstream = conversation()
        welkin = FakeWelkin(upstream, latency=0.2)
        instance = serve(welkin, reconcile=1000)
        came: list[str] = []

        async def subscriber(delay: float) -> None:
            await asyncio.sleep(delay)
            async with aclosing(instance.follow("p1", None)) as tail:
                came.append((await anext(tail)).message.external_id)

        tasks = [asyncio.create_task(subscriber(number / 1000)) for number in range(1000)]
        await asyncio.sleep(3)
        begun = welkin.lists
        new = upstream.arrive(1)
        instance.wake("p1")
        await asyncio.gather(*tasks)
        await instance.aclose()

        assert begun <= 10
        assert came == [new.external_id] * 1000

    run(scenario)


def test_a_message_that_came_before_the_subscription_is_not_delivered():
    """Whoever shares a read shares one that begins after they asked."""

    async def scenario() -> None:
        upstream = conversation()
        instance = serve(FakeWelkin(upstream, latency=1), reconcile=1000)

        async def first_of(tail_delay: float) -> str:
            await asyncio.sleep(tail_delay)
            async with aclosing(instance.follow("p1", None)) as tail:
                return (await anext(tail)).message.external_id

        early = asyncio.create_task(first_of(0))
        await asyncio.sleep(0.6)  # the first read has its answer and is on its way back
        before = upstream.arrive(1)
        late = asyncio.create_task(first_of(0.1))
        await asyncio.sleep(5)
        after = upstream.arrive(1)
        instance.wake("p1")

        assert await early == before.external_id
        assert await late == after.external_id
        await instance.aclose()

    run(scenario)


def test_a_failed_read_is_everybodys_error_and_the_next_works():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation())
        instance = serve(welkin, reconcile=1000)
        welkin.failures = [UpstreamUnavailable("down")] * 2  # the feed's own look, and the newest

        async def begin() -> None:
            async with aclosing(instance.follow("p1", None)) as tail:
                await anext(tail)

        for outcome in await asyncio.gather(*(begin() for _ in range(5)), return_exceptions=True):
            assert isinstance(outcome, UpstreamUnavailable)
        welkin.failures.clear()
        waiting = asyncio.create_task(begin())
        await asyncio.sleep(1)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await instance.aclose()

    run(scenario)
