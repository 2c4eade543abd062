"""The live tail loses nothing, doubles nothing and keeps the order, whatever the webhooks do."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.connection import Filter, Window
from gateway.domain.errors import UpstreamUnavailable
from gateway.services.instance import Instance
from tests.unit.paging.upstreams import LinkedUpstream, NumberedUpstream, Upstream
from tests.unit.services.fakes import FakeWelkin, run, serve

pauses = st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.3, 2.0, 7.0, 40.0])


@dataclass(frozen=True)
class Arrival:
    """A message: how long after the one before, a tie in time or not, and what its webhook does."""

    pause: float
    gap: int
    webhooks: tuple[float, ...]
    """Delays in seconds of the webhooks that come for it; none: it is lost; negative: it comes early."""


@dataclass(frozen=True)
class Listening:
    """A listener: when it joins, after how many events it breaks off, and when it is cut off; it resumes."""

    joins: float
    breaks: tuple[int, ...]
    cuts: tuple[float, ...]
    """Seconds after which its connection dies, whatever it is waiting for."""
    pause: float


@dataclass
class Received:
    ids: list[str] = field(default_factory=list)
    cursor: str | None = None


arrivals = st.builds(
    Arrival,
    pauses,
    st.sampled_from([0, 0, 1]),
    st.lists(st.sampled_from([0.0, 0.0, 0.01, 1.0, 5.0, -0.5, -2.0]), max_size=3).map(tuple),
)
listeners = st.builds(
    Listening,
    st.sampled_from([0.0, 0.5, 3.0]),
    st.lists(st.integers(1, 4), max_size=3).map(tuple),
    st.lists(st.sampled_from([0.0, 0.004, 0.011, 0.3, 1.1, 7.3, 31.0]), max_size=5).map(tuple),
    pauses,
)
crowds = st.lists(listeners, min_size=1, max_size=4)
upstreams = st.builds(LinkedUpstream, st.integers(1, 6)) | st.builds(
    NumberedUpstream, st.integers(1, 6), oldest_first=st.booleans(), knows_end=st.booleans()
)


async def listen(instance: Instance, how: Listening, received: Received) -> None:
    """Follow, break off now and then, be cut off at any moment, and resume from the last cursor."""
    await asyncio.sleep(how.joins)
    for events in how.breaks:
        await listen_once(instance, received, events)
        await asyncio.sleep(how.pause)
    for seconds in how.cuts:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await listen_once(instance, received)
        await asyncio.sleep(how.pause)
    await listen_once(instance, received)


async def listen_once(instance: Instance, received: Received, events: int | None = None) -> None:
    count = 0
    async with aclosing(instance.follow("p1", received.cursor)) as tail:
        async for edge in tail:
            received.ids.append(edge.message.external_id)
            received.cursor = edge.cursor
            count += 1
            if count == events:
                break


async def arrive(instance: Instance, upstream: Upstream, script: list[Arrival]) -> None:
    loop = asyncio.get_running_loop()
    for arrival in script:
        for delay in arrival.webhooks:
            if delay < 0:
                instance.wake("p1")
            else:
                loop.call_later(delay, instance.wake, "p1")
        early = [-delay for delay in arrival.webhooks if delay < 0]
        await asyncio.sleep(arrival.pause + (early[0] if early else 0))
        upstream.arrive(arrival.gap)


@settings(max_examples=150)
@given(upstreams, st.integers(0, 8), st.lists(arrivals, max_size=12), crowds)
def test_each_listener_gets_each_later_message_once_and_in_order(upstream, before, script, joining):
    for _ in range(before):
        upstream.arrive(1)
    received = [Received() for _ in joining]
    start: list[str] = []

    async def scenario() -> None:
        welkin = FakeWelkin(upstream)
        instance = serve(welkin)
        if upstream.history:
            first = await instance.messages("p1", Window(first=1), Filter())
            for each in received:
                each.cursor = first.edges[0].cursor
            start.append(first.edges[0].message.external_id)
        pairs = zip(joining, received, strict=True)
        tasks = [asyncio.create_task(listen(instance, how, each)) for how, each in pairs]
        if not upstream.history:
            await asyncio.sleep(4)  # without a cursor, what came before joining is not theirs
        await arrive(instance, upstream, script)
        await asyncio.sleep(600)  # until each is in its last connection
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert instance.listeners == 0
        await instance.aclose()
        await asyncio.sleep(1)  # a read under way ends by itself
        assert len(asyncio.all_tasks()) == 1

    run(scenario)

    everything = [m.external_id for m in upstream.history]
    expected = everything[everything.index(start[0]) + 1 :] if start else everything
    for how, each in zip(joining, received, strict=True):
        if start or not (how.breaks or how.cuts):
            assert each.ids == expected
        else:
            assert each.ids == everything[len(everything) - len(each.ids) :]


async def collect(instance: Instance, received: list[str], after: str | None = None) -> None:
    async with aclosing(instance.follow("p1", after)) as tail:
        async for edge in tail:
            received.append(edge.message.external_id)  # noqa: PERF401 - seen while it goes on


def conversation(messages: int = 3) -> LinkedUpstream:
    upstream = LinkedUpstream(100)
    for _ in range(messages):
        upstream.arrive(1)
    return upstream


def test_a_hundred_listeners_cost_one_upstream_read_for_an_event():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation())
        instance = serve(welkin)
        received: list[list[str]] = [[] for _ in range(100)]
        tasks = [asyncio.create_task(collect(instance, each)) for each in received]
        await asyncio.sleep(5)
        before = welkin.lists

        welkin.upstream.arrive(1)
        instance.wake("p1")
        await asyncio.sleep(5)

        assert received == [["m3"]] * 100
        assert welkin.lists - before == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(scenario)


def test_an_early_webhook_is_waited_for_with_few_looks():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation())
        instance = serve(welkin)
        received: list[str] = []
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)
        before = welkin.lists

        instance.wake("p1")
        await asyncio.sleep(2)
        welkin.upstream.arrive(1)
        await asyncio.sleep(1.02)

        assert received == ["m3"]
        assert welkin.lists - before <= 10
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


def test_a_lost_webhook_is_made_good_by_the_reconcile_timer():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation())
        instance = serve(welkin, reconcile=20)
        received: list[str] = []
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)

        welkin.upstream.arrive(1)
        await asyncio.sleep(20.1)

        assert received == ["m3"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


def test_upstream_failures_are_sat_out():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation())
        instance = serve(welkin)
        received: list[str] = []
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)

        welkin.failures = [UpstreamUnavailable("down")] * 4
        welkin.upstream.arrive(1)
        instance.wake("p1")
        await asyncio.sleep(20)

        assert received == ["m3"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


def test_a_list_that_falls_back_behind_delivers_nothing_twice():
    async def scenario() -> None:
        upstream = LinkedUpstream(100)
        for _ in range(4):
            upstream.arrive(0)  # all within one second
        welkin = FakeWelkin(upstream)
        instance = serve(welkin, reconcile=5)
        whole = await instance.messages("p1", Window(first=10), Filter())
        received: list[str] = []
        task = asyncio.create_task(collect(instance, received, whole.edges[0].cursor))
        await asyncio.sleep(6)

        everything, upstream.history = upstream.history, upstream.history[:2]
        await asyncio.sleep(6)
        upstream.history = everything
        await asyncio.sleep(6)
        upstream.arrive(0)
        await asyncio.sleep(6)

        assert received == ["m4"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)
