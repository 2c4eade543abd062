"""What a webhook announced is looked for until it appears, and what was there before is not taken for it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from gateway.services.instance import Instance
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve


def conversation(gap: int = 10) -> tuple[LinkedUpstream, set[str]]:
    """Give a conversation of five messages, and the ids of what is not listed."""
    hidden: set[str] = set()
    upstream = LinkedUpstream(5, hides=lambda message: message.external_id in hidden)
    for _ in range(5):
        upstream.arrive(gap)
    return upstream, hidden


async def collect(instance: Instance, received: dict[str, float]) -> None:
    async with aclosing(instance.follow("p1", None)) as tail:
        async for edge in tail:
            received[edge.message.external_id] = asyncio.get_running_loop().time()


@pytest.mark.parametrize("late", [2, 3.2, 5])
@pytest.mark.parametrize("gap", [0, 10])
@pytest.mark.parametrize("back", [None, 1.2])
def test_where_the_newest_message_goes_an_announced_one_is_still_looked_for(late, gap, back):
    """``back``: it was a replica that lagged, and the newest message is shown again."""

    async def scenario() -> None:
        upstream, hidden = conversation(gap)
        instance = serve(FakeWelkin(upstream), reconcile=1000)
        received: dict[str, float] = {}
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)

        hidden.add("m4")
        instance.wake("p1")
        if back is not None:
            asyncio.get_running_loop().call_later(back, hidden.clear)
        await asyncio.sleep(late)
        new = upstream.arrive(10).external_id
        listed = asyncio.get_running_loop().time()
        await asyncio.sleep(60)

        held_back = 6.6 if gap == 0 and back is None else 0  # others of the second of what is gone
        assert received[new] - listed <= 1.02 + held_back
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await instance.aclose()

    run(scenario)


def test_what_appeared_ends_the_looks_for_it_also_where_the_newest_message_went():
    async def scenario() -> None:
        upstream, hidden = conversation()
        welkin = FakeWelkin(upstream)
        instance = serve(welkin, reconcile=1000)
        received: dict[str, float] = {}
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)
        before = welkin.lists

        hidden.add("m4")
        new = upstream.arrive(10).external_id
        instance.wake("p1")
        await asyncio.sleep(60)

        assert list(received) == [new]
        assert welkin.lists - before <= 4
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await instance.aclose()

    run(scenario)


def test_in_a_conversation_that_was_empty_everything_appeared():
    async def scenario() -> None:
        upstream = LinkedUpstream(5)
        welkin = FakeWelkin(upstream)
        instance = serve(welkin, reconcile=1000)
        received: dict[str, float] = {}
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)
        before = welkin.lists

        upstream.arrive(0)
        upstream.arrive(0)
        instance.wake("p1")
        instance.wake("p1")
        await asyncio.sleep(60)

        assert list(received) == ["m0", "m1"]
        assert welkin.lists - before <= 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await instance.aclose()

    run(scenario)
