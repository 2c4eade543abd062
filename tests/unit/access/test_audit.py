"""The trail: one line each, in order, complete, escaped, and without anything in clear."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.access.audit import Action, Audit, Entry
from tests.unit.access.service import GH, lines

KEY = b"0123456789abcdef"
FIELDS = ["seq", "run", "time", "who", "action", "instance", "patient", "outcome", "request_id", "count"]


def entry(**changes: Any) -> Entry:
    good: dict[str, Any] = {"who": "nurse-7", "action": Action.MESSAGES, "outcome": "ok", "instance": GH}
    return Entry(**(good | changes))


async def test_a_line_has_every_field_and_no_id_in_clear(tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    audit = Audit(str(path), key=KEY, clock=lambda: 1_900_000_000.1239)

    await audit.record(entry(patient_id="canary-p1", request_id="r-1", count=3))
    audit.webhook(GH, "canary-p1", "ok")
    audit.webhook(GH, None, "denied")
    audit.refused(None, "r-2")
    audit.note(entry(action=Action.FILE, file_id="canary-p1"))
    await audit.aclose()

    read, hook, bad_hook, login, file = lines(path)
    assert list(read) == FIELDS
    assert read["time"] == "2030-03-17T17:46:40.123Z"
    assert re.fullmatch(r"[0-9a-f]{32}", read["patient"])
    assert hook["patient"] == read["patient"] == audit.hashed("patient", GH, "canary-p1")
    assert (hook["who"], hook["action"], hook["outcome"]) == ("welkin", "webhook", "ok")
    assert (bad_hook["patient"], bad_hook["outcome"]) == (None, "denied")
    assert (login["who"], login["action"], login["outcome"]) == ("nobody", "login", "denied")
    assert file["file"] != read["patient"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_hashes_depend_on_key_and_instance():
    one, other = Audit("", key=KEY), Audit("", key=KEY[::-1])

    assert one.hashed("patient", GH, "p1") != other.hashed("patient", GH, "p1")
    assert one.hashed("patient", GH, "p1") != one.hashed("patient", None, "p1")
    with pytest.raises(ValueError, match="16 bytes"):
        Audit("", key=b"short")


@pytest.mark.parametrize("strict", [True, False])
async def test_numbers_have_no_gap_and_time_never_goes_back(tmp_path: Path, *, strict: bool):
    path = tmp_path / "audit.jsonl"
    ticks = iter([10, 9, 12.5, 3, *range(100, 300)])
    audit = Audit(str(path), key=KEY, strict=strict, clock=lambda: next(ticks))

    await asyncio.gather(*(audit.record(entry(count=number)) for number in range(100)))
    await audit.aclose()

    trail = lines(path)
    assert [line["seq"] for line in trail] == list(range(1, 101))
    assert [line["count"] for line in trail] == list(range(100))
    times = [line["time"] for line in trail]
    assert times == sorted(times)
    assert len({line["run"] for line in trail}) == 1


async def test_two_processes_share_a_file_and_are_told_apart(tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    path.write_text("")
    path.chmod(0o644)
    audits = [Audit(str(path), key=KEY, strict=True) for _ in range(2)]

    await asyncio.gather(*(audit.record(entry()) for audit in audits for _ in range(50)))
    for audit in audits:
        await audit.aclose()

    runs: dict[str, list[int]] = {}
    for line in lines(path):
        runs.setdefault(line["run"], []).append(line["seq"])
    assert list(runs.values()) == [list(range(1, 51))] * 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "nasty",
    [
        'a\r\n{"seq":1}',
        "\x1b[31mred",
        '","who":"root',
        "\u2028\u2029\x85",
        "\ud800",
        "\x00" * 5,
        "x" * 100_000,
    ],
)
async def test_nothing_that_comes_in_makes_a_second_line(tmp_path: Path, nasty: str):
    path = tmp_path / "audit.jsonl"
    audit = Audit(str(path), key=KEY)

    audit.note(entry(who=nasty[:200], request_id=nasty, patient_id=nasty, file_id=nasty))
    await audit.aclose()

    text = path.read_bytes()
    assert text.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in text[:-1])
    assert json.loads(text)["request_id"] == nasty[:128]
    assert len(text) < 4_096  # one write to a pipe up to here is never mixed with another


async def test_standard_output_can_be_the_sink(capfd: pytest.CaptureFixture[str]):
    audit = Audit("-", key=KEY, strict=True)

    await audit.record(entry())
    await audit.aclose()

    assert json.loads(capfd.readouterr().out)["seq"] == 1


async def test_without_a_sink_nothing_is_written_and_nothing_fails():
    audit = Audit("", key=KEY, strict=True)

    await audit.record(entry())
    audit.note(entry())
    audit.check()
    await audit.aclose()

    assert (audit.failures, audit.failing) == (0, False)
