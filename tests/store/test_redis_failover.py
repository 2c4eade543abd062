"""A failover that demotes the old server and leaves its connections open: whoever has one moves on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from gateway.store.errands import Errands
from gateway.store.link import RedisAway, RedisLink
from gateway.store.redis_sends import RedisSends
from gateway.store.wakes import RedisWakes
from tests.redis_server import Proxy, RedisServer, proxy, redis_server
from tests.store.conftest import StartProcess, Truth, until
from tests.store.test_redis_wakes import GH, Heard

RECOVERY_SECONDS = 5
_SET = "return redis.call('SET', KEYS[1], 'x')"


@dataclass
class Pair:
    """Two servers, and the address that leads to the first of them."""

    old: RedisServer
    new: RedisServer
    address: Proxy

    async def fail_over(self, replica_of: int | None = None) -> None:
        """Make the new server the one, and the old one a replica."""
        self.address.target = self.new.port
        await self.demote(replica_of)

    async def demote(self, replica_of: int | None = None) -> None:
        client = Redis(port=self.old.port)
        await client.execute_command("REPLICAOF", "127.0.0.1", str(replica_of or self.new.port))
        await client.aclose()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    with redis_server() as old, redis_server() as new:
        async with proxy(old.port) as address:
            yield Pair(old, new, address)


async def write(link: RedisLink) -> bool:
    try:
        await link.script(_SET, ["written"], within=2, insist=True)
    except RedisAway:
        return False
    return True


async def test_after_a_failover_every_connection_leads_to_the_new_server_within_seconds(
    pair: Pair, start: StartProcess
):
    truth, one = Truth(), start(pair.address.url)
    await one.healthy()
    assert all(await asyncio.gather(*(write(one.link) for _ in range(30))))
    sends = RedisSends(one.link, Errands(one.link), "gh/sb-demo")

    await pair.fail_over()
    truth.version = 1
    one.reads.advance("s")
    assert await one.version(truth) == 1
    async with asyncio.timeout(RECOVERY_SECONDS):
        await one.healthy()
        await one.confirmed()

    for size in (1, 4, 12, 30):
        assert all(await asyncio.gather(*(write(one.link) for _ in range(size))))
    await (await sends.claim("p/k", "print")).release()
    assert one.link.healthy
    truth.reads = 0
    assert [await one.version(truth) for _ in range(3)] == [1, 1, 1]
    assert truth.reads < 3
    await one.aclose()


async def test_commands_under_way_during_a_failover_bring_no_old_connection_back(
    pair: Pair, start: StartProcess
):
    one = start(pair.address.url)
    await one.healthy()
    assert all(await asyncio.gather(*(write(one.link) for _ in range(30))))
    pair.address.delay = 0.5
    under_way = [asyncio.create_task(write(one.link)) for _ in range(20)]
    await asyncio.sleep(0.1)
    pair.address.delay = 0
    await pair.fail_over()

    assert not await write(one.link)  # on one of the ten others
    assert await write(one.link)
    assert all(await asyncio.gather(*under_way)), "they were answered before"
    for size in (30, 1, 30):
        assert all(await asyncio.gather(*(write(one.link) for _ in range(size))))
    await one.aclose()


async def test_while_the_address_leads_to_a_replica_still_it_is_gone_without(pair: Pair, start: StartProcess):
    truth, one = Truth(), start(pair.address.url)
    await one.healthy()
    await one.version(truth)

    await pair.demote()
    truth.version = 1
    one.reads.advance("s")
    assert [await one.version(truth) for _ in range(20)] == [1] * 20
    await asyncio.sleep(0.5)
    failures = one.link.failures
    for number in range(100):
        await one.version(truth, f"p{number}")
        await asyncio.sleep(0.005)
    assert not one.link.healthy, "a replica answers, but is of no use"
    assert one.link.failures - failures < 20, "it is left alone, and tried now and then"

    pair.address.target = pair.new.port
    async with asyncio.timeout(RECOVERY_SECONDS):
        await one.healthy()
        await one.confirmed()
    await one.aclose()


async def test_after_a_failover_wakes_are_heard_though_the_old_server_hears_of_none(
    pair: Pair, start: StartProcess
):
    one, two = start(pair.address.url), start(pair.address.url)
    wakes = [RedisWakes(each.link, each.outbox) for each in (one, two)]
    heard = [Heard(), Heard()]
    for each, handler in zip(wakes, heard, strict=True):
        each.listen(handler)
    await until(lambda: all(each.listening for each in wakes))

    await pair.fail_over(replica_of=1)  # the old server never finds the new one
    truth = Truth()
    await asyncio.gather(one.version(truth), two.version(truth))
    async with asyncio.timeout(RECOVERY_SECONDS):
        await until(lambda: all(each.gaps == 2 for each in heard))
        wakes[0].conversation(GH, "p1")
        await until(lambda: ("conversation", GH, "p1") in heard[1].wakes)

    await asyncio.gather(*(each.aclose() for each in wakes))
    await asyncio.gather(one.aclose(), two.aclose())
