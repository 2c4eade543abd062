"""The disk behind the log is full: whatever the process prints is refused, and all else goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx2
import pytest

from gateway.sandbox import Sandbox, create_sandbox
from gateway.sandbox.conversations import LONG
from tests.gateway_process import answers, gateway_process, instance_of
from tests.serving import serve

FULL = Path("/dev/full")
"""A device without room: every write to it fails as on a full disk."""

EXIT_SECONDS = 15
ROUNDS = 5
PATH = "gh/sb-demo"
READ = {"query": f'{{ patient(patientId: "{LONG}") {{ messages(first: 1) {{ nodes {{ id }} }} }} }}'}
EVENT = {"patientId": LONG, "tenantName": "gh", "instanceName": "sb-demo", "message": "x"}
HOOK = {"X-WEBHOOK-API-KEY": "hook-key", "X-WEBHOOK-API-SECRET": "hook-secret"}


@pytest.fixture
def welkin() -> Iterator[tuple[str, Sandbox]]:
    app = create_sandbox()
    with serve(app) as url:
        yield url, app.state.sandbox


@contextmanager
def full_disk(folder: Path, sandbox_url: str, **telemetry: Any) -> Generator[tuple[str, Popen[str]]]:
    """Run ``gateway serve`` with both its outputs on that device, at the most talkative level."""
    secrets = {"secret": "sandbox-secret", "webhook_key": "hook-key", "webhook_secret": "hook-secret"}
    settings = {
        "auth": {"mode": "none"},
        "cache": {"ttl_seconds": 0},
        "telemetry": {"log_level": "DEBUG"} | telemetry,
        "instances": [instance_of(sandbox_url, "v1", PATH, **secrets)],
    }
    with gateway_process(folder, settings, output=FULL) as (url, running):
        outputs = {Path(f"/proc/{running.pid}/fd/{number}").readlink() for number in (1, 2)}
        assert outputs == {FULL}
        yield url, running


def make_it_talk(url: str, running: Popen[str]) -> None:
    """Do what is written down: a signal, an unknown field, a wrong webhook, a request that is none."""
    running.send_signal(signal.SIGHUP)
    assert "errors" in httpx2.post(f"{url}/{PATH}/graphql", json={"query": "{ nothing }"}).json()
    assert httpx2.post(f"{url}/{PATH}/webhooks/chat", json=EVENT).status_code == 401
    assert httpx2.request("NO-SUCH", f"{url}/healthz").status_code == 400


def read(url: str) -> httpx2.Response:
    return httpx2.post(f"{url}/{PATH}/graphql", json=READ, timeout=20)


def end(running: Popen[str]) -> int:
    running.send_signal(signal.SIGTERM)
    return running.wait(EXIT_SECONDS)


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_it_serves_writes_its_trail_is_not_busy_with_the_log_and_stops_in_order(
    tmp_path: Path, welkin: tuple[str, Sandbox]
) -> None:
    audit = tmp_path / "audit.jsonl"
    with full_disk(tmp_path, welkin[0], audit_file=str(audit)) as (url, running):
        for _ in range(ROUNDS):
            make_it_talk(url, running)
            assert read(url).json()["data"]["patient"]["messages"]["nodes"]
            assert httpx2.post(f"{url}/{PATH}/webhooks/chat", json=EVENT, headers=HOOK).status_code == 200
        ready = httpx2.get(f"{url}/readyz")
        before = cpu_seconds(running.pid)
        time.sleep(1)
        used = cpu_seconds(running.pid) - before
        status = end(running)

    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert (ready.status_code, status) == (200, 0)
    assert used < 0.5
    outcomes = [(line["action"], line["outcome"]) for line in lines]
    assert outcomes.count(("webhook", "denied")) == outcomes.count(("webhook", "ok")) == ROUNDS
    assert outcomes.count(("read.messages", "ok")) == ROUNDS
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_strict_trail_on_that_disk_shows_nothing_and_the_process_lives(
    tmp_path: Path, welkin: tuple[str, Sandbox]
) -> None:
    with full_disk(tmp_path, welkin[0], audit_file="-") as (url, running):
        make_it_talk(url, running)
        asked = read(url)
        lost = lines_lost(url)
        alive = answers(url)
        status = end(running)

    (error,) = asked.json()["errors"]
    assert (asked.status_code, error["extensions"]["code"]) == (503, "OVERLOADED")
    assert asked.json()["data"] == {"patient": None}
    assert lost >= 2, "of the webhook and of the read"
    assert (alive, status) == (True, 0)


def test_a_lenient_trail_on_that_disk_is_counted_as_lost(tmp_path: Path, welkin: tuple[str, Sandbox]) -> None:
    with full_disk(tmp_path, welkin[0], audit_file="-", audit_strict=False) as (url, running):
        make_it_talk(url, running)
        asked = read(url)
        lost = lines_lost(url)
        status = end(running)

    assert asked.json()["data"]["patient"]["messages"]["nodes"]
    assert lost >= 2, "of the webhook and of the read"
    assert status == 0


def lines_lost(url: str) -> float:
    shown = httpx2.get(f"{url}/metrics").text.splitlines()
    (line,) = [line for line in shown if line.startswith("gateway_audit_lines_lost")]
    return float(line.split()[1])
