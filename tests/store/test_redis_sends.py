"""One idempotency key sends one message: over several processes, restarts, and failures of Redis."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from gateway.domain.errors import BadInput, Overloaded
from gateway.domain.model import Message, Sender, SenderKind
from gateway.domain.pages import Linked, Newest, Numbered
from gateway.domain.ports import SendRecord
from gateway.store.redis_sends import RedisSends
from gateway.store.sends import MemorySends
from tests.redis_server import RedisServer, proxy
from tests.store.conftest import KEY, NEXT_KEY, StartSends, until

SENT = Message("m1", "pt_1", Sender(SenderKind.PATIENT, "c1"), "text", datetime(2026, 1, 2, tzinfo=UTC))
UNCLEAR = SendRecord(None, ("m0", "m-1"), (Newest(), Linked("token", local=True), Numbered(3, 50)))
DONE = SendRecord(SENT, UNCLEAR.known, UNCLEAR.hints)


async def test_what_one_process_noted_another_remembers(redis: RedisServer, sends: StartSends):
    one, two = sends(redis.url), sends(redis.url)
    claim = await one.claim("p/k", "print")
    assert claim.earlier is None
    await claim.note(UNCLEAR)
    await claim.note(DONE)
    await claim.release()

    again = await two.claim("p/k", "print")

    assert again.earlier == DONE
    await again.release()


async def test_a_key_under_which_nothing_was_sent_is_free(redis: RedisServer, sends: StartSends):
    one, two = sends(redis.url), sends(redis.url)
    claim = await one.claim("p/k", "print")
    await claim.note(UNCLEAR)
    await claim.note(None)
    await claim.release()

    again = await two.claim("p/k", "another print")

    assert again.earlier is None
    await again.release()


@pytest.mark.parametrize("kept_in", ["redis", "memory"])
async def test_a_key_stands_for_one_message_whether_held_or_done(
    redis: RedisServer, sends: StartSends, kept_in: str
):
    one = sends(redis.url) if kept_in == "redis" else MemorySends()
    two = sends(redis.url) if kept_in == "redis" else one
    claim = await one.claim("p/k", "print")
    with pytest.raises(BadInput):
        await two.claim("p/k", "another print")
    await claim.note(UNCLEAR)
    await claim.note(DONE)
    await claim.release()

    with pytest.raises(BadInput):
        await two.claim("p/k", "another print")


async def test_twenty_calls_of_two_processes_post_once(redis: RedisServer, sends: StartSends):
    posts = 0

    async def send(process: RedisSends) -> SendRecord | None:
        nonlocal posts
        claim = await process.claim("p/k", "print")
        try:
            if claim.earlier is None:
                await claim.note(UNCLEAR)
                posts += 1
                await asyncio.sleep(3)  # longer than a lock that nobody refreshes
                await claim.note(DONE)
                return DONE
            return claim.earlier
        finally:
            await claim.release()

    both = [sends(redis.url, lock_seconds=2), sends(redis.url, lock_seconds=2)]
    records = await asyncio.gather(*(send(both[n % 2]) for n in range(20)))

    assert posts == 1
    assert records == [DONE] * 20


KILLED = """
import asyncio, sys
from gateway.domain.ports import SendRecord
from gateway.store.errands import Errands
from gateway.store.link import RedisLink
from gateway.store.redis_sends import RedisSends

async def main():
    link = RedisLink(sys.argv[1], [sys.argv[2]])
    sends = RedisSends(link, Errands(link), "gh/sb-demo", lock_seconds=1.0)
    claim = await sends.claim("p/k", "print")
    await claim.note(SendRecord(None, ("m0",)))
    print("noted", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_send_noted_as_unclear_by_a_process_that_was_killed_is_unclear_to_the_next(
    redis: RedisServer, sends: StartSends
):
    process = subprocess.Popen([sys.executable, "-c", KILLED, redis.url, KEY], stdout=subprocess.PIPE)  # noqa: ASYNC220 - the child says when it is ready
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == b"noted\n"
    process.kill()
    process.wait()
    process.stdout.close()

    claim = await sends(redis.url).claim("p/k", "print")

    assert claim.earlier == SendRecord(None, ("m0",))
    await claim.release()


async def test_without_redis_a_claim_fails_before_anything_is_sent(own_redis: RedisServer, sends: StartSends):
    process = sends(own_redis.url)
    claim = await process.claim("p/k", "print")
    own_redis.pause()
    with pytest.raises(Overloaded):
        await claim.note(UNCLEAR)
    await claim.release()
    with pytest.raises(Overloaded):
        await process.claim("p/other", "print")
    own_redis.kill()
    with pytest.raises(Overloaded):
        await process.claim("p/other", "print")


async def test_sends_refused_for_want_of_a_redis_leave_nothing_to_be_done(sends: StartSends):
    """Nobody listens there, so nothing of a claim can have arrived."""
    process = sends("redis://127.0.0.1:1/0")
    before = len(asyncio.all_tasks())
    for number in range(200):
        with pytest.raises(Overloaded):
            await process.claim(f"p/{number}", "print")

    assert process.errands.pending == 0
    assert len(asyncio.all_tasks()) - before <= 3


async def test_sends_refused_while_redis_hangs_are_followed_up_by_one_task_while_a_lock_can_last(
    own_redis: RedisServer, sends: StartSends
):
    process = sends(own_redis.url, lock_seconds=2)
    await (await process.claim("p/k", "print")).release()
    before = len(asyncio.all_tasks())
    own_redis.pause()
    refused = await asyncio.gather(
        *(process.claim(f"p/{number}", "print") for number in range(100)), return_exceptions=True
    )
    assert all(isinstance(each, Overloaded) for each in refused)

    async with asyncio.timeout(10):
        await until(lambda: len(asyncio.all_tasks()) - before <= 6)  # the commands' own have ended
        await until(lambda: process.errands.pending == 0)
    own_redis.go_on()


async def test_a_note_that_was_not_confirmed_is_taken_back_even_if_it_arrives_late(
    own_redis: RedisServer, sends: StartSends
):
    """The caller was told that nothing was sent, so the key must be free afterwards."""
    process = sends(own_redis.url, lock_seconds=30)  # so that the lock lets a late note in
    claim = await process.claim("p/k", "print")
    own_redis.pause()
    with pytest.raises(Overloaded):
        await claim.note(UNCLEAR)  # it lies in the socket's buffer, and is read after the pause
    own_redis.go_on()
    await claim.release()
    await until(lambda: not process.errands.pending)

    again = await process.claim("p/k", "another print")

    assert again.earlier is None
    await again.release()


async def test_who_was_paused_longer_than_its_lock_lasts_sends_nothing(redis: RedisServer, sends: StartSends):
    async with proxy(redis.port) as between:
        paused, other = sends(between.url), sends(redis.url)
        claim = await paused.claim("p/k", "print")
        between.target = 1  # nothing it says arrives, its refreshing of the lock neither
        between.cut()
        taken = await other.claim("p/k", "print")
        assert taken.earlier is None
        await taken.note(UNCLEAR)
        between.target = redis.port

        with pytest.raises(Overloaded):
            await claim.note(UNCLEAR)
        await claim.release()
        await taken.note(DONE)
        await taken.release()

        again = await other.claim("p/k", "print")
        assert again.earlier == DONE
        await again.release()


async def test_what_became_of_a_send_is_written_once_redis_is_back(own_redis: RedisServer, sends: StartSends):
    process = sends(own_redis.url)
    claim = await process.claim("p/k", "print")
    await claim.note(UNCLEAR)
    own_redis.pause()
    await claim.note(DONE)
    await claim.release()
    own_redis.go_on()
    await until(lambda: not process.errands.pending)

    again = await process.claim("p/k", "print")

    assert again.earlier == DONE
    await again.release()


@pytest.mark.parametrize("before", [(KEY,), (NEXT_KEY, KEY)])
async def test_a_rotation_of_keys_forgets_no_send(
    redis: RedisServer, sends: StartSends, before: tuple[str, ...]
):
    claim = await sends(redis.url, *before).claim("p/k", "print")
    await claim.note(UNCLEAR)
    await claim.release()

    for keys in ((KEY,), (NEXT_KEY, KEY)):
        again = await sends(redis.url, *keys).claim("p/k", "print")
        assert again.earlier == UNCLEAR
        await again.release()


async def test_a_record_that_cannot_be_read_counts_as_unclear(redis: RedisServer, sends: StartSends):
    process = sends(redis.url)
    claim = await process.claim("p/k", "print")
    await claim.note(UNCLEAR)
    await claim.release()
    names: list[bytes] = await process._link.run(lambda client: client.keys("*:send:*"), within=5)
    await process._link.run(lambda client: client.set(names[0], b"planted"), within=5)

    again = await process.claim("p/k", "print")

    assert again.earlier == SendRecord(None)
    await again.release()
