"""Webhooks while the Redis that processes share is down, hangs or comes back: each is answered, none is lost.

The timer of the live tails is set so late that it explains nothing here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest

from gateway.sandbox import SandboxConfig, create_sandbox
from gateway.sandbox.conversations import LONG
from gateway.sandbox.store import CARE_TEAM
from tests.api.system import CLIENTS, PATHS, System, gateway
from tests.redis_server import RedisServer, redis_server
from tests.serving import serve

NEVER = 600.0
"""Seconds until the timer of a live tail would look."""

AT_ONCE = 2.0
"""Of one answer, on a busy machine. A wait for a Redis that hangs would take the client's own time-out."""

SOON = 10.0
FAULTS = ["down", "hangs"]
EACH_ONCE = [("v1", "hangs"), ("v2", "down")]
"""For what takes seconds: Redis knows nothing of Welkin's versions."""

CREDENTIALS = {"X-WEBHOOK-API-KEY": "hook-key", "X-WEBHOOK-API-SECRET": "hook-secret"}


@dataclass
class Pair:
    """Two gateways over one Redis, and a Welkin that calls neither: the tests are its webhook."""

    redis: RedisServer
    hearing: System
    other: System
    http: httpx2.AsyncClient

    def say(self, text: str) -> None:
        """Let the care team write."""
        self.hearing.sandbox.record(LONG, CARE_TEAM[0], text)

    async def call(self, version: str, headers: dict[str, str] | None = None) -> tuple[int, Any, float]:
        """Call the first gateway's webhook; gives the status, the body and the seconds."""
        tenant, instance = PATHS[version].split("/")
        event = {"patientId": LONG, "tenantName": tenant, "instanceName": instance, "message": "ignored"}
        url = f"{self.hearing.gateway_url}/{PATHS[version]}/webhooks/chat"
        began = time.monotonic()
        answer = await self.http.post(url, json=event, headers=CREDENTIALS if headers is None else headers)
        return answer.status_code, answer.json(), time.monotonic() - began

    async def store(self, system: System) -> str:
        """Ask a gateway how its store is."""
        return (await self.http.get(f"{system.gateway_url}/readyz")).json()["parts"]["store"]

    async def until_store(self, *, well: bool) -> None:
        """Wait until both gateways know how the store is."""
        async with asyncio.timeout(SOON):
            for system in (self.hearing, self.other):
                while (await self.store(system) == "ok") is not well:  # noqa: ASYNC110 - it is the process's
                    await asyncio.sleep(0.1)

    def take_away(self, fault: str) -> None:
        """Let Redis fail."""
        {"down": self.redis.kill, "hangs": self.redis.pause}[fault]()

    def bring_back(self, fault: str) -> None:
        """End that."""
        {"down": self.redis.start, "hangs": self.redis.go_on}[fault]()


@asynccontextmanager
async def pair_over(redis: RedisServer, store_url: str) -> AsyncGenerator[Pair]:
    """Run both gateways; ``store_url`` is where they look for their Redis."""
    app = create_sandbox(replace(SandboxConfig(), clients=CLIENTS))
    store = {"url": store_url, "encryption_keys": ["of the tests, not secret"]}
    options: dict[str, Any] = {"store": store, "instance": {"reconcile_seconds": NEVER}}
    with (
        serve(app) as sandbox_url,
        gateway(sandbox_url, **options) as one,
        gateway(sandbox_url, **options) as two,
        httpx2.Client(timeout=30) as http,
    ):
        hearing, other = (System(app.state.sandbox, sandbox_url, url, http) for url in (one, two))
        async with httpx2.AsyncClient(timeout=20) as caller:
            yield Pair(redis, hearing, other, caller)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    with redis_server() as redis:
        async with pair_over(redis, redis.url) as pair:
            await pair.until_store(well=True)
            yield pair


@asynccontextmanager
async def following(version: str, *systems: System) -> AsyncGenerator[list[AsyncIterator[dict[str, Any]]]]:
    """Follow at each of the gateways, from the newest message on, until each has looked once."""
    async with AsyncExitStack() as stack:
        streams: list[AsyncIterator[dict[str, Any]]] = []
        for system in systems:
            page = await asyncio.to_thread(system.messages, version, LONG, first=1)
            newest = page["pageInfo"]["startCursor"]
            streams.append(await stack.enter_async_context(system.follow(version, LONG, after=newest)))
        await asyncio.sleep(0.5)  # so that the look at the beginning is over
        yield streams


async def heard(stream: AsyncIterator[dict[str, Any]]) -> str:
    """Give the next message's text."""
    async with asyncio.timeout(SOON):
        return (await anext(stream))["node"]["body"]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_webhook_is_taken_at_once_and_its_subscriber_told(
    pair: Pair, version: str, fault: str
) -> None:
    async with following(version, pair.hearing) as (stream,):
        pair.take_away(fault)
        pair.say("told without Redis")

        status, body, took = await pair.call(version)

        assert (status, body) == (200, {"ok": True})
        assert took < AT_ONCE
        assert await heard(stream) == "told without Redis"
        await pair.until_store(well=False)  # else it was not away
        pair.bring_back(fault)


@pytest.mark.parametrize("fault", FAULTS)
async def test_many_webhooks_wait_for_redis_no_more_than_one_does(pair: Pair, fault: str) -> None:
    pair.take_away(fault)
    answers = [await pair.call("v1") for _ in range(50)]
    at_once = await asyncio.gather(*(pair.call("v1") for _ in range(50)))
    pair.bring_back(fault)

    assert [status for status, _, _ in answers + at_once] == [200] * 100
    assert max(took for _, _, took in answers) < AT_ONCE
    assert sorted(took for _, _, took in answers)[25] < 0.1
    assert max(took for _, _, took in at_once) < 2 * AT_ONCE


@pytest.mark.parametrize("fault", FAULTS)
async def test_who_has_no_credentials_is_refused_as_ever(pair: Pair, fault: str) -> None:
    wrong = {**CREDENTIALS, "X-WEBHOOK-API-SECRET": "wrong"}
    with_redis = await pair.call("v1", wrong)
    pair.take_away(fault)

    without = await pair.call("v1", wrong)
    pair.bring_back(fault)

    assert with_redis[0] == 401
    assert without[:2] == with_redis[:2]
    assert without[2] < AT_ONCE


@pytest.mark.parametrize(("version", "fault"), EACH_ONCE)
async def test_a_webhook_that_redis_could_not_be_told_of_reaches_the_other_process_when_it_is_back(
    pair: Pair, version: str, fault: str
) -> None:
    async with following(version, pair.other) as (stream,):
        pair.take_away(fault)
        await pair.until_store(well=False)
        pair.say("told when it was back")
        status, _, took = await pair.call(version)
        assert (status, took < AT_ONCE) == (200, True)
        await asyncio.sleep(1)

        pair.bring_back(fault)

        assert await heard(stream) == "told when it was back"


@pytest.mark.parametrize(("version", "fault"), EACH_ONCE)
async def test_afterwards_a_webhook_at_one_wakes_the_other_again(
    pair: Pair, version: str, fault: str
) -> None:
    async with following(version, pair.hearing, pair.other) as streams:
        pair.take_away(fault)
        await pair.until_store(well=False)
        pair.bring_back(fault)
        await pair.until_store(well=True)
        await asyncio.sleep(1)  # so that the look that follows a loss is over

        pair.say("as before")
        status, _, took = await pair.call(version)

        assert (status, took < AT_ONCE) == (200, True)
        assert [await heard(stream) for stream in streams] == ["as before", "as before"]


async def test_where_there_never_was_a_redis_a_webhook_is_taken_and_told_all_the_same() -> None:
    with redis_server() as unused:
        unused.kill()
        async with pair_over(unused, unused.url) as pair, following("v1", pair.hearing) as (stream,):
            assert await pair.store(pair.hearing) != "ok"
            pair.say("told without any")

            status, _, took = await pair.call("v1")

            assert (status, took < AT_ONCE) == (200, True)
            assert await heard(stream) == "told without any"
