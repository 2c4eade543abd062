"""How long a listener waits after a read that failed does not depend on what failed long ago."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from gateway.domain.connection import Filter, Window
from gateway.domain.errors import UpstreamUnavailable
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve


def test_after_an_outage_one_failed_read_costs_a_moment():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        upstream = LinkedUpstream(5)
        upstream.arrive(1)
        welkin = FakeWelkin(upstream)
        instance = serve(welkin, ttl=0, reconcile=30)
        cursor = (await instance.messages("p1", Window(first=1), Filter())).edges[0].cursor
        received: dict[str, float] = {}

        async def listen() -> None:
            async with aclosing(instance.follow("p1", cursor)) as tail:
                async for edge in tail:
                    received[edge.message.external_id] = clock()

        welkin.failures = [UpstreamUnavailable("down") for _ in range(10_000)]
        task = asyncio.create_task(listen())
        await asyncio.sleep(120)
        welkin.failures = []
        await asyncio.sleep(3600)  # reads that succeed and bring nothing

        new = upstream.arrive(1).external_id
        begun = clock()
        instance.wake("p1")
        await asyncio.sleep(0.007)  # the feed's look has its answer, of 0.01 s
        welkin.failures = [UpstreamUnavailable("down")]
        await asyncio.sleep(100)

        assert not welkin.failures
        assert received[new] - begun < 1.5
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await instance.aclose()

    run(scenario)
