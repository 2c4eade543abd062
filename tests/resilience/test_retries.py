"""Reads are repeated within a budget, and the breaker leaves a Welkin alone that is down."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest

from gateway.domain.errors import GatewayError, SendUnconfirmed, UpstreamTimeout, UpstreamUnavailable
from gateway.welkin.breaker import BreakerState
from gateway.welkin.upstream import Upstream
from gateway.welkin.v1.adapter import WelkinV1
from tests.resilience.fake_welkin import EMPTY, FAILED, PATIENT, FakeWelkin, never, read
from tests.unit.welkin.wire import reply

Connect = Callable[..., WelkinV1]


async def outcome(welkin: WelkinV1) -> type[GatewayError] | None:
    try:
        await read(welkin)
    except GatewayError as error:
        return type(error)
    return None


async def test_a_welkin_that_fails_for_ever_is_hardly_asked_and_asked_again_when_it_is_back(
    fake: FakeWelkin, connect: Connect
) -> None:
    welkin = connect()
    fake.answer = lambda _: FAILED

    outcomes = {await outcome(welkin) for _ in range(1000)}

    assert outcomes == {UpstreamUnavailable}
    assert fake.reads <= 30
    assert welkin.state.breaker is not BreakerState.CLOSED
    fake.answer = lambda _: EMPTY
    back = time.monotonic()
    while await outcome(welkin) is not None:  # noqa: ASYNC110 - asking is what closes the breaker
        await asyncio.sleep(0.02)
    assert time.monotonic() - back < 5
    assert welkin.state.breaker is BreakerState.CLOSED
    assert welkin.state.answered is True


async def test_an_open_breaker_answers_at_once(fake: FakeWelkin, connect: Connect) -> None:
    welkin = connect()
    fake.answer = lambda _: FAILED
    while welkin.state.breaker is BreakerState.CLOSED:
        await outcome(welkin)
    asked = fake.reads

    began = time.monotonic()
    for _ in range(20):
        assert await outcome(welkin) is UpstreamUnavailable
    assert time.monotonic() - began < 20 * 0.05
    assert fake.reads <= asked + 1


async def test_retries_stay_below_a_fifth_where_welkin_fails_every_third_time(
    fake: FakeWelkin, connect: Connect
) -> None:
    welkin = connect()
    fake.answer = lambda number: FAILED if number % 3 == 0 else EMPTY

    outcomes = [await outcome(welkin) for _ in range(1000)]

    assert welkin.state.breaker is BreakerState.CLOSED
    assert 1100 < fake.reads <= 1200
    assert fake.reads == 1000 + welkin.state.retries
    assert outcomes.count(None) >= 780


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nConten"])
async def test_a_message_is_not_sent_again_after_its_bytes_left(
    fake: FakeWelkin, connect: Connect, data: bytes
) -> None:
    welkin = connect(timeout_seconds=0.5)
    fake.answer = lambda _: data

    with pytest.raises(SendUnconfirmed):
        await welkin.send_message(PATIENT, "hello", None)

    assert fake.sends == 1


async def test_a_message_that_never_left_is_sent_once_welkin_can_be_reached() -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
        fake = FakeWelkin(
            lambda _: reply(b'{"externalId":"m1","message":"hi","createdAt":"2030-01-01T10:00:00Z"}')
        )
        welkin = WelkinV1(
            Upstream(f"http://127.0.0.1:{port}", "gh", "sb", "C", "secret", retry_seconds=0.5), page_size=5
        )
        sending = asyncio.create_task(welkin.send_message(PATIENT, "hi", None))
        await asyncio.sleep(0.05)
        assert not sending.done()
    server = await asyncio.start_server(lambda r, w: serve(fake, r, w), "127.0.0.1", port)

    message = await sending

    assert (message.external_id, fake.sends) == ("m1", 1)
    server.close()
    await welkin.aclose()


async def serve(fake: FakeWelkin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    await fake.script(writer, head)
    writer.close()


async def test_an_address_that_does_not_even_answer_the_call_is_tried_again_within_the_deadline() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)  # its line is full after two, and further calls are not answered
        address = deaf.getsockname()
        knocking = [socket.create_connection(address, timeout=1)]
        for _ in range(3):
            knock = socket.socket()
            knock.setblocking(False)
            knock.connect_ex(address)
            knocking.append(knock)
        welkin = WelkinV1(
            Upstream(f"http://127.0.0.1:{address[1]}", "gh", "sb", "C", "secret", 1.0, retry_seconds=0.01)
        )

        began = time.monotonic()
        assert await outcome(welkin) is UpstreamTimeout
        assert time.monotonic() - began < 3

        assert welkin.state.retries >= 1
        await welkin.aclose()
        for each in knocking:
            each.close()


async def test_a_call_that_ate_its_time_is_not_repeated(fake: FakeWelkin, connect: Connect) -> None:
    welkin = connect(timeout_seconds=0.3)
    fake.answer = lambda _: never()

    began = time.monotonic()
    assert await outcome(welkin) is UpstreamTimeout

    assert time.monotonic() - began < 3, "it would never end by itself"
    assert (fake.reads, welkin.state.retries) == (1, 0)


async def test_a_refused_connection_costs_a_moment_not_the_deadline() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        welkin = WelkinV1(Upstream(url, "gh", "sb", "C", "secret", 2.0, retry_seconds=0.001))

        began = time.monotonic()
        assert await outcome(welkin) is UpstreamUnavailable
        assert time.monotonic() - began < 2.5
        await welkin.aclose()
