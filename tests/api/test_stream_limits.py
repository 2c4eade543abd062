"""How many streams may be open, over WebSockets and event streams together; those that are open live on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from gateway.web.streams import ServerFull, Streams
from tests.api.asking import code_of
from tests.api.dialing import FOLLOW, close_code, dial, hear, say, subscribe, until
from tests.api.fake_access import FakeAccess
from tests.api.fakes import PATIENT, FakeInstance, web_of
from tests.api.stalling import metric
from tests.serving import serve

STREAM = {"Accept": "text/event-stream"}
ASKED = {"query": FOLLOW, "variables": {"id": PATIENT}}


@pytest.fixture
def base_url(fake: FakeInstance) -> Iterator[str]:
    options = FakeAccess().options(max_streams=4, max_streams_per_caller=2)
    with serve(web_of(fake, options=options)) as base_url:
        yield base_url


async def open_socket(stack: AsyncExitStack, base_url: str, caller: str | None):
    url = base_url.replace("http", "ws") + "/graphql"
    client = await stack.enter_async_context(dial(url, init=False))
    if caller is not None:
        await say(client, type="connection_init", payload={"x-api-key": caller})
    return client


async def open_stream(stack: AsyncExitStack, base_url: str, caller: str) -> httpx2.Response:
    http = await stack.enter_async_context(httpx2.AsyncClient())
    headers = {**STREAM, "X-API-Key": caller}
    return await stack.enter_async_context(
        http.stream("POST", f"{base_url}/graphql", json=ASKED, headers=headers)
    )


async def test_one_caller_gets_so_many_and_others_get_theirs(base_url: str, fake: FakeInstance) -> None:
    async with AsyncExitStack() as stack:
        first = await open_socket(stack, base_url, "reader")
        assert await hear(first) == {"type": "connection_ack"}
        stream = await open_stream(stack, base_url, "reader")
        assert stream.status_code == 200

        refused = await open_stream(stack, base_url, "reader")
        await refused.aread()
        assert (refused.status_code, code_of(refused)) == (429, "LIMIT_EXCEEDED")
        assert "retry-after" in refused.headers
        one_more = await open_socket(stack, base_url, "reader")
        assert await close_code(one_more) == 1013
        assert one_more.close_reason == "Too many streams are open; try again later"
        other = await open_socket(stack, base_url, "other")
        assert await hear(other) == {"type": "connection_ack"}

        await subscribe(first, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 2)
        fake.receive("still here")
        assert (await hear(first))["type"] == "next"
        assert await metric(base_url, 'gateway_streams_cut_total{reason="full",transport="ws"}') == 1
        assert await metric(base_url, 'gateway_streams_cut_total{reason="full",transport="sse"}') == 1
    await until(lambda: fake.followers == 0)

    async with AsyncExitStack() as stack:
        assert (await open_stream(stack, base_url, "reader")).status_code == 200


async def test_the_process_holds_so_many_whoever_opens_them(base_url: str) -> None:
    async with AsyncExitStack() as stack:
        sockets = [await open_socket(stack, base_url, None) for _ in range(4)]

        one_more = await open_socket(stack, base_url, None)
        assert await close_code(one_more) == 1013
        refused = await open_stream(stack, base_url, "reader")
        await refused.aread()
        assert (refused.status_code, code_of(refused)) == (503, "LIMIT_EXCEEDED")
        assert "retry-after" in refused.headers

        await say(sockets[0], type="connection_init", payload={"x-api-key": "reader"})
        assert await hear(sockets[0]) == {"type": "connection_ack"}
        await sockets[1].close()
        async with asyncio.timeout(5):
            while (await open_stream(stack, base_url, "other")).status_code != 200:  # noqa: ASYNC110 -- it closes
                await asyncio.sleep(0.02)


def test_places_are_given_back_and_callers_forgotten() -> None:
    streams = Streams(2, 1)

    with streams.room(), streams.room_for("a"):
        with streams.room(), streams.room_for("b"):
            assert streams.open == 2
            with pytest.raises(ServerFull), streams.room():
                pass
        assert streams.open == 1
    assert streams.open == 0
    assert not streams._callers._taken


@pytest.mark.parametrize("wrong", [(0, None), (1, 0)])
def test_no_streams_at_all_is_a_mistake(wrong: tuple[int, int | None]) -> None:
    with pytest.raises(ValueError, match="At least one"):
        Streams(*wrong)
