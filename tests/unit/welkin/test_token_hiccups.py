"""A token request that fails in passing: made once more for all who wait, and told by one of them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.errors import UpstreamTimeout, UpstreamUnavailable
from gateway.welkin.failures import CallFailed
from gateway.welkin.token_slot import BURST
from gateway.welkin.tokens import Tokens
from gateway.welkin.transport import Answer
from tests.unit.welkin.test_tokens import ME, Endpoint, good, refusal, soon

BROKE = CallFailed(UpstreamUnavailable("The connection to Welkin broke."), maybe_sent=True, again_in=0.0)


@pytest.mark.parametrize("failure", [Answer(500, b""), Answer(503, b""), BROKE])
async def test_a_failure_that_passes_is_seen_by_nobody(failure: Answer | CallFailed) -> None:
    endpoint = Endpoint([failure, good()])
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)

    found = await asyncio.gather(*(tokens.get(ME, endpoint.fetch, soon()) for _ in range(50)))

    assert set(found) == {"t1"}
    assert endpoint.requests == 2


async def test_of_all_who_wait_for_a_request_one_tells_what_came_of_it() -> None:
    endpoint = Endpoint([Answer(503, b"")])
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)

    calls = (tokens.get(ME, endpoint.fetch, soon()) for _ in range(20))
    found = await asyncio.gather(*calls, return_exceptions=True)

    assert [each.works for each in found if isinstance(each, CallFailed)] == [False] + 19 * [None]
    assert endpoint.requests == 2


@pytest.mark.parametrize("again_in", [None, 0.0])
async def test_a_request_that_hung_is_not_made_once_more(again_in: float | None) -> None:
    hung = CallFailed(
        UpstreamTimeout("Welkin did not answer in time (get a token)."), maybe_sent=True, again_in=again_in
    )
    endpoint = Endpoint([hung, good()])

    await refusal(Tokens(clock=endpoint.clock, wall=endpoint.clock), endpoint)

    assert endpoint.requests == 1


async def test_the_request_made_once_more_is_within_the_limit() -> None:
    endpoint = Endpoint()
    tokens = Tokens(clock=endpoint.clock, wall=endpoint.clock)
    for _ in range(BURST - 1):
        tokens.refused(ME, await tokens.get(ME, endpoint.fetch, soon()))
    endpoint.answers = [Answer(500, b"")]

    await refusal(tokens, endpoint)

    assert endpoint.requests == BURST
