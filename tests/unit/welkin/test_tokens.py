"""Upstream tokens: one request for many callers, early renewal, blocks, and storms of refusals."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import (
    GatewayError,
    UpstreamBadResponse,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.welkin.failures import CallFailed
from gateway.welkin.lifetimes import read_token
from gateway.welkin.token_slot import BLOCK_SECONDS, BURST, REFILL_SECONDS
from gateway.welkin.tokens import Tokens
from gateway.welkin.transport import Answer
from gateway.welkin.upstream import Credential, Upstream

ME = Credential("https://welkin.example", "gh", "CLIENT")
NOW = 1_900_000_000.0


@dataclass
class Endpoint:
    """A token endpoint and the clock; answers are taken from the front, the last one stays."""

    answers: list[Answer | CallFailed] = field(default_factory=list)
    now: float = NOW
    requests: int = 0
    gate: asyncio.Event | None = None

    def clock(self) -> float:
        return self.now

    async def fetch(self) -> Answer:
        self.requests += 1
        number = self.requests
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else (self.answers or [good(number)])[0]
        if isinstance(answer, CallFailed):
            raise answer
        return answer


def good(number: int = 1, **more: object) -> Answer:
    return Answer(200, json.dumps({"token": f"t{number}", **more}).encode())


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def refusal(tokens: Tokens, endpoint: Endpoint) -> GatewayError:
    with pytest.raises(CallFailed) as caught:
        await tokens.get(ME, endpoint.fetch, soon())
    assert not caught.value.maybe_sent
    return caught.value.error


async def test_many_callers_share_one_request() -> None:
    endpoint = Endpoint(gate=asyncio.Event())
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    calls = [asyncio.create_task(tokens.get(ME, endpoint.fetch, soon())) for _ in range(200)]
    await asyncio.sleep(0)

    endpoint.gate.set()

    assert set(await asyncio.gather(*calls)) == {"t1"}
    assert endpoint.requests == 1


async def test_a_caller_that_is_cancelled_does_not_take_the_token_from_the_others() -> None:
    endpoint = Endpoint(gate=asyncio.Event())
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    first = asyncio.create_task(tokens.get(ME, endpoint.fetch, soon()))
    await asyncio.sleep(0)
    second = asyncio.create_task(tokens.get(ME, endpoint.fetch, soon()))
    await asyncio.sleep(0)

    first.cancel()
    endpoint.gate.set()

    assert await second == "t1"
    assert first.cancelled()
    assert endpoint.requests == 1


async def test_a_caller_waits_for_a_token_until_its_deadline() -> None:
    endpoint = Endpoint(gate=asyncio.Event())
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)

    with pytest.raises(CallFailed) as caught:
        await tokens.get(ME, endpoint.fetch, asyncio.get_running_loop().time() + 0.02)

    assert isinstance(caught.value.error, UpstreamTimeout)
    endpoint.gate.set()
    await tokens.aclose()


async def test_an_hour_of_requests_costs_one_token_and_the_next_hour_another() -> None:
    endpoint = Endpoint()
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    for _ in range(10_000):
        await tokens.get(ME, endpoint.fetch, soon())
        endpoint.now += 0.3
    assert endpoint.requests == 1

    endpoint.now += 3600

    assert await tokens.get(ME, endpoint.fetch, soon()) == "t2"


async def test_a_token_is_renewed_early_while_the_old_one_goes_on() -> None:
    endpoint = Endpoint()
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    await tokens.get(ME, endpoint.fetch, soon())
    endpoint.now += 55 * 60 - 59

    assert await tokens.get(ME, endpoint.fetch, soon()) == "t1"
    await tokens.aclose()

    assert await tokens.get(ME, endpoint.fetch, soon()) == "t2"


@pytest.mark.parametrize(
    "trouble", [Answer(429, b""), Answer(500, b""), Answer(401, b""), Answer(200, b"{}")]
)
async def test_a_failed_renewal_does_not_hurt_while_the_old_token_is_good(trouble: Answer) -> None:
    endpoint = Endpoint([good(), trouble])
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    await tokens.get(ME, endpoint.fetch, soon())
    endpoint.now += 55 * 60 - 30

    for _ in range(20):
        assert await tokens.get(ME, endpoint.fetch, soon()) == "t1"
        await asyncio.sleep(0)

    await tokens.aclose()
    assert endpoint.requests <= 3


async def test_a_storm_of_refusals_costs_one_renewal() -> None:
    endpoint = Endpoint()
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    old = await tokens.get(ME, endpoint.fetch, soon())

    async def refused_call() -> str:
        await asyncio.sleep(0)
        tokens.refused(ME, old)
        return await tokens.get(ME, endpoint.fetch, soon())

    assert set(await asyncio.gather(*(refused_call() for _ in range(100)))) == {"t2"}
    assert endpoint.requests == 2


async def test_a_late_refusal_of_an_old_token_leaves_the_new_one_alone() -> None:
    endpoint = Endpoint()
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    old = await tokens.get(ME, endpoint.fetch, soon())
    tokens.refused(ME, old)
    await tokens.get(ME, endpoint.fetch, soon())

    tokens.refused(ME, old)

    assert await tokens.get(ME, endpoint.fetch, soon()) == "t2"


@pytest.mark.parametrize("status", [429, 403])
@pytest.mark.parametrize(
    ("header", "seconds"), [(None, BLOCK_SECONDS), ("10", BLOCK_SECONDS), ("900", 900.0)]
)
async def test_a_block_is_waited_out_without_a_call(status: int, header: str | None, seconds: float) -> None:
    endpoint = Endpoint([Answer(status, b"", header), good()])
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    await refusal(tokens, endpoint)

    endpoint.now += seconds - 1
    error = await refusal(tokens, endpoint)

    assert isinstance(error, UpstreamRateLimited)
    assert error.retry_after == pytest.approx(1.0)
    assert endpoint.requests == 1
    endpoint.now += 1
    assert await tokens.get(ME, endpoint.fetch, soon()) == "t1"


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_refused_credentials_are_the_gateways_trouble(status: int) -> None:
    endpoint = Endpoint([Answer(status, b'[{"message":"canary"}]')])
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)

    error = await refusal(tokens, endpoint)

    assert (type(error), error.message) == (UpstreamUnavailable, "Welkin refused the gateway's credentials.")


async def test_a_single_failure_is_tried_again_at_once_and_more_of_them_ever_later() -> None:
    endpoint = Endpoint([Answer(500, b"")])
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    moments: list[float] = []

    while endpoint.now < NOW + 60:
        before = endpoint.requests
        await refusal(tokens, endpoint)
        moments += [endpoint.now - NOW] * (endpoint.requests - before)
        endpoint.now += 0.25

    assert moments[:6] == [0.0, 0.0, 0.5, 1.5, 3.5, 7.5]
    assert len(moments) <= 20


async def test_a_failure_of_the_connection_is_told_as_it_is() -> None:
    failure = CallFailed(UpstreamTimeout("Welkin did not answer in time (get a token)."), maybe_sent=False)
    endpoint = Endpoint([failure])

    assert isinstance(
        await refusal(Tokens(clock=endpoint.clock, wall=endpoint.clock), endpoint), UpstreamTimeout
    )


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"token":5}', b'{"token":"a b"}', b'{"token":"a\\r\\nX: y"}']
)
async def test_an_answer_without_a_sendable_token_is_a_bad_response(body: bytes) -> None:
    endpoint = Endpoint([Answer(200, body)])

    assert isinstance(
        await refusal(Tokens(clock=endpoint.clock, wall=endpoint.clock), endpoint), UpstreamBadResponse
    )


async def test_the_gateway_never_comes_near_the_limit_of_100_in_5_minutes() -> None:
    endpoint = Endpoint()
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    for _ in range(3000):
        with contextlib.suppress(CallFailed):
            tokens.refused(ME, await tokens.get(ME, endpoint.fetch, soon()))
        endpoint.now += 0.1

    assert endpoint.requests <= BURST + 300 / REFILL_SECONDS + 1 < 60


async def test_two_clients_of_a_tenant_have_two_tokens() -> None:
    endpoint = Endpoint()
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    other = Credential(ME.base_url, ME.tenant, "OTHER")

    pair = (await tokens.get(ME, endpoint.fetch, soon()), await tokens.get(other, endpoint.fetch, soon()))

    assert pair == ("t1", "t2")


def jwt(**claims: float) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"aGVhZA.{body}.c2ln"


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"token": "t", "expiresAt": "2030-03-17T17:51:40Z"}, 300.0),
        ({"token": "t", "expiresAt": (NOW + 300) * 1000}, 300.0),
        ({"token": jwt(exp=NOW + 3600, iat=NOW)}, 3600.0),
        ({"token": jwt(exp=NOW + 3600)}, 3600.0),
        ({"token": jwt(exp=NOW + 1200, iat=NOW - 2400)}, 1200.0),
        ({"token": jwt(exp=NOW - 600, iat=NOW - 4200)}, 3600.0),
        ({"token": jwt(exp=NOW + 4200, iat=NOW + 600)}, 3600.0),
        ({"token": "t", "expiresIn": 600}, 600.0),
        ({"token": "t", "expiresAt": "garbled", "expiresIn": 600}, 600.0),
        ({"token": "t", "expiresAt": "2001-01-01T00:00:00Z"}, 3300.0),
        ({"token": "t", "expiresAt": "2999-01-01T00:00:00Z"}, 86_400.0),
        ({"token": "t", "expiresIn": True}, 3300.0),
        ({"token": "a.b.c"}, 3300.0),
        ({"token": "t", "enabled": True, "clientName": "X"}, 3300.0),
    ],
)
def test_a_lifetime_is_read_from_whatever_says_it(answer: dict[str, object], seconds: float) -> None:
    token = read_token(json.dumps(answer).encode(), NOW)

    assert token is not None
    assert token.expires_at - NOW == pytest.approx(seconds)
    assert token.expires_at - token.refresh_at == pytest.approx(min(60.0, seconds / 2))


@given(st.binary() | st.text().map(lambda value: json.dumps({"token": value}).encode()))
def test_no_answer_crashes_the_reader_of_tokens(body: bytes) -> None:
    read_token(body, NOW)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Upstream("https://w", "gh", "sb", "CLIENT", "canary"),
        lambda: read_token(b'{"token":"canary"}', NOW),
        lambda: Answer(200, b"canary"),
    ],
)
def test_no_repr_shows_a_secret(make: Callable[[], object]) -> None:
    assert "canary" not in repr(make())
