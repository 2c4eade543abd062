"""A sink that is full, gone or stopped: what a strict and a lenient trail do, and that nobody waits."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from gateway.access import audit_writer
from gateway.access.audit import Audit
from gateway.access.audit_writer import QUEUE_LINES
from gateway.access.guard import GuardedInstance
from gateway.domain.access import EVERYBODY
from gateway.domain.connection import Filter, Window
from gateway.domain.errors import Overloaded
from tests.unit.access.service import MemoryService, lines
from tests.unit.access.test_audit import FIELDS, KEY, entry

NO_STALL = 2.0
"""Seconds. A write that blocks would not return at all; a busy machine alone may take a part of this."""


async def longest_stall(stop: asyncio.Event) -> float:
    worst = 0.0
    while not stop.is_set():
        begun = time.monotonic()
        await asyncio.sleep(0.005)
        worst = max(worst, time.monotonic() - begun)
    return worst


@pytest.fixture
def fifo(tmp_path: Path):
    """A pipe whose reader has stopped: it is open, and nobody reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4_096)  # room for a dozen lines
    yield path, reader
    os.close(reader)  # whoever still writes gets an error and ends


@pytest.mark.parametrize("sink", ["/dev/full", "/nowhere/audit.jsonl", "/"])
async def test_a_strict_trail_that_cannot_be_written_shows_nothing(sink: str):
    audit = Audit(sink, key=KEY, strict=True)
    service = MemoryService()
    guard = GuardedInstance(service, EVERYBODY, audit, "r-1")
    mine = service.known[0]
    service.events.put_nowait(None)

    for read in (
        lambda: guard.messages(mine, Window(), Filter()),
        lambda: guard.patient(mine),
        lambda: guard.search("x", mine, Window()),
        lambda: anext(guard.follow(mine, None)),
        lambda: guard.open_file("canary-file", None).__aenter__(),
    ):
        with pytest.raises(Overloaded, match="audit trail cannot be written"):
            await read()
    with pytest.raises(Overloaded):
        await guard.send(mine, "x", None, None)

    assert "send" not in service.calls
    assert service.closed_files == 1
    assert audit.failures >= 5
    await audit.aclose()


@pytest.mark.parametrize("sink", ["/dev/full", "/nowhere/audit.jsonl"])
async def test_a_lenient_trail_that_cannot_be_written_counts(sink: str):
    audit = Audit(sink, key=KEY)
    service = MemoryService()
    guard = GuardedInstance(service, EVERYBODY, audit, "r-1")

    for _ in range(5):
        await guard.messages(service.known[0], Window(), Filter())
    await guard.send(service.known[0], "x", None, None)
    await audit.aclose()

    assert audit.failures == 6
    assert audit.failing


async def test_a_sink_that_comes_back_is_told_what_it_missed(tmp_path: Path):
    folder = tmp_path / "later"
    path = folder / "audit.jsonl"
    audit = Audit(str(path), key=KEY, strict=True)
    for _ in range(3):
        with pytest.raises(Overloaded):
            await audit.record(entry())

    folder.mkdir()
    await audit.record(entry(count=7))

    lost, line = lines(path)
    assert (lost["seq"], lost["action"], lost["count"], lost["who"]) == (1, "audit.lost", 3, "gateway")
    assert (line["seq"], line["count"]) == (2, 7)
    assert list(lost) == FIELDS
    assert lost["time"] <= line["time"]
    audit.check()
    await audit.aclose()


async def test_a_strict_trail_whose_reader_stopped_refuses_and_stalls_nobody(fifo: tuple[Path, int]):
    path, reader = fifo
    audit = Audit(str(path), key=KEY, strict=True)
    stop = asyncio.Event()
    watch = asyncio.create_task(longest_stall(stop))

    begun = time.monotonic()
    answers = await asyncio.gather(*(audit.record(entry()) for _ in range(100)), return_exceptions=True)
    took = time.monotonic() - begun
    stop.set()

    refused = [answer for answer in answers if isinstance(answer, Overloaded)]
    assert 50 < len(refused) < 100
    assert took < audit_writer.STALLED_SECONDS + 1
    assert await watch < NO_STALL
    async with asyncio.timeout(5):  # the writer's thread may have begun later than its callers
        while not audit.failing:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    with pytest.raises(Overloaded):
        audit.check()

    # The reader goes on: the trail is whole again, and tells how many lines it lacks.
    text = b""
    while b"audit.lost" not in text:
        await asyncio.sleep(0.01)
        try:
            text += os.read(reader, 1 << 20)
        except BlockingIOError:
            audit.note(entry())
    await audit.record(entry())
    await audit.aclose()
    text += os.read(reader, 1 << 20)
    trail = [json.loads(line) for line in text.splitlines()]
    assert [line["seq"] for line in trail] == list(range(1, len(trail) + 1))


async def test_a_lenient_trail_whose_reader_stopped_goes_on_and_counts(fifo: tuple[Path, int]):
    path, _ = fifo
    audit = Audit(str(path), key=KEY)
    stop = asyncio.Event()
    watch = asyncio.create_task(longest_stall(stop))

    for _ in range(QUEUE_LINES + 1_000):
        await audit.record(entry())
        await asyncio.sleep(0)
    stop.set()

    assert await watch < NO_STALL
    assert audit.failures > 500
    assert audit.failing


async def test_a_torn_line_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A disk that fills up keeps half of a line."""
    path = tmp_path / "audit.jsonl"
    audit = Audit(str(path), key=KEY, strict=True)
    real, full = os.write, [True, True]

    def write(fd: int, data: bytes) -> int:
        if len(full) == 2:
            full.pop()
            return real(fd, data[:10])
        if full:
            full.pop()
            raise OSError(28, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(audit_writer.os, "write", write)
    with pytest.raises(Overloaded):
        await audit.record(entry(count=1))
    await audit.record(entry(count=2))
    await audit.aclose()

    torn, *whole = path.read_bytes().splitlines()
    assert len(torn) == 10
    assert [json.loads(line)["action"] for line in whole] == ["audit.lost", "read.messages"]


async def test_a_burst_to_ten_thousand_subscribers_is_written_down_whole(tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    audit = Audit(str(path), key=KEY, strict=True)

    await asyncio.gather(*(audit.record(entry()) for _ in range(10_000)))

    assert audit.failures == 0
    await audit.aclose()
    assert len(lines(path)) == 10_000


async def test_a_line_costs_little(tmp_path: Path):
    audit = Audit(str(tmp_path / "audit.jsonl"), key=KEY, strict=True)
    begun = time.monotonic()

    for _ in range(500):
        await audit.record(entry(patient_id="p1"))

    assert time.monotonic() - begun < 1
    await audit.aclose()


async def test_a_stopped_reader_does_not_keep_the_gateway_from_ending(
    fifo: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audit_writer, "STALLED_SECONDS", 0.2)
    audit = Audit(str(fifo[0]), key=KEY)
    for _ in range(QUEUE_LINES + 1_000):
        audit.note(entry())
    begun = time.monotonic()

    await audit.aclose()

    assert time.monotonic() - begun < 2
