"""Welkin asks for a pause: kept where there is time for it, else told; by that instance alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from gateway.domain.errors import UpstreamRateLimited, UpstreamUnavailable
from gateway.welkin.breaker import BreakerState
from gateway.welkin.v1.adapter import WelkinV1
from tests.resilience.fake_welkin import EMPTY, FAILED, PATIENT, TOKEN, FakeWelkin, read, running
from tests.unit.welkin.wire import reply

Connect = Callable[..., WelkinV1]


def slow_down(*headers: str) -> bytes:
    return reply(b"", "429 Too Many Requests", *headers)


async def test_a_pause_that_ends_in_time_is_kept(fake: FakeWelkin, connect: Connect) -> None:
    welkin = connect(timeout_seconds=5.0)
    fake.answer = lambda number: slow_down("Retry-After: 1") if number == 1 else EMPTY

    began = time.monotonic()
    await read(welkin)

    assert 1.0 <= time.monotonic() - began < 4.0
    assert fake.reads == 2


@pytest.mark.parametrize("seconds", [3600, 2])
async def test_a_pause_beyond_the_deadline_is_told_at_once_and_kept_by_all(
    fake: FakeWelkin, connect: Connect, seconds: int
) -> None:
    welkin = connect(timeout_seconds=1.0)
    fake.answer = lambda _: slow_down(f"Retry-After: {seconds}")

    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(UpstreamRateLimited) as caught:
            await read(welkin)
        assert caught.value.retry_after == pytest.approx(seconds, abs=1)
    with pytest.raises(UpstreamRateLimited):
        await welkin.send_message(PATIENT, "hello", None)

    assert time.monotonic() - began < 1
    assert (fake.reads, fake.sends) == (1, 0)
    assert welkin.state.breaker is BreakerState.CLOSED


async def test_a_date_says_the_same_as_seconds(fake: FakeWelkin, connect: Connect) -> None:
    welkin = connect(timeout_seconds=1.0)
    fake.answer = lambda _: slow_down(
        f"Retry-After: {format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)}"
    )

    with pytest.raises(UpstreamRateLimited) as caught:
        await read(welkin)

    assert caught.value.retry_after == pytest.approx(3600, abs=5)


@pytest.mark.parametrize("headers", [(), ("Retry-After: soon",), ("Retry-After: -3",)])
async def test_without_a_pause_that_can_be_read_nothing_is_repeated_and_nothing_held_back(
    fake: FakeWelkin, connect: Connect, headers: tuple[str, ...]
) -> None:
    welkin = connect()
    fake.answer = lambda _: slow_down(*headers)

    for _ in range(3):
        with pytest.raises(UpstreamRateLimited) as caught:
            await read(welkin)
        assert caught.value.retry_after is None

    assert fake.reads == 3


async def test_a_pause_of_no_time_is_tried_three_times(fake: FakeWelkin, connect: Connect) -> None:
    welkin = connect()
    fake.answer = lambda _: slow_down("Retry-After: 0")

    with pytest.raises(UpstreamRateLimited):
        await read(welkin)

    assert fake.reads == 4


async def test_only_the_instance_that_was_asked_keeps_the_pause(fake: FakeWelkin, connect: Connect) -> None:
    throttled = connect(timeout_seconds=1.0)
    fake.answer = lambda _: slow_down("Retry-After: 60")
    async with running() as other:
        free = other.adapter()
        with pytest.raises(UpstreamRateLimited):
            await read(throttled)

        await read(free)

        assert other.reads == 1
        await free.aclose()


@pytest.mark.parametrize(("headers", "seconds"), [((), 300), (("Retry-After: 900",), 900)])
async def test_a_token_endpoint_that_blocks_is_not_asked_and_a_token_at_hand_goes_on(
    fake: FakeWelkin, connect: Connect, headers: tuple[str, ...], seconds: int
) -> None:
    fake.token = lambda number: reply(b'{"token":"t","expiresIn":2}') if number == 1 else slow_down(*headers)
    welkin = connect(timeout_seconds=1.0)
    async with asyncio.timeout(10):
        while fake.tokens < 2:  # the second is asked for early
            await read(welkin)
            await asyncio.sleep(0.01)
        await read(welkin)

        with pytest.raises(UpstreamRateLimited) as caught:
            await _read_for_ever(welkin)  # until the token's end

    assert caught.value.retry_after == pytest.approx(seconds, abs=5)
    assert fake.tokens == 2


async def _read_for_ever(welkin: WelkinV1) -> None:
    while True:
        await read(welkin)
        await asyncio.sleep(0.01)


async def test_a_token_that_is_never_accepted_costs_one_refresh(fake: FakeWelkin, connect: Connect) -> None:
    welkin = connect()
    fake.answer = lambda _: reply(b'[{"errorCode":"TOKEN_EXPIRED"}]', "401 Unauthorized")

    for _ in range(20):
        with pytest.raises(UpstreamUnavailable):
            await read(welkin)

    assert fake.tokens == 2


async def test_a_token_endpoint_that_fails_twice_is_asked_a_third_time(
    fake: FakeWelkin, connect: Connect
) -> None:
    fake.token = lambda number: FAILED if number <= 2 else TOKEN
    welkin = connect(timeout_seconds=5.0)

    await read(welkin)

    assert (fake.tokens, fake.reads) == (3, 1)
