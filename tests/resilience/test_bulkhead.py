"""Places and a line with an end: an instance that hangs takes nothing from another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from gateway.domain.deadline import within
from gateway.domain.errors import GatewayError, Overloaded, UpstreamTimeout
from gateway.welkin.v1.adapter import WelkinV1
from tests.resilience.fake_welkin import EMPTY, PATIENT, FakeWelkin, never, read, running

Connect = Callable[..., WelkinV1]


async def warm(welkin: WelkinV1) -> None:
    """Get a token, and a connection."""
    await read(welkin)


async def outcomes(calls: list[asyncio.Task[object]]) -> list[type[BaseException] | None]:
    done = await asyncio.gather(*calls, return_exceptions=True)
    return [type(each) if isinstance(each, BaseException) else None for each in done]


async def test_a_line_that_is_full_turns_away_at_once_and_nothing_of_it_was_sent(
    fake: FakeWelkin, connect: Connect
) -> None:
    welkin = connect(max_calls=2, timeout_seconds=2.0)
    await warm(welkin)
    fake.answer = lambda _: never()
    fake.reads = 0
    calls = [asyncio.create_task(read(welkin)) for _ in range(2 + 8)]
    await asyncio.sleep(0.1)
    assert (welkin.state.in_flight, welkin.state.waiting) == (2, 8)

    took = []
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(Overloaded) as read_refused:
            await read(welkin)
        with pytest.raises(Overloaded):
            await welkin.send_message(PATIENT, "hello", None)
        took.append(time.monotonic() - began)
    assert not any(call.done() for call in calls)
    assert min(took) < 0.1

    assert read_refused.value.retry_after > 0
    async with asyncio.timeout(5):
        assert set(await outcomes(calls)) == {UpstreamTimeout}
    assert fake.sends == 0


async def test_whoever_leaves_the_line_makes_room_at_once(fake: FakeWelkin, connect: Connect) -> None:
    welkin = connect(max_calls=2, timeout_seconds=1.0)
    await warm(welkin)
    fake.answer = lambda _: never()
    under_way = [asyncio.create_task(read(welkin)) for _ in range(2)]
    await asyncio.sleep(0.05)

    for _ in range(20):
        waiting = [asyncio.create_task(read(welkin)) for _ in range(8)]
        await asyncio.sleep(0.001)
        assert welkin.state.waiting == 8
        for each in waiting:
            each.cancel()
        assert set(await outcomes(waiting)) == {asyncio.CancelledError}
        assert welkin.state.waiting == 0

    await outcomes(under_way)
    fake.answer = lambda _: EMPTY
    async with asyncio.timeout(5):
        while welkin.state.in_flight:  # noqa: ASYNC110 - nobody waits for these any more
            await asyncio.sleep(0.01)
    assert set(await outcomes([asyncio.create_task(read(welkin)) for _ in range(10)])) == {None}


async def test_an_instance_that_hangs_does_not_slow_the_other(fake: FakeWelkin, connect: Connect) -> None:
    hung = connect(max_calls=4, timeout_seconds=1.0)
    await warm(hung)
    fake.answer = lambda _: never()
    async with running() as other:
        well = other.adapter(max_calls=4, timeout_seconds=1.0)
        await warm(well)
        calls = [asyncio.create_task(read(hung)) for _ in range(50)]

        took = []
        while not all(call.done() for call in calls):
            began = time.monotonic()
            await read(well)
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.01)

        assert sorted(took)[len(took) // 2] < 0.1
        assert len(took) > 5
        assert set(await outcomes(calls)) == {UpstreamTimeout, Overloaded}
        await well.aclose()


async def test_a_token_is_fetched_past_the_line(fake: FakeWelkin, connect: Connect) -> None:
    """Those in line hold places; were the token request behind them, nobody would get one."""
    welkin = connect(max_calls=1, timeout_seconds=2.0)
    gate = asyncio.Event()

    async def late() -> bytes:
        await gate.wait()
        return EMPTY

    fake.answer = lambda _: late()
    first = asyncio.create_task(read(welkin))
    async with asyncio.timeout(2):
        while not fake.reads:  # noqa: ASYNC110 - the other end tells nobody
            await asyncio.sleep(0.005)
    waiting = [asyncio.create_task(read(welkin)) for _ in range(4)]
    await asyncio.sleep(0.01)

    assert await welkin.probe() is None
    assert fake.tokens == 2

    gate.set()
    assert set(await outcomes([first, *waiting])) == {None}


async def test_a_call_late_in_an_operation_gets_what_is_left(fake: FakeWelkin, connect: Connect) -> None:
    welkin = connect(timeout_seconds=5.0)
    await warm(welkin)
    fake.answer = lambda _: never()

    began = time.monotonic()
    with within(0.3), pytest.raises(GatewayError) as caught:
        await read(welkin)

    assert isinstance(caught.value, UpstreamTimeout)
    assert time.monotonic() - began < 1.0
    assert welkin.state.answered is True, "too little time to say anything about Welkin"
