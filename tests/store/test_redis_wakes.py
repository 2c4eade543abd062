"""Wakes reach the other processes of a gateway, after the change that they tell of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from gateway.domain.model import InstanceName
from gateway.store.wakes import RedisWakes
from tests.redis_server import RedisServer
from tests.store.conftest import KEY, NEXT_KEY, Process, StartProcess, Truth, until

GH = InstanceName("gh", "sb-demo")
LIVE = InstanceName("acme", "live")


@dataclass
class Heard:
    """What a process was told, in order."""

    wakes: list[tuple[str, InstanceName, str]] = field(default_factory=list)
    gaps: int = 0
    then: Callable[[], None] = field(default=lambda: None)

    def conversation(self, instance: InstanceName, patient_id: str) -> None:
        self.wakes.append(("conversation", instance, patient_id))
        self.then()

    def record(self, instance: InstanceName, patient_id: str) -> None:
        self.wakes.append(("record", instance, patient_id))

    def missed(self) -> None:
        self.gaps += 1


@dataclass
class Peer:
    """A process with its wakes and its reads."""

    process: Process
    wakes: RedisWakes
    heard: Heard


StartPeer = Callable[..., Peer]


@pytest.fixture
async def peer(start: StartProcess) -> AsyncIterator[StartPeer]:
    started: list[Peer] = []

    def start_one(url: str, *keys: str) -> Peer:
        process = start(url, keys=keys or (KEY,))
        started.append(Peer(process, RedisWakes(process.link, process.outbox), Heard()))
        started[-1].wakes.listen(started[-1].heard)
        return started[-1]

    yield start_one
    await asyncio.gather(*(each.wakes.aclose() for each in started))


async def test_the_others_hear_what_one_tells_and_it_does_not_hear_itself(
    redis: RedisServer, peer: StartPeer
):
    one, two = peer(redis.url), peer(redis.url)
    await until(lambda: one.wakes.listening and two.wakes.listening)
    assert (one.heard.gaps, two.heard.gaps) == (1, 1)

    one.wakes.conversation(GH, "p1")
    one.wakes.record(LIVE, "p2")
    two.wakes.conversation(LIVE, "p3")

    await until(lambda: len(two.heard.wakes) == 2 and len(one.heard.wakes) == 1)
    assert two.heard.wakes == [("conversation", GH, "p1"), ("record", LIVE, "p2")]
    assert one.heard.wakes == [("conversation", LIVE, "p3")]


async def test_who_hears_of_a_change_reads_what_is_newer(redis: RedisServer, peer: StartPeer):
    one, two = peer(redis.url), peer(redis.url)
    await until(lambda: one.wakes.listening and two.wakes.listening)
    truth, reads = Truth(), []
    two.heard.then = lambda: reads.append(asyncio.create_task(two.process.version(truth)))

    for version in range(1, 20):
        await two.process.version(truth)
        truth.version = version
        one.process.reads.advance("s")
        one.wakes.conversation(GH, "p1")
        await until(lambda: len(reads) == truth.version)

    assert await asyncio.gather(*reads) == list(range(1, 20))


async def test_after_every_loss_of_the_connection_it_is_told_that_wakes_may_have_been_missed(
    own_redis: RedisServer, peer: StartPeer
):
    one, two = peer(own_redis.url), peer(own_redis.url)
    await until(lambda: one.wakes.listening and two.wakes.listening)

    own_redis.kill()
    await until(lambda: not one.wakes.listening and not two.wakes.listening)
    one.wakes.conversation(GH, "p1")  # told while Redis is away
    own_redis.start()

    async with asyncio.timeout(5):
        await until(lambda: two.heard.gaps == 2 and one.heard.gaps == 2)
    two.wakes.conversation(GH, "p2")
    await until(lambda: ("conversation", GH, "p2") in one.heard.wakes)


async def test_a_redis_that_hangs_is_noticed_by_the_listener_alone(own_redis: RedisServer, peer: StartPeer):
    one = peer(own_redis.url)
    await until(lambda: one.wakes.listening and one.process.link.healthy)

    own_redis.pause()
    await until(lambda: not one.wakes.listening)
    assert not one.process.link.healthy
    own_redis.go_on()

    async with asyncio.timeout(5):
        await until(lambda: one.wakes.listening and one.process.link.healthy)
    assert one.heard.gaps == 2


async def test_too_many_wakes_for_a_redis_that_is_away_become_one_of_everything(
    own_redis: RedisServer, peer: StartPeer
):
    one, two = peer(own_redis.url), peer(own_redis.url)
    await until(lambda: one.wakes.listening and two.wakes.listening)
    own_redis.pause()

    for number in range(10_001):
        one.wakes.conversation(GH, str(number))
    own_redis.go_on()

    await until(lambda: two.heard.gaps >= 2)


async def test_nonsense_on_the_channel_is_passed_over(redis: RedisServer, peer: StartPeer):
    one, two = peer(redis.url), peer(redis.url)
    await until(lambda: one.wakes.listening and two.wakes.listening)
    (channel,) = one.wakes._channels
    for nonsense in (b"", b"\x01" * 60, b"\x80\x04N."):
        await one.process.link.run(
            lambda client, it=nonsense: client.publish(channel, it), within=5, insist=True
        )

    one.wakes.conversation(GH, "p1")

    await until(lambda: bool(two.heard.wakes))
    assert two.heard.wakes == [("conversation", GH, "p1")]


async def test_while_keys_are_rotated_both_sides_hear_each_other(redis: RedisServer, peer: StartPeer):
    old, both = peer(redis.url), peer(redis.url, NEXT_KEY, KEY)
    await until(lambda: old.wakes.listening and both.heard.gaps == 2)

    old.wakes.conversation(GH, "p1")
    both.wakes.conversation(GH, "p2")

    await until(lambda: bool(old.heard.wakes) and bool(both.heard.wakes))
    assert (both.heard.wakes, old.heard.wakes) == (
        [("conversation", GH, "p1")],
        [("conversation", GH, "p2")],
    )
