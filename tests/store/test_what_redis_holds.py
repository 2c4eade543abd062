"""Whoever can read all of Redis learns nothing of patients, searches, tokens or keys."""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import UTC, date, datetime
from typing import Any

import pytest

from gateway.domain.model import InstanceName, Message, PatientRecord, Sender, SenderKind
from gateway.domain.pages import Linked, Newest, Page, PageRef
from gateway.domain.ports import SendRecord
from gateway.domain.scan import Ask
from gateway.store.errands import Errands
from gateway.store.link import RedisLink
from gateway.store.redis_sends import RedisSends
from gateway.store.shelf import MemoryShelf, RedisShelf
from gateway.store.wakes import RedisWakes
from gateway.store.welkin_reads import WelkinReads
from tests.redis_server import RedisServer
from tests.store.conftest import KEY, NEXT_KEY, StartProcess, until

CANARY = "Zq7canary4Xw"
GH = InstanceName("gh", "sb-demo")


class Welkin:
    """Answers everything with pages and records full of canaries."""

    def __getattr__(self, name: str) -> Any:
        return self.patient if name == "patient" else self.page

    async def page(self, *_: Any, **__: Any) -> Page:
        sender = Sender(SenderKind.PATIENT, f"c-{CANARY}", f"name {CANARY}")
        message = Message(f"m-{CANARY}", f"pt_{CANARY}", sender, f"text {CANARY}", datetime.now(UTC))
        ref: PageRef = Linked(f"token-{CANARY}")
        return Page(Newest(), (message,) * 50, ref, None, {message.external_id: (ref,)})

    async def patient(self, patient_id: str) -> PatientRecord:
        return PatientRecord(patient_id, CANARY, CANARY, CANARY, date(2000, 1, 2), CANARY, phone=CANARY)


def disguises(text: str) -> set[bytes]:
    """Give the forms in which a text may hide."""
    plain = text.encode()
    encoded = {base64.b64encode(b"\0" * pad + plain).rstrip(b"=")[4:-4] for pad in range(3)}
    return {plain, plain.hex().encode(), *(form for form in encoded if len(form) > 6)}


async def test_a_text_known_to_be_in_everything_is_nowhere_in_redis(redis: RedisServer, start: StartProcess):
    one = start(redis.url)
    await one.healthy()
    heard: list[bytes] = []
    published = asyncio.create_task(_overhear(one.link, heard))
    await until(lambda: bool(heard))
    reads = WelkinReads(Welkin(), one.reads)  # pyright: ignore[reportArgumentType]
    sends, wakes = RedisSends(one.link, Errands(one.link), "gh/sb-demo"), RedisWakes(one.link, one.outbox)

    for number in range(50):
        patient_id = f"pt_{CANARY}_{number}"
        source = reads.conversation(patient_id)
        await source.page(Ask(Newest()))
        await source.page(Ask(Linked(f"token-{CANARY}")))
        await reads.search(f"search {CANARY} {number}", patient_id).page(Ask(Newest()))
        await reads.portal(f"portal-{CANARY}").page(Ask(Newest()))
        await reads.patient(patient_id)
        wakes.conversation(GH, patient_id)
        wakes.record(GH, patient_id)
        reads.changed(patient_id)
    page = await Welkin().page()
    for number in range(5):
        claim = await sends.claim(f"pt_{CANARY}/{CANARY}-{number}", f"print-{CANARY}")
        await claim.note(SendRecord(page.messages[0], (CANARY,), (Linked(CANARY),)))
        if number % 2:
            await claim.release()
    await RedisShelf(one.link).put(f"token/{CANARY}", f"bearer {CANARY}".encode(), 60)
    await one.confirmed()
    await until(lambda: len(heard) > 100)
    published.cancel()

    held = [*heard, *await _everything(one.link)]
    assert len(held) > 500
    wanted = {form for text in (CANARY, KEY, "sb-demo", "conversation/") for form in disguises(text)}
    assert [form for form in wanted if any(form in each for each in held)] == []
    sends.close()
    await sends.errands.aclose()


async def test_no_log_of_any_library_holds_a_value_while_redis_fails(
    own_redis: RedisServer, start: StartProcess, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    one = start(own_redis.url, ttl=30, budget=0.2)
    reads = WelkinReads(Welkin(), one.reads)  # pyright: ignore[reportArgumentType]
    await one.healthy()

    async def read_all() -> None:
        await asyncio.gather(*(reads.patient(f"pt_{CANARY}_{n}") for n in range(20)))

    await read_all()
    own_redis.pause()
    await read_all()
    own_redis.kill()
    await read_all()
    await RedisShelf(one.link).put(f"token/{CANARY}", f"bearer {CANARY}".encode(), 60)

    assert "Redis does not answer" in caplog.text
    assert [form for form in disguises(CANARY) if form.decode() in caplog.text] == []


async def test_a_shelf_gives_what_was_put_there_until_its_time_is_over(redis: RedisServer):
    link = RedisLink(redis.url, [KEY])
    for shelf in (MemoryShelf(), RedisShelf(link)):
        await shelf.put("token", b"secret", 60)
        await shelf.put("block", b"1", 0.05)
        await asyncio.sleep(0.1)

        assert [await shelf.get(name) for name in ("token", "block", "other")] == [b"secret", None, None]
    await link.aclose()


async def test_a_shelf_outlives_a_rotation_and_a_stranger_reads_nothing(redis: RedisServer):
    links = [
        RedisLink(redis.url, keys) for keys in ([KEY], [NEXT_KEY, KEY], [NEXT_KEY], ["another stranger"])
    ]
    old, both, new, stranger = map(RedisShelf, links)

    await old.put("token", b"one", 60)
    assert [await both.get("token"), await new.get("token")] == [b"one", None]
    await both.put("token", b"two", 60)
    assert [await old.get("token"), await new.get("token")] == [b"two", b"two"]
    assert await stranger.get("token") is None
    await asyncio.gather(*(link.aclose() for link in links))


async def test_a_shelf_that_cannot_be_reached_holds_nothing():
    link = RedisLink("redis://127.0.0.1:1/0", [KEY])
    shelf = RedisShelf(link)

    await shelf.put("token", b"secret", 60)

    assert await shelf.get("token") is None
    await link.aclose()


async def _overhear(link: RedisLink, heard: list[bytes]) -> None:
    async with link.listener() as pubsub:
        await pubsub.psubscribe("*")
        while True:
            message = await pubsub.get_message(timeout=1)
            if message is not None:
                heard += [repr(message).encode(), str(message["data"]).encode()]


async def _everything(link: RedisLink) -> list[bytes]:
    names: list[bytes] = await link.run(lambda redis: redis.keys("*"), within=5)
    dumps = [await link.run(lambda redis, name=name: redis.dump(name), within=5) for name in names]
    values = [await link.run(lambda redis, name=name: redis.get(name), within=5) for name in names]
    return [*names, *dumps, *values]
