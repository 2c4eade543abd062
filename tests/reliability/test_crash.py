"""A process that was written to in every place, and then crashed, leaves nothing of a patient behind."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

from gateway.sandbox import Client, SandboxConfig, create_sandbox
from tests.gateway_process import gateway_process, instance_of
from tests.reliability.product import BODIES, MINE, PATHS, READ, SEND
from tests.serving import serve

CANARY = "canary-7f3e"
SECRET = f"{CANARY}-secret"
FORGED = 'x\r\n{"event": "forged", "level": "error"}\u2028\x1b[31m\u0085{"seq": 1}'


@dataclass
class Wreck:
    """What is left of a gateway that was written to in every place, and then crashed."""

    words: list[str]
    """What it had shown of a patient."""
    output: bytes
    trail: bytes
    others: list[str]
    """Names of further files."""


@pytest.fixture(scope="module")
def wreck(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("wreck")
    output, temp = folder / "output.txt", folder / "temp"
    temp.mkdir()
    clients = (Client("v1", "SANDBOXV1", SECRET, tenant="gh"), Client("v2", "SANDBOXV2", SECRET))
    with serve(create_sandbox(SandboxConfig(clients=clients))) as sandbox_url:
        settings = {
            "auth": {"mode": "none"},
            "telemetry": {"log_level": "DEBUG", "audit_file": "audit.jsonl"},
            "instances": [instance_of(sandbox_url, *each, secret=SECRET) for each in PATHS.items()],
        }
        # Everything that it could leave behind is left in the folder.
        env = os.environ | {"TMPDIR": str(temp), "PYTHONPATH": str(Path(__file__).parents[2])}
        flags = ("-X", "faulthandler")
        with gateway_process(folder, settings, *flags, output=output, cwd=folder, env=env) as (url, process):
            patient = ask(url, READ, id=MINE).json()["data"]["patient"]
            write_everywhere(url)
            time.sleep(0.5)  # for the trail's writer
            process.send_signal(signal.SIGABRT)
            process.wait(timeout=20)
    texts = [node["body"] for node in patient["messages"]["nodes"] if len(node["body"]) > 8]
    known = {"output.txt", "audit.jsonl", "gateway.toml"}
    others = [path.name for path in folder.rglob("*") if path.is_file() and path.name not in known]
    return Wreck(
        [patient["firstName"], *texts],
        output.read_bytes(),
        (folder / "audit.jsonl").read_bytes(),
        others,
    )


def ask(url: str, query: str, **variables: object) -> httpx2.Response:
    body = {"query": query, "variables": variables}
    return httpx2.post(f"{url}/{PATHS['v2']}/graphql", json=body, timeout=20)


def write_everywhere(url: str) -> None:
    """Put a forged line into every place that a caller can write to."""
    plain = FORGED.encode("ascii", "ignore").replace(b"\r\n", b"").replace(b"\x1b", b"").decode()
    headers = {
        "User-Agent": plain,
        "X-Request-Id": plain,
        "Cookie": CANARY,
        "Authorization": f"Bearer {CANARY}",
    }
    ask(url, READ, id=FORGED)
    ask(url, READ, id=f"{CANARY}/../x")
    ask(url, BODIES, id=MINE, c=FORGED)
    ask(url, SEND, id=MINE, body=FORGED)
    ask(url, "query ($q: String!) { searchMessages(query: $q) { nodes { body } } }", q=FORGED)
    ask(url, f'{{ p_{MINE.replace("-", "_")}: patient(patientId: "a b") {{ id }} }}')
    httpx2.get(f"{url}/{PATHS['v2']}/files/{CANARY}?token={CANARY}", headers=headers)
    body = {"query": "query A { __typename }", "operationName": FORGED}
    httpx2.post(f"{url}/graphql", json=body, headers=headers)
    httpx2.post(f"{url}/webhooks/chat", json={"patientId": FORGED})
    address = f"{url}/graphql".replace("http", "ws", 1)
    with connect(address, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        socket.send(json.dumps({"type": "connection_init", "payload": {FORGED: FORGED}}))
        payload = {"query": f"# {FORGED}\n{{ a }}"}
        socket.send(json.dumps({"id": FORGED, "type": "subscribe", "payload": payload}))
        for _ in range(2):
            socket.recv(timeout=5)


def test_a_process_that_crashes_leaves_nothing_of_a_patient_behind(wreck: Wreck):
    """Even with Python's own report of a crash: frames have names and lines, and no values."""
    assert b"Fatal Python error: Aborted" in wreck.output
    assert wreck.others == []
    for word in [CANARY, MINE, *wreck.words]:
        assert word.encode() not in wreck.output + wreck.trail, word


def test_nothing_that_is_sent_forges_a_line(wreck: Wreck):
    """One line an event, all of them JSON of the gateway's own."""
    log, _, report = wreck.output.partition(b"Fatal Python error")
    events = [json.loads(line) for line in log.splitlines()]
    lines = [json.loads(line) for line in wreck.trail.split(b"\n") if line]

    assert report
    assert all(event["logger"].startswith(("gateway", "uvicorn.error")) for event in events)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert b"forged" not in wreck.output + wreck.trail


def test_an_alias_is_not_written_down(wreck: Wreck):
    """It is a word of the client's, and clients like to make it of a patient's id."""
    assert MINE.replace("-", "_").encode() not in wreck.output
    assert b"code=BAD_USER_INPUT path=* " in wreck.output
