"""A list that lags behind what was told or delivered delays messages; it neither loses nor repeats them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.domain.connection import Filter, Window
from gateway.domain.errors import PageRefused, UpstreamBadResponse, UpstreamRateLimited
from gateway.domain.model import Sender, SenderKind
from gateway.domain.pages import Page, PageRef
from tests.unit.paging.upstreams import LinkedUpstream, message
from tests.unit.services.fakes import FakeWelkin, run, serve


def conversation(messages: int, gap: int = 1) -> LinkedUpstream:
    upstream = LinkedUpstream(100)
    for _ in range(messages):
        upstream.arrive(gap)
    return upstream


async def listen(instance, received: list[str], after: str | None = None, pause: float = 0.0) -> None:
    async with aclosing(instance.follow("p1", after)) as tail:
        async for edge in tail:
            received.append(edge.message.external_id)
            await asyncio.sleep(pause)


class Replicas(FakeWelkin):
    """Every second read is answered by a replica without the newest messages."""

    behind: int = 1
    every: int = 2

    async def list_messages(self, patient_id: str, at: PageRef, *, include_archived: bool) -> Page:
        whole = self.upstream.history
        if self.lists % self.every == 1:
            self.upstream.history = whole[: -self.behind]
        try:
            return await super().list_messages(patient_id, at, include_archived=include_archived)
        finally:
            self.upstream.history = whole


@pytest.mark.parametrize("ttl", [0, 30])
@pytest.mark.parametrize("every", [2, 3])
def test_a_listener_whose_own_read_lags_looks_again(ttl, every):
    async def scenario() -> None:
        welkin = Replicas(conversation(5))
        welkin.every = every
        instance = serve(welkin, ttl=ttl, reconcile=30)
        received: list[str] = []
        task = asyncio.create_task(listen(instance, received))
        await asyncio.sleep(3)

        for _ in range(3):
            welkin.upstream.arrive(1)
            instance.wake("p1")
            await asyncio.sleep(40)

        assert received == ["m5", "m6", "m7"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


def test_following_from_ones_own_send_shows_nothing_older_while_the_list_lags():
    async def scenario() -> None:
        upstream = conversation(3, gap=0)
        sent = replace(message(3, 0, prefix="s"), sender=Sender(SenderKind.PATIENT))
        loop = asyncio.get_running_loop()

        def take(body: str):
            own = replace(sent, body=body)
            loop.call_later(2, upstream.history.append, own)
            return own

        instance = serve(FakeWelkin(upstream, on_send=take), reconcile=5)
        edge = await instance.send("p1", "mine", None, None)
        received: list[str] = []
        task = asyncio.create_task(listen(instance, received, edge.cursor))
        await asyncio.sleep(4)
        upstream.arrive(0)
        instance.wake("p1")
        await asyncio.sleep(20)

        assert received == ["m4"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


def test_a_resumed_listener_gets_nothing_twice_while_the_list_lags():
    async def scenario() -> None:
        upstream = conversation(4, gap=0)
        welkin = FakeWelkin(upstream)
        instance = serve(welkin, reconcile=3)
        whole = await instance.messages("p1", Window(first=10), Filter())
        everything, upstream.history = upstream.history, upstream.history[:1]
        received: list[str] = []
        task = asyncio.create_task(listen(instance, received, whole.edges[0].cursor))
        await asyncio.sleep(10)
        upstream.history = everything
        upstream.arrive(0)
        await asyncio.sleep(10)

        assert received == ["m4"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


def test_page_links_that_die_do_not_end_a_subscription():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation(3))
        instance = serve(welkin)
        received: list[str] = []
        task = asyncio.create_task(listen(instance, received))
        await asyncio.sleep(2)

        welkin.failures = [PageRefused("dead")] * 6
        welkin.upstream.arrive(1)
        instance.wake("p1")
        await asyncio.sleep(40)

        assert received == ["m3"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


def test_a_query_whose_page_links_are_all_refused_blames_the_upstream():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation(3))
        welkin.failures = [PageRefused("dead")] * 50

        with pytest.raises(UpstreamBadResponse):
            await serve(welkin).messages("p1", Window(), Filter())

    run(scenario)


def test_a_replay_keeps_no_messages_behind_it():
    async def scenario() -> None:
        instance = serve(FakeWelkin(conversation(5_000)), ttl=0)
        first = await instance.messages("p1", Window(last=1), Filter())
        received: list[str] = []
        task = asyncio.create_task(listen(instance, received, first.edges[0].cursor))
        await asyncio.sleep(60)

        assert received == [f"m{n}" for n in range(1, 5_000)]
        (feed,) = instance._live._feeds.values()
        assert feed.walks._under_way == {}
        assert feed.walks._read == {}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


def test_a_rate_limit_is_waited_out():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation(3))
        instance = serve(welkin, reconcile=5)
        task = asyncio.create_task(listen(instance, []))
        await asyncio.sleep(6)
        welkin.failures = [UpstreamRateLimited("slow down", 60.0)]
        await asyncio.sleep(5)
        before = welkin.lists
        await asyncio.sleep(50)

        assert welkin.lists == before
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


@pytest.mark.parametrize("by", [0.0, 1.1])
def test_a_message_that_is_listed_again_behind_a_newer_one_comes_once(by: float):
    async def scenario() -> None:
        upstream = conversation(3)
        instance = serve(FakeWelkin(upstream), ttl=0)
        received: list[str] = []
        task = asyncio.create_task(listen(instance, received))
        await asyncio.sleep(1)
        for gap in (1, 0):
            upstream.arrive(gap)
        instance.wake("p1")
        await asyncio.sleep(1)

        # The two change places, and the time of one is another by as much as two clocks of Welkin's differ.
        first, second = upstream.history[-2:]
        again = replace(first, created_at=first.created_at + timedelta(seconds=by))
        upstream.history[-2:] = [second, again]
        upstream.arrive(60)
        instance.wake("p1")
        await asyncio.sleep(10)

        assert received == ["m3", "m4", "m5"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)
