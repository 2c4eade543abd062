"""Hundreds of subscribers that leave in every way: the process is left as it was before they came."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from gateway.sandbox import Sandbox, create_sandbox
from gateway.sandbox.conversations import LONG
from gateway.sandbox.store import CARE_TEAM
from tests.api.stalling import reset_on_close
from tests.gateway_process import gateway_process, instance_of
from tests.serving import serve

EACH = 60
"""Subscribers that leave in one of the ways."""

ROUNDS = 2
LEFT_OVER = 5
"""Descriptors and tasks that may come and go by themselves, like those of calls to Welkin."""

PATH = "gh/sb-demo"
NEWEST = f'{{ patient(patientId: "{LONG}") {{ messages(first: 1) {{ pageInfo {{ startCursor }} }} }} }}'
FOLLOW = """subscription ($id: ID!, $after: String) {
    messageAdded(patientId: $id, after: $after) { node { body } }
}"""
EVENT = {"patientId": LONG, "tenantName": "gh", "instanceName": "sb-demo", "message": "x"}
HOOK = {"X-WEBHOOK-API-KEY": "hook-key", "X-WEBHOOK-API-SECRET": "hook-secret"}
TEXT = "heard by all of them"


@dataclass
class Process:
    """A gateway's process, and the Welkin behind it."""

    url: str
    pid: int
    sandbox: Sandbox
    http: httpx2.Client

    def figure(self, line: str) -> float:
        """Give a value of ``/metrics``; 0 where it was never counted."""
        shown = self.http.get(f"{self.url}/metrics").text.splitlines()
        values = [each.rpartition(" ")[2] for each in shown if each.startswith(f"{line} ")]
        return float(values[0]) if values else 0.0

    def subscribers(self) -> tuple[float, float]:
        """Count those on WebSockets, and those on event streams."""
        ws, sse = (self.figure(f'gateway_subscribers{{transport="{each}"}}') for each in ("ws", "sse"))
        return ws, sse

    def descriptors(self) -> int:
        """Count the files and sockets that the process has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def tasks(self) -> float:
        """Count the tasks of its event loop."""
        return self.figure("gateway_tasks")

    def say(self, text: str) -> None:
        """Let the care team write, and Welkin tell of it."""
        self.sandbox.record(LONG, CARE_TEAM[0], text)
        answer = self.http.post(f"{self.url}/{PATH}/webhooks/chat", json=EVENT, headers=HOOK)
        assert answer.status_code == 200

    def follow(self) -> dict[str, object]:
        """Give the request that follows the conversation from here on."""
        answer = self.http.post(f"{self.url}/{PATH}/graphql", json={"query": NEWEST}).json()
        newest = answer["data"]["patient"]["messages"]["pageInfo"]["startCursor"]
        return {"query": FOLLOW, "variables": {"id": LONG, "after": newest}}

    def connect(self) -> socket.socket:
        """Open a connection."""
        address = httpx2.URL(self.url)
        return socket.create_connection((address.host, address.port), timeout=10)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    app = create_sandbox()
    secrets = {"secret": "sandbox-secret", "webhook_key": "hook-key", "webhook_secret": "hook-secret"}
    with serve(app) as sandbox_url, httpx2.Client(timeout=20) as http:
        settings = {
            "auth": {"mode": "none"},
            "instances": [instance_of(sandbox_url, "v1", PATH, **secrets)],
        }
        with gateway_process(tmp_path, settings) as (url, running):
            yield Process(url, running.pid, app.state.sandbox, http)


@dataclass
class Follower:
    """A bare socket that follows; what it has read so far."""

    connection: socket.socket
    read: bytearray = field(default_factory=bytearray)

    def wait_for(self, what: bytes) -> None:
        """Read until this has come."""
        while what not in self.read:
            piece = self.connection.recv(65_536)
            assert piece, bytes(self.read)
            self.read += piece

    def wait_for_end(self) -> None:
        """Read until the server has closed the connection."""
        with contextlib.suppress(ConnectionResetError):
            while self.connection.recv(65_536):
                pass
        self.connection.close()


def frame(opcode: int, payload: bytes) -> bytes:
    """Write a WebSocket frame of a client, with a mask of zeros."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


def by_websocket(process: Process, asked: dict[str, object]) -> Follower:
    follower = Follower(process.connect())
    key = base64.b64encode(bytes(16)).decode()
    lines = [
        *(f"GET /{PATH}/graphql HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket"),
        *("Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"),
        *("Sec-WebSocket-Protocol: graphql-transport-ws", "", ""),
    ]
    follower.connection.sendall("\r\n".join(lines).encode())
    follower.wait_for(b"\r\n\r\n")
    follower.connection.sendall(frame(1, b'{"type":"connection_init"}'))
    follower.wait_for(b"connection_ack")
    subscribe = {"id": "1", "type": "subscribe", "payload": asked}
    follower.connection.sendall(frame(1, json.dumps(subscribe).encode()))
    return follower


def by_event_stream(process: Process, asked: dict[str, object]) -> Follower:
    follower = Follower(process.connect())
    body = json.dumps(asked).encode()
    lines = [
        *(f"POST /{PATH}/graphql HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"),
        *("Content-Type: application/json", f"Content-Length: {len(body)}", "", ""),
    ]
    follower.connection.sendall("\r\n".join(lines).encode() + body)
    follower.wait_for(b"\r\n\r\n")
    return follower


def say_goodbye(follower: Follower) -> None:
    """Close as the WebSocket protocol has it."""
    follower.connection.sendall(frame(8, struct.pack(">H", 1000)))
    follower.wait_for_end()


def close(follower: Follower) -> None:
    """Just close."""
    follower.connection.close()


def reset(follower: Follower) -> None:
    """Leave with a reset, as a process does that is killed with something unread."""
    reset_on_close(follower.connection)
    follower.connection.close()


def half_close(follower: Follower) -> None:
    """Say that nothing more will be said, and go on listening; it is up to the server to close."""
    follower.connection.shutdown(socket.SHUT_WR)
    follower.wait_for_end()


ON_WEBSOCKETS = (say_goodbye, close, reset, half_close)
ON_EVENT_STREAMS = (close, reset, half_close)


def come_and_go(process: Process, each: int) -> None:
    """Let followers come, hear something, and leave while something else is delivered."""
    with contextlib.ExitStack() as stack:
        _come_and_go(process, each, stack)


def _come_and_go(process: Process, each: int, stack: contextlib.ExitStack) -> None:
    before, asked, text = process.descriptors(), process.follow(), TEXT.encode()
    leaving: list[tuple[Callable[[Follower], None], Follower]] = []
    for way, come in [(way, by_websocket) for way in ON_WEBSOCKETS] * each:
        leaving.append((way, come(process, asked)))
    for way, come in [(way, by_event_stream) for way in ON_EVENT_STREAMS] * each:
        leaving.append((way, come(process, asked)))
    for _, follower in leaving:
        stack.callback(follower.connection.close)
    expected = (each * len(ON_WEBSOCKETS), each * len(ON_EVENT_STREAMS))
    until(lambda: process.subscribers() == expected)
    assert process.descriptors() >= before + len(leaving)

    process.say(TEXT)
    for _, follower in leaving:
        follower.wait_for(text)
    process.say("said while they leave")
    for way, follower in leaving:
        way(follower)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_hundreds_of_subscribers_that_leave_in_every_way_leave_nothing_behind(process: Process) -> None:
    come_and_go(process, 1)  # so that everything was used once
    until(lambda: process.subscribers() == (0, 0))
    descriptors, tasks = process.descriptors(), process.tasks()

    for _ in range(ROUNDS):
        come_and_go(process, EACH)

        until(lambda: process.subscribers() == (0, 0))
        until(lambda: process.figure("gateway_websockets") == 0)
        until(lambda: process.descriptors() <= descriptors + LEFT_OVER)
        until(lambda: process.tasks() <= tasks + LEFT_OVER)
    assert process.http.get(f"{process.url}/readyz").status_code == 200
