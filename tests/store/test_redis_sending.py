"""Sending with the idempotency keys in Redis: over two processes, and while Redis hangs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.cursor import CursorKeys
from gateway.domain.errors import Overloaded, SendUnconfirmed
from gateway.domain.model import Message, Sender, SenderKind
from gateway.services.instance import Instance
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from gateway.store.redis_sends import RedisSends
from gateway.store.sealing import CursorSeal
from gateway.store.welkin_reads import WelkinReads, weigh
from tests.redis_server import RedisServer
from tests.store.conftest import StartSends, until
from tests.unit.paging.upstreams import LinkedUpstream, message
from tests.unit.services.fakes import GH, FakeWelkin


def serve(welkin: FakeWelkin, sends: RedisSends) -> Instance:
    """Build an instance that keeps its idempotency keys in Redis."""
    reads = WelkinReads(welkin, SharedReads(BoundedMemoryCache(weigh=weigh), 30))
    keys = CursorKeys.from_secrets(["secret"])
    return Instance(
        GH, welkin, reads, sends, cursor_keys=keys, seal=CursorSeal(), deadline=3, reconcile_seconds=30
    )


async def test_a_message_whose_fate_is_unclear_is_looked_for_by_another_process_and_never_sent_again(
    redis: RedisServer, sends: StartSends
):
    upstream = LinkedUpstream(100)
    upstream.arrive(0)

    def lose(body: str) -> Message:
        raise SendUnconfirmed("no answer")

    first = FakeWelkin(upstream, on_send=lose)
    with pytest.raises(SendUnconfirmed):
        await serve(first, sends(redis.url)).send("p1", "hello", None, "key")
    sent = message(len(upstream.history), 10, prefix="s")
    upstream.history.append(replace(sent, body="hello", sender=Sender(SenderKind.PATIENT)))

    second = FakeWelkin(upstream, on_send=lose)
    edge = await serve(second, sends(redis.url)).send("p1", "hello", None, "key")

    assert edge.message.external_id == sent.external_id
    assert (first.sends, second.sends) == (1, 0)


async def test_while_redis_hangs_only_a_send_with_a_key_is_refused_and_nothing_of_it_was_sent(
    own_redis: RedisServer, sends: StartSends
):
    upstream = LinkedUpstream(100)
    upstream.arrive(0)
    answer = replace(message(1, 10, prefix="s"), sender=Sender(SenderKind.PATIENT))
    welkin = FakeWelkin(upstream, on_send=lambda _: answer)
    process = sends(own_redis.url)
    instance = serve(welkin, process)
    own_redis.pause()

    with pytest.raises(Overloaded, match="nothing was sent"):
        await instance.send("p1", "hello", None, "key")
    assert welkin.sends == 0
    await instance.send("p1", "hello", None, None)
    assert welkin.sends == 1

    own_redis.go_on()
    await until(lambda: not process.errands.pending)
    await instance.send("p1", "hello again", None, "key")
    assert welkin.sends == 2
