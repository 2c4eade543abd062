"""Whether an instance can be reached: told without a storm, and true again soon after Welkin is back."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest

from gateway.welkin.breaker import BreakerState
from gateway.welkin.failures import CallFailed
from gateway.welkin.token_slot import BURST
from gateway.welkin.upstream import Upstream
from gateway.welkin.v1.adapter import WelkinV1
from tests.resilience.fake_welkin import FAILED, TOKEN, FakeWelkin, never, read
from tests.unit.welkin.wire import reply

Connect = Callable[..., WelkinV1]


async def test_what_calls_tell_is_not_asked_for(fake: FakeWelkin, connect: Connect) -> None:
    welkin = connect()
    await read(welkin)

    assert {await welkin.probe() for _ in range(100)} == {None}

    assert fake.tokens == 1


async def test_a_start_without_welkin_says_why_and_recovers_by_itself() -> None:
    fake = FakeWelkin()
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
        welkin = WelkinV1(Upstream(f"http://127.0.0.1:{port}", "gh", "sb", "C", "secret", 2.0))
        began = time.monotonic()
        reasons = set[str | None]()
        while time.monotonic() - began < 1.0:
            reasons.add(await welkin.probe())
            await asyncio.sleep(0.05)
        assert reasons == {"Welkin cannot be reached (get a token)."}
    server = await asyncio.start_server(lambda r, w: _serve(fake, r, w), "127.0.0.1", port)

    back = time.monotonic()
    while await welkin.probe() is not None:  # noqa: ASYNC110 - asking is what is tested
        await asyncio.sleep(0.05)

    assert time.monotonic() - back < 5
    server.close()
    await welkin.aclose()


async def _serve(fake: FakeWelkin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await fake.script(writer, await reader.readuntil(b"\r\n\r\n"))
    writer.close()


async def test_a_welkin_that_fails_is_probed_seldom_and_found_well_again_without_traffic(
    fake: FakeWelkin, connect: Connect
) -> None:
    welkin = connect()
    await read(welkin)
    fake.answer = fake.token = lambda _: FAILED
    while welkin.state.breaker is BreakerState.CLOSED:
        await asyncio.gather(read(welkin), return_exceptions=True)
    assert await welkin.probe() is not None

    began, fake.tokens = time.monotonic(), 0
    while time.monotonic() - began < 1.5:
        await asyncio.gather(*(welkin.probe() for _ in range(20)))
        await asyncio.sleep(0.01)
    assert fake.tokens <= 3

    fake.token = lambda _: TOKEN
    back = time.monotonic()
    while await welkin.probe() is not None:  # noqa: ASYNC110 - asking is what is tested
        await asyncio.sleep(0.05)
    assert time.monotonic() - back < 5
    assert welkin.state.breaker is BreakerState.CLOSED


async def test_a_welkin_that_hangs_does_not_hold_up_whoever_asks(fake: FakeWelkin, connect: Connect) -> None:
    welkin = connect(timeout_seconds=0.5)
    fake.token = lambda _: never()

    began = time.monotonic()
    reasons = await asyncio.gather(*(welkin.probe() for _ in range(50)))

    assert set(reasons) == {"Welkin did not answer in time (get a token)."}
    assert time.monotonic() - began < 1.0
    assert fake.tokens == 1


async def test_credentials_that_are_refused_are_told_and_not_tried_without_end(
    fake: FakeWelkin, connect: Connect
) -> None:
    welkin = connect()
    fake.token = lambda _: reply(b'[{"errorCode":"INVALID_SECRET"}]', "401 Unauthorized")

    for _ in range(50):
        assert await welkin.probe() == "Welkin refused the gateway's credentials."

    assert fake.tokens <= 2 < BURST
    assert welkin.state.breaker is BreakerState.CLOSED


async def test_a_block_is_no_reason_while_there_is_a_token_that_works(
    fake: FakeWelkin, connect: Connect
) -> None:
    fake.token = lambda number: TOKEN if number == 1 else reply(b"", "429 Too Many Requests")
    welkin = connect()
    await read(welkin)
    with pytest.raises(CallFailed):
        await welkin._client._renewed(asyncio.get_running_loop().time() + 1)

    assert await welkin.probe() is None
