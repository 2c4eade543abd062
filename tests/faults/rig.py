"""Many sandboxes on one socket, and one gateway with an instance before each of them.

A point of the fault matrix needs a gateway that holds no token yet and a Welkin of its own. Starting
both for every point would take minutes; an instance and a sandbox of their own are nearly as good.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import httpx2

from gateway.app import build
from gateway.sandbox import Knobs, Sandbox, SandboxConfig
from gateway.sandbox.records import Author, StoredFile, StoredPatient
from gateway.sandbox.store import CARE_TEAM
from gateway.sandbox.upstream import serve as serve_welkin
from gateway.settings import parse
from tests.faults.line import Line
from tests.faults.pulse import Pulse
from tests.serving import serve

DEADLINE = 1.5
"""``timeout_seconds`` of every instance."""

PATIENT = "pt_canary-7"
"""Has several pages of messages."""

BRIEF = "pt_canary-8"
"""Has two messages."""

FILE = StoredFile("canary-file", "canary.txt", "text/plain", 240, b"canary " * 34 + b"!!")
CURSOR_KEY = "a key that the tests know too"
HOOK = {"webhook_key": "hook-key", "webhook_secret": "hook-secret"}
PAGE = 4
"""Messages in a page of the upstream, so that a few messages are many pages."""

MESSAGES = 9
SECONDS_APART = 60
START_MS = 1_700_000_000_000
CLIENTS = {"v1": "SANDBOXV1", "v2": "SANDBOXV2"}


@dataclass
class Place:
    """One sandbox, and the instance of the gateway that stands before it."""

    name: str
    version: str
    sandbox: Sandbox
    line: Line | None = None
    pulse: Pulse = field(default_factory=Pulse)
    gateway_url: str = ""
    calls: int = 0
    before_call: Callable[[str], None] = lambda _query: None
    """Told the query string of each upstream request before it is looked at."""

    @property
    def url(self) -> str:
        """Where the gateway serves the instance."""
        return f"{self.gateway_url}/gh/{self.name}"

    def texts(self, patient_id: str = PATIENT) -> list[str]:
        """Give the conversation, newest first."""
        return [message.text for message in reversed(list(self.sandbox.store.history(patient_id) or ()))]

    def say(self, text: str, patient_id: str = PATIENT) -> None:
        """Let the care team write, without a webhook."""
        self.sandbox.record(patient_id, CARE_TEAM[0], text)


@dataclass
class Welkins:
    """The sandboxes as one ASGI app, each below its name."""

    places: dict[str, Place] = field(default_factory=dict)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, as the sandbox would below ``/v1`` and ``/v2``."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        _, name, rest = scope["raw_path"].decode().split("/", 2)
        place = self.places[name]
        place.calls += 1
        place.before_call(scope["query_string"].decode())
        path = f"/{rest}"
        if place.line is not None and await place.line.ends_before(place.calls + 1):
            send = _LastAnswer(send)
        await serve_welkin(place.sandbox, {**scope, "path": path, "raw_path": path.encode()}, receive, send)


class _LastAnswer:
    """Says that the connection is not to be used again."""

    def __init__(self, send: Any) -> None:
        self._send = send

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await self._send(message)


async def _live(receive: Any, send: Any) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def make_sandbox(**knobs: Any) -> Sandbox:
    """Make a sandbox with six patients, of whom one has a conversation of several small pages."""
    config = SandboxConfig(conversations=False, knobs=Knobs(v1_max_size=PAGE, v2_max_size=PAGE, **knobs))
    sandbox = Sandbox(config)
    for number in range(4):
        sandbox.store.add_patient(StoredPatient(f"other-{number}", f"Canaria {number}", "Canaria"))
    sandbox.store.add_patient(StoredPatient(PATIENT, "Canaria", "Canary", birth_date="1990-01-01"))
    sandbox.store.add_patient(StoredPatient(BRIEF, "Canaria", "Canary"))
    sandbox.store.add_file(FILE)
    for patient_id, count in ((PATIENT, MESSAGES), (BRIEF, 2)):
        for number in range(count):
            author = CARE_TEAM[0] if number % 2 else Author("patient", patient_id)
            text = f"canary {'apple' if number % 3 else 'plum'} {number}"
            moment = START_MS + number * SECONDS_APART * 1000
            sandbox.store.add_message(patient_id, author, text, at_ms=moment)
    return sandbox


@asynccontextmanager
async def rig(places: Sequence[Place], **options: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the places; gives a client for the gateway. Options are those of every instance."""
    async with AsyncExitStack() as stack:
        pulse = Pulse()
        await stack.enter_async_context(pulse.beating())
        welkins = Welkins({place.name: place for place in places})
        welkin_url = stack.enter_context(serve(welkins, http="httptools"))
        for place in places:
            if place.line is not None:
                await stack.enter_async_context(place.line.open(welkin_url))
        gateway_url = stack.enter_context(_gateway(places, welkin_url, **options))
        for place in places:
            place.gateway_url, place.pulse = gateway_url, pulse
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
        yield await stack.enter_async_context(httpx2.AsyncClient(timeout=30, limits=limits))


@contextmanager
def _gateway(
    places: Sequence[Place], welkin_url: str, *, cache: dict[str, Any] | None = None, **options: Any
) -> Iterator[str]:
    instances = [
        {
            "tenant": "gh",
            "instance": place.name,
            "api": place.version,
            "base_url": f"{place.line.url if place.line else welkin_url}/{place.name}/{place.version}",
            "client": CLIENTS[place.version],
            "secret": "sandbox-secret",
            "timeout_seconds": DEADLINE,
            "reconcile_seconds": 1,
            **HOOK,
            **options,
        }
        for place in places
    ]
    settings = {
        "auth": {"mode": "none"},
        "server": {"cursor_keys": [CURSOR_KEY], "max_operations": 2_000, "max_files_per_caller": 0},
        "cache": {"ttl_seconds": 0, "stale_if_error_seconds": 0} if cache is None else cache,
        "instances": instances,
    }
    # A hundred instances would load the authorities' certificates some two hundred times: 20 ms each.
    one = functools.cache(ssl.create_default_context)
    with patch("ssl.create_default_context", one):
        built = build(parse(settings, {}))
    with serve(built.web) as url:
        yield url


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what becomes true in a server's thread."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.01)
