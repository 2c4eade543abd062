"""A listener stands behind a message that is not listed (yet, or any more), and others share its second.

Times have seconds, so which of the others come after it cannot be told. What can be lost is delayed, for a
while; nothing is delivered twice or out of order.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from gateway.domain.connection import Filter, Window
from gateway.domain.model import Message, Sender, SenderKind
from gateway.services.instance import Instance
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve


def conversation(messages: int, gap: int = 10, size: int = 100) -> tuple[LinkedUpstream, set[str]]:
    """Give a conversation, and the ids of what is not listed."""
    hidden: set[str] = set()
    upstream = LinkedUpstream(size, hides=lambda message: message.external_id in hidden)
    for _ in range(messages):
        upstream.arrive(gap)
    return upstream, hidden


async def collect(instance: Instance, received: dict[str, float], after: str | None = None) -> None:
    async with aclosing(instance.follow("p1", after)) as tail:
        async for edge in tail:
            assert edge.message.external_id not in received
            received[edge.message.external_id] = asyncio.get_running_loop().time()


async def end(instance: Instance, task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await instance.aclose()


@pytest.mark.parametrize("listed_after", [0.0, 1.0, 5.9, None])
@pytest.mark.parametrize("size", [1, 5, 100])
def test_what_shares_the_second_of_ones_own_send_is_not_passed_over_while_the_send_is_not_listed(
    listed_after, size
):
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        upstream, hidden = conversation(3, size=size)

        def take(body: str) -> Message:
            own = replace(upstream.arrive(10), sender=Sender(SenderKind.PATIENT), body=body)
            hidden.add(own.external_id)
            upstream.history[-1] = own
            return own

        instance = serve(FakeWelkin(upstream, on_send=take), reconcile=30)
        edge = await instance.send("p1", "mine", None, None)
        received: dict[str, float] = {}
        task = asyncio.create_task(collect(instance, received, edge.cursor))
        upstream.arrive(0)  # m4 answers within the same second
        instance.wake("p1")
        await asyncio.sleep(0.2)
        assert received == {}
        upstream.arrive(1)  # m5
        instance.wake("p1")
        newer = clock()
        if listed_after is not None:
            asyncio.get_running_loop().call_later(listed_after, hidden.clear)
        await asyncio.sleep(100)

        if listed_after is None:  # archived at once; then m4 may have been shown before
            assert list(received) == ["m5"]
            assert received["m5"] - newer < 7
        else:
            assert list(received) == ["m4", "m5"]
            assert received["m5"] - newer < listed_after + 1.2
        await end(instance, task)

    run(scenario)


def test_nothing_is_held_back_where_all_of_that_second_was_delivered_here():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        upstream, hidden = conversation(1)
        instance = serve(FakeWelkin(upstream), reconcile=1000)
        received: dict[str, float] = {}
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)
        for gap in (10, 0, 0):
            upstream.arrive(gap)
        instance.wake("p1")
        await asyncio.sleep(10)

        hidden.add("m3")
        upstream.arrive(10)
        instance.wake("p1")
        begun = clock()
        await asyncio.sleep(10)

        assert list(received) == ["m1", "m2", "m3", "m4"]
        assert received["m4"] - begun < 0.1
        await end(instance, task)

    run(scenario)


def test_a_listener_holds_back_anew_at_each_place_whose_message_is_not_listed_for_a_while():
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        upstream, hidden = conversation(1)
        instance = serve(FakeWelkin(upstream), reconcile=1000)
        received: dict[str, float] = {}
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)

        for _ in range(2):
            upstream.arrive(10)
            instance.wake("p1")
            await asyncio.sleep(10)
            hidden.add(upstream.history[-1].external_id)
            upstream.arrive(0)
            upstream.arrive(1)
            instance.wake("p1")
            loop.call_later(2, hidden.clear)
            await asyncio.sleep(100)

        assert list(received) == ["m1", "m2", "m3", "m4", "m5", "m6"]
        await end(instance, task)

    run(scenario)


@pytest.mark.parametrize(("gap", "held_back"), [(59, 6.5), (60, 0)])
def test_nothing_is_held_back_for_a_message_that_is_surely_gone(gap, held_back):
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        upstream, hidden = conversation(4, gap=0)
        instance = serve(FakeWelkin(upstream), reconcile=1000)
        received: dict[str, float] = {}
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)

        hidden.add("m3")
        upstream.arrive(gap)
        instance.wake("p1")
        begun = clock()
        await asyncio.sleep(20)

        assert held_back <= received["m4"] - begun < held_back + 0.2
        await end(instance, task)

    run(scenario)


def test_while_messages_are_held_back_few_reads_are_made():
    async def scenario() -> None:
        upstream, hidden = conversation(4, gap=0)
        welkin = FakeWelkin(upstream)
        instance = serve(welkin, reconcile=1000)
        received: dict[str, float] = {}
        tasks = [asyncio.create_task(collect(instance, received if n == 0 else {})) for n in range(50)]
        await asyncio.sleep(5)
        before = welkin.lists

        hidden.add("m3")
        upstream.arrive(10)
        instance.wake("p1")
        await asyncio.sleep(30)

        assert list(received) == ["m4"]
        assert welkin.lists - before <= 20
        for task in tasks:
            await end(instance, task)

    run(scenario)


@pytest.mark.parametrize("others", [150, 199, 200, 201, 450])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_listener_whose_message_is_gone_gets_past_a_full_second(others, resumed):
    async def scenario() -> None:
        upstream, hidden = conversation(1)
        upstream.arrive(10)
        for _ in range(others):
            upstream.arrive(0)
        instance = serve(FakeWelkin(upstream), reconcile=30)
        cursor = (await instance.messages("p1", Window(first=1), Filter())).edges[0].cursor
        received: dict[str, float] = {}
        task = asyncio.create_task(collect(instance, received, cursor if resumed else None))
        await asyncio.sleep(5)

        hidden.add(upstream.history[-1].external_id)
        for _ in range(3):
            upstream.arrive(10)
            instance.wake("p1")
            await asyncio.sleep(10)

        assert list(received) == [message.external_id for message in upstream.history[-3:]]
        await end(instance, task)

    run(scenario)


def test_where_a_full_second_was_passed_over_its_messages_come_once_the_place_is_listed():
    async def scenario() -> None:
        upstream, hidden = conversation(1)
        upstream.arrive(10)
        for _ in range(250):
            upstream.arrive(0)
        instance = serve(FakeWelkin(upstream), reconcile=20)
        place = upstream.history[-1].external_id
        received: dict[str, float] = {}
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)

        hidden.add(place)
        for _ in range(250):
            upstream.arrive(0)
        instance.wake("p1")
        await asyncio.sleep(60)
        assert received == {}
        hidden.clear()
        await asyncio.sleep(60)

        assert list(received) == [message.external_id for message in upstream.history[-250:]]
        await end(instance, task)

    run(scenario)
