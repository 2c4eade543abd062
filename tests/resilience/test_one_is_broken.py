"""What is broken alone fails alone: one conversation, one token request, the chat tokens of some patients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from gateway.domain.errors import GatewayError, Unauthenticated, UpstreamRateLimited, UpstreamUnavailable
from gateway.domain.pages import Newest, Page
from gateway.welkin.breaker import BreakerState
from gateway.welkin.client import Client, TokenRequest
from gateway.welkin.errors import Asked
from gateway.welkin.upstream import Upstream
from gateway.welkin.v1.adapter import WelkinV1
from tests.resilience.fake_welkin import EMPTY, FAILED, PATIENT, TOKEN, FakeWelkin
from tests.unit.welkin.wire import Wire, reply, speak

Connect = Callable[..., WelkinV1]

BROKEN = reply(b"", "500 Internal Server Error")
REFUSED = reply(b'[{"errorCode":"TOKEN_EXPIRED"}]', "401 Unauthorized")
OTHERS = [f"{PATIENT[:-2]}{number}" for number in range(10, 20)]


async def read_of(welkin: WelkinV1, patient: str) -> Page:
    return await welkin.list_messages(patient, Newest(), include_archived=False)


def breaks(fake: FakeWelkin, *patients: str) -> None:
    """Let the conversations of these patients be broken, whatever is asked of them."""

    def answer(_: int) -> bytes:
        path = fake.wire.requests[-1].split(b" ")[1].decode()
        return BROKEN if any(patient in path for patient in patients) else EMPTY

    fake.answer = answer


async def test_a_broken_conversation_that_is_polled_all_the_time_costs_the_others_nothing(
    fake: FakeWelkin, connect: Connect
) -> None:
    welkin = connect()
    breaks(fake, PATIENT)
    polls, done = 0, asyncio.Event()

    async def poll() -> None:
        nonlocal polls
        while not done.is_set():
            with pytest.raises(UpstreamUnavailable):
                await read_of(welkin, PATIENT)
            polls += 1
            await asyncio.sleep(0.002)

    polling = [asyncio.create_task(poll()) for _ in range(3)]
    for number in range(100):
        await read_of(welkin, OTHERS[number % len(OTHERS)])
        assert welkin.state.breaker is BreakerState.CLOSED
        await asyncio.sleep(0.01)
    done.set()
    await asyncio.gather(*polling)

    assert polls > 50
    await read_of(welkin, OTHERS[0])
    assert await welkin.probe() is None


async def test_a_broken_conversation_that_alone_is_asked_for_opens_nothing(
    fake: FakeWelkin, connect: Connect
) -> None:
    welkin = connect()
    breaks(fake, PATIENT)

    for _ in range(200):
        with pytest.raises(UpstreamUnavailable):
            await read_of(welkin, PATIENT)

    assert welkin.state.breaker is BreakerState.CLOSED
    await read_of(welkin, OTHERS[0])


async def test_a_welkin_that_breaks_altogether_is_left_alone_and_found_well_again(
    fake: FakeWelkin, connect: Connect
) -> None:
    welkin = connect()
    breaks(fake, *OTHERS)

    for number in range(200):
        with pytest.raises(UpstreamUnavailable):
            await read_of(welkin, OTHERS[number % len(OTHERS)])

    assert fake.reads <= 60
    assert welkin.state.breaker is not BreakerState.CLOSED
    breaks(fake, PATIENT)  # one of them stays broken, and is asked for most of the time
    back = time.monotonic()
    while True:
        await asyncio.gather(*(read_of(welkin, PATIENT) for _ in range(3)), return_exceptions=True)
        try:
            await read_of(welkin, OTHERS[0])
        except GatewayError:
            await asyncio.sleep(0.02)
        else:
            break
    assert time.monotonic() - back < 10  # the broken one may have had the first probe
    assert welkin.state.breaker is BreakerState.CLOSED


@pytest.mark.parametrize("failure", [FAILED, BROKEN, b""])
async def test_a_token_request_that_fails_once_costs_nobody_anything(
    fake: FakeWelkin, connect: Connect, failure: bytes
) -> None:
    fake.token = lambda number: failure if number == 1 else TOKEN
    welkin = connect()

    await asyncio.gather(*(read_of(welkin, patient) for patient in OTHERS))

    assert (fake.tokens, fake.reads, welkin.state.retries) == (2, len(OTHERS), 0)
    assert welkin.state.breaker is BreakerState.CLOSED


@pytest.mark.parametrize("status", ["429 Too Many Requests", "403 Forbidden"])
async def test_a_token_endpoint_that_blocks_is_asked_once_by_all(
    fake: FakeWelkin, connect: Connect, status: str
) -> None:
    fake.token = lambda _: reply(b"", status)
    welkin = connect()

    calls = (read_of(welkin, patient) for patient in OTHERS)
    found = await asyncio.gather(*calls, return_exceptions=True)

    assert {type(each) for each in found} == {UpstreamRateLimited}
    assert fake.tokens == 1


class Bearers:
    """A Welkin that takes its newest bearer alone, where the chat token in the request is not dead."""

    def __init__(self) -> None:
        self.tokens = 0
        self.good = b""

    def expire(self) -> None:
        self.good = b""

    async def script(self, writer: asyncio.StreamWriter, head: bytes) -> None:
        if b"/token" in head:
            self.tokens += 1
            self.good = b"t%d\r\n" % self.tokens
            writer.write(reply(b'{"token":"t%d","expiresIn":3600}' % self.tokens))
        elif b"chat=dead" in head or not self.good or b"Bearer " + self.good not in head:
            writer.write(REFUSED)
        else:
            writer.write(reply(b"[]"))


def client_of(wire: Wire) -> Client:
    place = Upstream(wire.url, "gh", "sb-demo", "CLIENT", "secret", retry_seconds=0.001)
    return Client(place, TokenRequest("/token", b"{}"))


async def read_portal(client: Client, what: str, chat: str) -> object:
    return await client.read(
        what, f"/{what}", [("chat", chat)], lambda answer: answer, asked=Asked.BY_CHAT_TOKEN
    )


async def test_a_dead_chat_token_does_not_keep_others_from_noticing_that_the_bearer_has_died() -> None:
    welkin = Bearers()
    async with speak(welkin.script) as wire:
        client = client_of(wire)
        with pytest.raises(Unauthenticated):
            await read_portal(client, "portal", "dead")
        welkin.expire()

        assert await client.read("list", "/list", (), lambda answer: answer) == []

        assert await read_portal(client, "portal", "alive") == []
        await client.aclose()


async def test_dead_chat_tokens_cost_each_operation_one_bearer_in_a_while() -> None:
    welkin = Bearers()
    async with speak(welkin.script) as wire:
        client = client_of(wire)
        for _ in range(20):
            for what in ("portal", "pictures"):
                with pytest.raises(Unauthenticated):
                    await read_portal(client, what, "dead")
            assert await client.read("list", "/list", (), lambda answer: answer) == []

        assert welkin.tokens == 3
        await client.aclose()
