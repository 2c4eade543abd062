"""An edge is made once for all who get it now, and is not kept for those who may come one day."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from contextlib import aclosing

from gateway.domain.connection import Edge
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve

LISTENERS = 20


def test_all_listeners_get_one_edge_and_seconds_later_nobody_keeps_it():
    async def scenario() -> None:
        upstream = LinkedUpstream(5)
        upstream.arrive(1)
        instance = serve(FakeWelkin(upstream), reconcile=1000)
        shown: list[Edge] = []
        others = alive()

        async def listener() -> None:
            async with aclosing(instance.follow("p1", None)) as tail:
                while True:  # no name of its own keeps the last
                    shown.append(await anext(tail))

        tasks = [asyncio.create_task(listener()) for _ in range(LISTENERS)]
        await asyncio.sleep(1)
        new = [upstream.arrive(1).external_id for _ in range(3)]
        instance.wake("p1")
        await asyncio.sleep(0.5)
        assert len(shown) == 3 * LISTENERS
        for external_id in new:
            assert len({id(edge) for edge in shown if edge.message.external_id == external_id}) == 1

        shown.clear()
        assert held(new, others) == set(new)
        await asyncio.sleep(5.5)
        assert held(new, others) == set()

        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await instance.aclose()

    run(scenario)


def alive() -> list[Edge]:
    """Give every edge that there is."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Edge)]


def held(ids: Sequence[str], others: Sequence[Edge]) -> set[str]:
    """Give those of these messages of which an edge is alive, but for those of other tests."""
    theirs = {id(edge) for edge in others}
    return {edge.message.external_id for edge in alive() if id(edge) not in theirs} & set(ids)
