"""A crowd at one place of a conversation: one read for all of them, whatever copies are kept."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.connection import Filter, Window
from gateway.domain.errors import UpstreamUnavailable
from gateway.services import shared_walks
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve

MANY = 350


def conversation(count: int) -> LinkedUpstream:
    upstream = LinkedUpstream(10)
    for _ in range(count):
        upstream.arrive(1)
    return upstream


async def listen(instance, received: list[str], after: str | None) -> None:
    async for edge in instance.follow("p1", after):
        received.append(edge.message.external_id)  # noqa: PERF401 - it never ends


async def gather(instance, after: str | None) -> tuple[list[list[str]], list[asyncio.Task[None]]]:
    received: list[list[str]] = [[] for _ in range(MANY)]
    tasks = [asyncio.create_task(listen(instance, each, after)) for each in received]
    await asyncio.sleep(5)
    return received, tasks


async def leave(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("latency", [0.0, 0.01, 0.3])
def test_an_event_costs_a_look_and_a_read_however_many_listen_and_without_a_cache(latency: float):
    async def scenario() -> None:
        welkin = FakeWelkin(conversation(3), latency=latency)
        instance = serve(welkin, ttl=0, reconcile=300)
        received, tasks = await gather(instance, None)
        before = welkin.lists

        welkin.upstream.arrive(1)
        instance.wake("p1")
        await asyncio.sleep(3)

        assert all(each == ["m3"] for each in received)
        assert welkin.lists - before <= 2
        await leave(tasks)

    run(scenario)


def test_a_read_for_all_that_takes_long_keeps_the_listeners_waiting_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
):
    async def scenario() -> None:
        welkin = FakeWelkin(conversation(3), latency=2.0)
        instance = serve(welkin, ttl=0, reconcile=300)
        received, tasks = await gather(instance, None)

        welkin.upstream.arrive(1)
        instance.wake("p1")
        await asyncio.sleep(3)
        assert received[0] == []
        await asyncio.sleep(3)

        # They had joined the read by then, and it went on.
        assert all(each == ["m3"] for each in received)
        await leave(tasks)

    run(scenario)


def test_a_read_for_all_that_fails_is_made_good_by_each():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation(3))
        instance = serve(welkin, ttl=0, reconcile=300)
        received, tasks = await gather(instance, None)

        welkin.upstream.arrive(1)
        instance.wake("p1")
        await asyncio.sleep(0.012)  # the look is over, the read is under way
        welkin.failures = [UpstreamUnavailable("down")]
        await asyncio.sleep(5)

        assert welkin.failures == []
        assert all(each == ["m3"] for each in received)
        await leave(tasks)

    run(scenario)


def test_what_is_read_for_all_is_not_kept_for_those_who_come_later():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation(3))
        instance = serve(welkin, ttl=0, reconcile=300)
        first = await instance.messages("p1", Window(first=1), Filter())
        cursor = first.edges[0].cursor
        received, tasks = await gather(instance, cursor)
        welkin.upstream.arrive(1)
        instance.wake("p1")
        await asyncio.sleep(shared_walks.GOES_ROUND_SECONDS + 1)

        welkin.upstream.arrive(1)  # and its webhook is lost
        late: list[str] = []
        tasks.append(asyncio.create_task(listen(instance, late, cursor)))
        await asyncio.sleep(1)

        assert all(each == ["m3"] for each in received)
        assert late == ["m3", "m4"]
        await leave(tasks)

    run(scenario)
