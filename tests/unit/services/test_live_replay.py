"""How much is replayed to a listener that comes back: so much in a row, and no more."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from gateway.domain.connection import Filter, Window
from gateway.domain.cursor import CursorKeys
from gateway.domain.errors import RefetchRequired
from gateway.services.conversations import Conversations
from gateway.services.live import Live
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from gateway.store.welkin_reads import WelkinReads, weigh
from tests.unit.paging.upstreams import LinkedUpstream, NumberedUpstream, Upstream
from tests.unit.services.fakes import GH, FakeWelkin, run

LIMIT = 500


def build(upstream: Upstream) -> tuple[Live, Conversations, FakeWelkin]:
    welkin = FakeWelkin(upstream)
    clock = asyncio.get_running_loop().time
    reads = WelkinReads(welkin, SharedReads(BoundedMemoryCache(weigh=weigh, clock=clock), 30, clock))
    keys = CursorKeys.from_secrets(["secret"])
    conversations = Conversations(GH, "v1", reads, keys=keys, deadline=10)
    live = Live(conversations, reads, reconcile_seconds=30, deadline=10, max_replay=LIMIT)
    return live, conversations, welkin


async def first_cursor(conversations: Conversations, upstream: Upstream) -> str:
    upstream.arrive(1)
    return (await conversations.messages("p1", Window(first=1), Filter())).edges[0].cursor


@pytest.mark.parametrize("upstream", [LinkedUpstream(100), NumberedUpstream(100, oldest_first=False)])
def test_so_many_missed_messages_are_replayed_and_the_tail_goes_on(upstream):
    async def scenario() -> None:
        live, conversations, _ = build(upstream)
        cursor = await first_cursor(conversations, upstream)
        for _ in range(LIMIT):
            upstream.arrive(1)
        received: list[str] = []

        async with aclosing(live.follow("p1", cursor)) as tail:
            async for edge in tail:
                received.append(edge.message.external_id)
                if len(received) == LIMIT:
                    upstream.arrive(1)
                    live.wake("p1")
                if len(received) == LIMIT + 1:
                    break

        assert received == [message.external_id for message in upstream.history[1:]]
        await live.aclose()

    run(scenario)


def test_one_more_asks_for_a_refetch_and_nothing_is_lost_by_it():
    async def scenario() -> None:
        upstream = LinkedUpstream(100)
        live, conversations, _ = build(upstream)
        cursor = await first_cursor(conversations, upstream)
        for _ in range(LIMIT + 1):
            upstream.arrive(1)
        received: list[str] = []

        async def replay() -> None:
            nonlocal cursor
            async for edge in live.follow("p1", cursor):
                received.append(edge.message.external_id)
                cursor = edge.cursor

        with pytest.raises(RefetchRequired, match="More than 500 messages"):
            await replay()

        assert live.listeners == 0
        async with aclosing(live.follow("p1", cursor)) as tail:
            received.append((await anext(tail)).message.external_id)
        assert received == [message.external_id for message in upstream.history[1:]]
        await live.aclose()

    run(scenario)


def test_a_reader_that_falls_behind_for_good_is_told_too():
    """Slower than the messages come: it never reaches the newest, and would lag more and more."""

    async def scenario() -> None:
        upstream = LinkedUpstream(100)
        live, conversations, _ = build(upstream)
        cursor = await first_cursor(conversations, upstream)
        for _ in range(250):
            upstream.arrive(1)
        count = 0

        async def read_slowly() -> None:
            nonlocal count
            async for _ in live.follow("p1", cursor):
                count += 1
                upstream.arrive(1)
                upstream.arrive(1)
                live.wake("p1")

        with pytest.raises(RefetchRequired):
            await read_slowly()

        assert count == LIMIT
        await live.aclose()

    run(scenario)


def test_however_busy_a_conversation_is_a_listener_that_keeps_up_goes_on():
    async def scenario() -> None:
        upstream = LinkedUpstream(100)
        live, conversations, _ = build(upstream)
        cursor = await first_cursor(conversations, upstream)
        received: list[str] = []

        async with aclosing(live.follow("p1", cursor)) as tail:
            upstream.arrive(1)
            async for edge in tail:
                received.append(edge.message.external_id)
                if len(received) == 3 * LIMIT:
                    break
                if len(received) == len(upstream.history) - 1:
                    for _ in range(50):
                        upstream.arrive(0)
                    live.wake("p1")

        assert received == [message.external_id for message in upstream.history[1 : len(received) + 1]]
        await live.aclose()

    run(scenario)
