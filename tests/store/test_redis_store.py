"""The store as a gateway has it: made from a configuration, begun, used and ended."""

from __future__ import annotations

import asyncio

from gateway.domain.model import InstanceName
from gateway.domain.ports import SendRecord
from gateway.store.reads import SharedReads
from gateway.store.redis_store import RedisStore
from tests.redis_server import RedisServer
from tests.store.conftest import KEY, Truth, until
from tests.store.test_redis_wakes import Heard


def store(url: str) -> RedisStore:
    return RedisStore(url, [KEY], "gw", ttl=30, spare=30)


async def test_two_processes_share_reads_sends_wakes_and_shelves(redis: RedisServer):
    stores, truth = [store(redis.url), store(redis.url)], Truth()
    heard = [Heard(), Heard()]
    reads = [SharedReads(each.copies("gh/sb-demo/v1"), 30, stale=30) for each in stores]
    for each, handler in zip(stores, heard, strict=True):
        each.start(handler)
    await until(lambda: all(each.healthy and each.wakes.listening for each in stores))

    await reads[0].get("s", "", truth.load)
    truth.version = 1
    reads[0].advance("s")
    stores[0].wakes.conversation(InstanceName("gh", "sb-demo"), "p1")
    await until(lambda: bool(heard[1].wakes))
    assert (await reads[1].get("s", "", truth.load)).value.first_name == "1"

    claim = await stores[0].sends("gh/sb-demo").claim("key", "print")
    await claim.note(SendRecord(None))
    await claim.release()
    assert (await stores[1].sends("gh/sb-demo").claim("key", "print")).earlier == SendRecord(None)
    await stores[0].shelf.put("token", b"secret", 60)
    assert await stores[1].shelf.get("token") == b"secret"

    await asyncio.gather(*(each.aclose() for each in reads))
    await asyncio.gather(*(each.aclose() for each in stores))
    assert [each.unconfirmed for each in stores] == [0, 0]


async def test_it_begins_and_ends_without_a_redis():
    away = store("redis://127.0.0.1:1/0")
    away.start(Heard())
    reads = SharedReads(away.copies("gh/sb-demo/v1"), 30, stale=30)

    assert (await reads.get("s", "", Truth().load)).value.first_name == "0"
    await until(lambda: away.failures > 0)
    assert not away.healthy

    async with asyncio.timeout(5):
        await away.aclose()
