"""A v1 Welkin of a few lines whose every answer a test decides, and the client that calls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.domain.pages import Newest, Page
from gateway.welkin.tokens import Tokens
from gateway.welkin.upstream import Upstream
from gateway.welkin.v1.adapter import WelkinV1
from tests.unit.welkin.wire import Wire, reply, speak

PATIENT = "91be0000-0000-4000-8000-000000000001"
EMPTY = reply(b'{"meta":{},"content":[]}')
TOKEN = reply(b'{"token":"t","expiresIn":3600}')
FAILED = reply(b"", "503 Service Unavailable")

Answering = Callable[[int], bytes | Awaitable[bytes]]
"""Gives the answer to the request with this number, from 1."""


@dataclass
class FakeWelkin:
    """What it answers, and how often it was asked; ``writer`` leads to who asked last."""

    answer: Answering = lambda _: EMPTY
    token: Answering = lambda _: TOKEN
    reads: int = 0
    sends: int = 0
    tokens: int = 0
    wire: Wire = field(default_factory=Wire)
    writer: asyncio.StreamWriter = field(init=False)

    async def script(self, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.writer = writer
        if b"/api_clients/" in head:
            self.tokens += 1
            found = self.token(self.tokens)
        elif head.startswith(b"POST"):
            self.sends += 1
            found = self.answer(self.sends)
        else:
            self.reads += 1
            found = self.answer(self.reads)
        data = found if isinstance(found, bytes) else await found
        if data:
            writer.write(data)
        else:
            writer.close()

    def adapter(self, *, tokens: Tokens | None = None, **settings: Any) -> WelkinV1:
        """Make a client; its pauses are short unless told otherwise."""
        place = Upstream(self.wire.url, "gh", "sb-demo", "CLIENT", "secret", retry_seconds=0.001)
        return WelkinV1(replace(place, **settings), tokens=tokens)


@asynccontextmanager
async def running() -> AsyncIterator[FakeWelkin]:
    """Run a fake Welkin on a port of its own."""
    fake = FakeWelkin()
    async with speak(fake.script) as wire:
        fake.wire = wire
        yield fake


async def never() -> bytes:
    """Answer nothing, for as long as anyone waits."""
    await asyncio.sleep(30)
    return b""


async def read(welkin: WelkinV1) -> Page:
    return await welkin.list_messages(PATIENT, Newest(), include_archived=False)
