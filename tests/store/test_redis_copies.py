"""Copies of reads in one Redis, shared by several processes."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import msgspec
import pytest

from gateway.domain import staleness
from gateway.domain.errors import NotFound, UpstreamUnavailable
from gateway.domain.model import PatientRecord
from gateway.store.link import RedisLink
from tests.redis_server import RedisServer
from tests.store.conftest import KEY, NEXT_KEY, StartProcess, Truth, until


async def content(link: RedisLink, kind: str) -> dict[bytes, bytes]:
    """Give what Redis holds of one kind of names."""
    names: list[bytes] = await link.run(lambda redis: redis.keys(f"*:{kind}:*"), within=5)
    return {name: await link.run(lambda redis, name=name: redis.get(name), within=5) for name in names}


async def test_a_copy_serves_every_process_until_one_is_told_of_a_change(
    redis: RedisServer, start: StartProcess
):
    truth, one, two = Truth(), start(redis.url), start(redis.url)
    await asyncio.gather(one.healthy(), two.healthy())

    assert [await one.version(truth), await two.version(truth), truth.reads] == [0, 0, 1]

    truth.version = 1
    one.reads.advance("s")
    assert await one.version(truth) == 1
    await one.confirmed()
    assert await two.version(truth) == 1


async def test_a_change_told_elsewhere_is_not_told_to_redis_again(redis: RedisServer, start: StartProcess):
    truth, one, two = Truth(latency=0.2), start(redis.url), start(redis.url)
    await asyncio.gather(one.healthy(), two.healthy())
    under_way = asyncio.create_task(two.version(truth))
    await until(lambda: truth.reads > 0)

    truth.version = 1
    one.reads.advance("s")
    await one.confirmed()
    two.reads.advance("s", elsewhere=True)

    assert [await two.version(truth), await under_way] == [1, 0]
    assert not two.outbox.pending
    assert await one.version(truth) == 1


async def test_a_call_that_began_before_a_confirmed_change_is_not_joined_though_nobody_told(
    redis: RedisServer, start: StartProcess
):
    truth, one, two = Truth(latency=0.3), start(redis.url), start(redis.url)
    await asyncio.gather(one.healthy(), two.healthy())
    under_way = asyncio.create_task(two.version(truth))
    await until(lambda: truth.reads > 0)

    truth.version = 1
    one.reads.advance("s")
    await one.confirmed()

    assert [await two.version(truth), await under_way] == [1, 0]
    assert await one.version(truth) == 1


async def test_an_older_read_that_ends_later_does_not_take_the_place_of_a_newer_one(
    redis: RedisServer, start: StartProcess
):
    slow, quick, one, two = Truth(latency=0.3), Truth(version=1), start(redis.url), start(redis.url)
    await asyncio.gather(one.healthy(), two.healthy())
    older = asyncio.create_task(one.version(slow))
    await until(lambda: slow.reads > 0)

    assert [await two.version(quick), await older] == [1, 0]
    assert [await one.version(slow), await two.version(slow), slow.reads] == [1, 1, 1]


async def test_what_was_just_read_serves_those_who_want_nothing_older(
    redis: RedisServer, start: StartProcess
):
    """One read of the newest page tells the listeners of a conversation to read on: from that very page."""
    truth, one, two = Truth(latency=0.005), start(redis.url), start(redis.url)
    await asyncio.gather(one.healthy(), two.healthy())

    for _ in range(30):
        look = await one.reads.get("s", "", truth.load, also=lambda _: "page", not_before=one.reads.now())
        truth.reads = 0
        for part in ("", "page"):
            kept = await one.reads.get("s", part, truth.load, not_before=look.began)
            assert (kept.began, kept.ended) == (look.began, look.ended)
        assert truth.reads == 0

    other = await two.reads.get("s", "", truth.load)
    assert truth.reads == 0
    assert other.began <= look.began, "another process knows a bound, and on this machine the same clock"


async def test_500_reads_at_once_cost_one_call_and_who_goes_away_spoils_nothing(
    redis: RedisServer, start: StartProcess
):
    truth, one = Truth(latency=0.5), start(redis.url)
    await one.healthy()
    leader = asyncio.create_task(one.version(truth))
    await until(lambda: truth.reads > 0)
    followers = [asyncio.create_task(one.version(truth)) for _ in range(500)]
    await asyncio.sleep(0)
    leader.cancel()

    assert set(await asyncio.gather(*followers)) == {0}
    assert truth.reads == 1


async def test_an_error_is_kept_by_nobody(redis: RedisServer, start: StartProcess):
    one = start(redis.url)
    await one.healthy()

    async def missing() -> PatientRecord:
        raise NotFound("none")

    with pytest.raises(NotFound):
        await one.reads.get("s", "", missing)

    assert await content(one.link, "copy") == {}
    assert await one.version(Truth(version=3)) == 3


PLANTED: dict[str, bytes] = {
    "not ours": b"null",
    "empty": b"",
    "pickled": pickle.dumps(PatientRecord("pt_1", first_name="666")),
    "in clear": b"0001700000000000" * 2 + msgspec.msgpack.encode(["record", {"patient_id": "pt_1"}]),
    "never to be newer": b"0001700000000000" + b"9999999999999999" + bytes(60),
    "from the future": b"9999999999999999" * 2 + bytes(60),
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED.keys())
async def test_what_somebody_planted_is_never_served_and_is_written_over(
    redis: RedisServer, start: StartProcess, planted: bytes
):
    truth, one = Truth(), start(redis.url)
    await one.healthy()
    await one.version(truth)
    (name,) = await content(one.link, "copy")
    await one.link.run(lambda client: client.set(name, planted), within=5)

    truth.version = 1
    assert [await one.version(truth), await one.version(truth), truth.reads] == [1, 1, 2]


async def test_a_copy_moved_to_another_name_is_not_opened(redis: RedisServer, start: StartProcess):
    one = start(redis.url)
    await one.healthy()
    await one.version(Truth(version=1), "patient/1")
    ((name, value),) = (await content(one.link, "copy")).items()
    await one.version(Truth(version=2), "patient/2")
    (other,) = set(await content(one.link, "copy")) - {name}
    await one.link.run(lambda client: client.set(other, value), within=5)

    assert await one.version(Truth(version=2), "patient/2") == 2


async def test_nothing_outlives_its_freshness_and_the_time_it_may_stand_in(
    redis: RedisServer, start: StartProcess
):
    one = start(redis.url, ttl=20, stale=30)
    await one.healthy()
    await one.version(Truth())
    one.reads.advance("other")
    await one.confirmed()

    names: list[bytes] = await one.link.run(lambda client: client.keys("*"), within=5)
    left = [await one.link.run(lambda client, name=name: client.ttl(name), within=5) for name in names]

    assert len(names) == 4
    assert all(0 < seconds <= 50 for seconds in left)


@pytest.mark.parametrize("lists", [((KEY,), (NEXT_KEY, KEY)), ((NEXT_KEY, KEY), (NEXT_KEY,))])
async def test_while_keys_are_rotated_a_change_told_by_either_side_is_known_to_both(
    redis: RedisServer, start: StartProcess, lists: tuple[tuple[str, ...], ...]
):
    truth = Truth()
    one, two = (start(redis.url, keys=keys) for keys in lists)
    await asyncio.gather(one.healthy(), two.healthy())

    for teller in (one, two):
        await one.version(truth)
        await two.version(truth)
        truth.version += 1
        teller.reads.advance("s")
        await teller.confirmed()
        assert [await one.version(truth), await two.version(truth)] == [truth.version] * 2


async def test_a_copy_stands_in_while_the_upstream_is_down_but_not_after_a_change(
    redis: RedisServer, start: StartProcess
):
    truth, one, two = Truth(), start(redis.url, ttl=0.2), start(redis.url, ttl=0.2)
    await asyncio.gather(one.healthy(), two.healthy())
    await one.version(truth)
    await asyncio.sleep(0.3)
    truth.fails = True

    async def ask() -> tuple[int, float | None]:
        note = staleness.watch()
        return await two.version(truth), note.seconds

    answers = await asyncio.gather(*(ask() for _ in range(20)))
    assert {version for version, _ in answers} == {0}
    assert all(seconds is not None and 0.3 <= seconds < 30 for _, seconds in answers)

    one.reads.advance("s")
    await one.confirmed()
    with pytest.raises(UpstreamUnavailable):
        await two.version(truth)


async def test_a_change_told_while_the_upstream_is_asked_lets_no_copy_stand_in(
    redis: RedisServer, start: StartProcess
):
    truth, one, two = Truth(), start(redis.url, ttl=0.1), start(redis.url, ttl=0.1)
    await asyncio.gather(one.healthy(), two.healthy())
    await one.version(truth)
    await asyncio.sleep(0.2)
    truth.fails, truth.latency, truth.reads = True, 0.3, 0
    asking: asyncio.Task[Any] = asyncio.create_task(two.version(truth))
    await until(lambda: truth.reads > 0)

    one.reads.advance("s")
    await one.confirmed()

    with pytest.raises(UpstreamUnavailable):
        await asking


async def test_a_change_told_just_before_an_orderly_end_reaches_the_others(
    redis: RedisServer, start: StartProcess
):
    truth, one, two = Truth(), start(redis.url), start(redis.url)
    await asyncio.gather(one.healthy(), two.healthy())
    await two.version(truth)

    truth.version = 1
    one.reads.advance("s")
    await one.aclose()

    assert await two.version(truth) == 1


async def test_a_value_that_cannot_be_kept_is_not_followed_by_an_older_copy_and_spoils_no_other(
    redis: RedisServer, start: StartProcess
):
    truth, one, two = Truth(), start(redis.url), start(redis.url)
    await asyncio.gather(one.healthy(), two.healthy())
    for part in ("odd", "even"):
        await one.version(truth, part=part)
        await two.version(truth, part=part)

    async def odd() -> PatientRecord:
        return PatientRecord("pt_1", first_name="1", last_name="\ud800")

    await one.reads.get("s", "odd", odd, not_before=one.reads.now())
    truth.version = 1

    assert not one.outbox.pending
    assert [await each.version(truth, part="odd") for each in (one, two)] == [1, 1]
    assert [await each.version(truth, part="even") for each in (one, two)] == [0, 0]
