"""Two gateways over one Redis are one gateway: what one hears, reads or sends, the other knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx2
import pytest

from gateway.sandbox import FaultRule, SandboxConfig, create_sandbox
from gateway.sandbox.conversations import CLOCKS, LONG, SHORT, TIES
from tests.api.system import CLIENTS, PATHS, SEND, System, gateway
from tests.redis_server import RedisServer, redis_server
from tests.serving import serve

RECONCILE = 4.0


@dataclass
class Pair:
    """A sandbox whose webhooks reach the first of two gateways."""

    redis: RedisServer
    first: System
    second: System


@pytest.fixture
def pair() -> Iterator[Pair]:
    app = create_sandbox(replace(SandboxConfig(), clients=CLIENTS))
    with redis_server() as redis:
        store = {"url": redis.url, "encryption_keys": ["of the tests, not secret"]}
        options = {"store": store, "instance": {"reconcile_seconds": RECONCILE, "timeout_seconds": 3}}
        with (
            serve(app) as sandbox_url,
            gateway(sandbox_url, **options) as one,
            gateway(sandbox_url, **options) as other,
            httpx2.Client(timeout=30) as http,
        ):
            first = System(app.state.sandbox, sandbox_url, one, http)
            first.hook_up()
            both = Pair(redis, first, System(app.state.sandbox, sandbox_url, other, http))
            for system in (both.first, both.second):
                while not reaches_redis(system):
                    time.sleep(0.05)
            yield both


def reaches_redis(system: System) -> bool:
    return system.http.get(f"{system.gateway_url}/readyz").json()["parts"]["store"] == "ok"


@pytest.fixture(params=["v1", "v2"])
def version(request) -> str:
    return request.param


async def say(pair: Pair, text: str, patient_id: str = LONG, **webhook: object) -> None:
    body = {"patientId": patient_id, "from": "care_team", "text": text, "webhook": webhook}
    await asyncio.to_thread(pair.first.control, "POST", "messages", body)


async def until(holds: Callable[[], bool]) -> None:
    """Ask again and again until something holds, for ten seconds."""
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.1)


@asynccontextmanager
async def following(pair: Pair, version: str) -> AsyncIterator[AsyncIterator[dict]]:
    """Follow at the second gateway, from the newest message on."""
    page = await asyncio.to_thread(pair.second.messages, version, LONG, first=1)
    async with pair.second.follow(version, LONG, after=page["pageInfo"]["startCursor"]) as edges:
        yield edges


async def test_a_webhook_at_one_wakes_the_subscriber_of_the_other(pair, version):
    async with following(pair, version) as edges:
        await asyncio.sleep(0.5)  # so that the look at the beginning is over

        await say(pair, "heard by the first")
        async with asyncio.timeout(RECONCILE - 1):
            edge = await anext(edges)

    assert edge["node"]["body"] == "heard by the first"


async def test_without_redis_the_subscriber_of_the_other_is_told_by_the_timer(pair, version):
    async with following(pair, version) as edges:
        pair.redis.kill()

        await say(pair, "told late")
        async with asyncio.timeout(RECONCILE + 10):
            edge = await anext(edges)

    assert edge["node"]["body"] == "told late"


async def test_no_read_fails_while_redis_is_away_and_the_process_says_so(pair, version):
    pair.redis.kill()

    for _ in range(5):
        assert pair.second.messages(version, SHORT, first=3)["edges"]
    await until(lambda: not reaches_redis(pair.second))  # the answer of before is good for a second

    pair.redis.start()
    await until(lambda: reaches_redis(pair.second))


def one_read_serves_both(pair: Pair, version: str, patient_id: str) -> bool:
    newest = pair.first.messages(version, patient_id, first=1)
    seen = pair.first.lists(version)
    assert pair.second.messages(version, patient_id, first=1) == newest
    return pair.first.lists(version) == seen


async def test_one_read_serves_both_until_one_hears_of_a_change(pair, version):
    # Who has to wait longer than 50 ms for Redis reads without it, as a busy machine may show here and
    # there. So one of three conversations is enough, each of them read for the first time.
    assert any(one_read_serves_both(pair, version, each) for each in (TIES, CLOCKS, SHORT))

    pair.second.messages(version, SHORT, first=1)
    await say(pair, "a change", SHORT)
    await until(
        lambda: pair.second.messages(version, SHORT, first=1)["edges"][0]["node"]["body"] == "a change"
    )


async def test_one_key_sends_one_message_whichever_process_gets_it(pair, version):
    sent = {"patientId": SHORT, "body": "once for both", "idempotencyKey": "order 1"}

    def ask(system: System) -> str:
        with httpx2.Client(timeout=30) as http:
            answer = replace(system, http=http).query(version, SEND, input=sent)
        return answer["sendMessage"]["messageEdge"]["node"]["externalId"]

    ids = await asyncio.gather(*(asyncio.to_thread(ask, system) for system in (pair.first, pair.second) * 3))

    assert len(set(ids)) == 1
    texts = [message.text for message in pair.first.sandbox.store.history(SHORT)]
    assert texts.count("once for both") == 1


async def test_an_unclear_send_is_not_repeated_by_the_other_process(pair, version):
    pair.first.sandbox.faults.add(FaultRule("hang", operation="send", api=version))
    sent = {"patientId": SHORT, "body": "unclear", "idempotencyKey": "order 2"}

    assert pair.first.code(version, SEND, input=sent) == "SEND_UNCONFIRMED"
    assert pair.second.code(version, SEND, input=sent) == "SEND_UNCONFIRMED"

    assert pair.first.sandbox.requests.count(f"{version}.send") == 1


async def test_a_key_that_cannot_be_checked_sends_nothing(pair, version):
    pair.redis.kill()
    sent = {"patientId": SHORT, "body": "not now", "idempotencyKey": "order 3"}

    url = f"{pair.second.gateway_url}/{PATHS[version]}/graphql"
    answer = pair.second.http.post(url, json={"query": SEND, "variables": {"input": sent}})

    assert answer.status_code == 503
    assert answer.json()["errors"][0]["extensions"]["code"] == "OVERLOADED"
    assert pair.first.sandbox.requests.count(f"{version}.send") == 0
