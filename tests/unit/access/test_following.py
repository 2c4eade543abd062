"""Subscriptions: written down event by event, and ended with the proof."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from gateway.domain.errors import RefetchRequired, Unauthenticated, UpstreamTimeout
from tests.unit.access.guarded import MINE, principal
from tests.unit.access.issuer import Clock
from tests.unit.access.service import edge


async def test_a_whole_subscription_is_written_down(make):
    setup = make(principal())
    for number in (1, 2):
        setup.service.events.put_nowait(edge(MINE, number))
    events = setup.guard.follow(MINE, None)

    received = [(await anext(events)).message.external_id for _ in range(2)]
    await events.aclose()

    assert received == ["m1", "m2"]
    assert setup.service.following == 0
    assert await setup.outcomes() == [
        ("subscribe", "ok", 0),
        ("event", "ok", 1),
        ("event", "ok", 1),
        ("unsubscribe", "ok", 2),
    ]


async def test_a_subscription_that_ends_by_itself_ends(make):
    for expires_at in (None, math.inf):
        setup = make(principal(expires_at=expires_at))
        setup.service.events.put_nowait(None)

        assert [event async for event in setup.guard.follow(MINE, None)] == []
        assert setup.service.following == 0
        await setup.audit.aclose()


async def test_a_subscription_that_fails_tells_why(make):
    setup = make(principal(expires_at=time.time() + 60))
    setup.service.events.put_nowait(UpstreamTimeout("late"))

    with pytest.raises(UpstreamTimeout):
        await anext(setup.guard.follow(MINE, None))

    assert (await setup.outcomes())[-1] == ("unsubscribe", "UPSTREAM_TIMEOUT", 0)


async def test_a_subscription_ends_with_the_proof_while_nothing_happens(make):
    setup = make(principal(expires_at=time.time() + 0.3))
    events = setup.guard.follow(MINE, None)
    begun = time.time()

    with pytest.raises(Unauthenticated, match="expired"):
        await anext(events)

    assert 0.25 < time.time() - begun < 1.3
    assert setup.service.following == 0
    with pytest.raises(StopAsyncIteration):
        await anext(events)
    assert (await setup.outcomes())[-1] == ("unsubscribe", "UNAUTHENTICATED", 0)


async def test_a_clock_that_is_set_ends_a_subscription_within_a_second(make):
    clock = Clock(100)
    setup = make(principal(expires_at=5_000.0), clock)
    waiting = asyncio.ensure_future(anext(setup.guard.follow(MINE, None)))
    await asyncio.sleep(0.05)

    clock.now = 5_000
    begun = time.monotonic()

    with pytest.raises(Unauthenticated):
        await waiting
    assert time.monotonic() - begun < 1.2


async def test_nothing_is_delivered_after_the_proof_has_ended(make):
    clock = Clock(100)
    setup = make(principal(expires_at=200.0), clock)
    setup.service.events.put_nowait(edge(MINE))
    events = setup.guard.follow(MINE, None)
    await anext(events)
    setup.service.events.put_nowait(edge(MINE, 2))

    clock.now = 200

    with pytest.raises(Unauthenticated):
        await anext(events)
    assert await setup.outcomes() == [
        ("subscribe", "ok", 0),
        ("event", "ok", 1),
        ("unsubscribe", "UNAUTHENTICATED", 1),
    ]


async def test_a_subscriber_that_is_cancelled_leaves_nothing_behind(make):
    setup = make(principal(expires_at=time.time() + 60))
    events = setup.guard.follow(MINE, None)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.05)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert setup.service.following == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert await setup.outcomes() == [("subscribe", "ok", 0), ("unsubscribe", "ok", 0)]


async def test_an_error_after_the_proof_has_ended_is_not_told(make):
    clock = Clock(100)
    setup = make(principal(expires_at=200.0), clock)
    waiting = asyncio.ensure_future(anext(setup.guard.follow(MINE, None)))
    await asyncio.sleep(0.05)

    clock.now = 201
    setup.service.events.put_nowait(RefetchRequired("too much"))

    with pytest.raises(Unauthenticated, match="expired"):
        await waiting
    assert (await setup.outcomes())[-1] == ("unsubscribe", "UNAUTHENTICATED", 0)


async def test_the_proof_is_watched_on_after_a_clock_that_was_ahead_for_a_moment(make):
    clock = Clock(100)
    setup = make(principal(expires_at=200.0), clock)
    setup.service.events.put_nowait(edge(MINE))
    events = setup.guard.follow(MINE, None)
    await anext(events)
    clock.now = 300  # while the subscriber takes its message
    await asyncio.sleep(1.2)
    clock.now = 100
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)

    clock.now = 250

    with pytest.raises(Unauthenticated, match="expired"):
        await asyncio.wait_for(waiting, 3)
