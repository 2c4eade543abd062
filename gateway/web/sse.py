"""GraphQL over server-sent events, in the distinct connections mode: one response is one operation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.domain.errors import Unauthenticated
from gateway.graphql.errors import show_error
from gateway.graphql.execution import Answer
from gateway.web.answers import encode
from gateway.web.expiry import Expiry
from gateway.web.metrics import Metrics
from gateway.web.waiting import settle, until_gone

PING = b":\n\n"
SEND_SECONDS = 30.0
"""How long a client may leave its side of the connection full before it is let go."""

COMPLETE = b"event: complete\ndata:\n\n"

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # nginx buffers an answer unless told not to, and an event would wait there for the next ones.
    (b"x-accel-buffering", b"no"),
]


def write_event(answer: Answer) -> bytes:
    """Write one answer as an event, with LF line ends: some clients split on them alone."""
    return b"event: next\ndata: " + encode(answer.body) + b"\n\n"


@dataclass(frozen=True, slots=True)
class EventStream:
    """An ASGI response that ends when the operation ends, the client leaves, or the server drains.

    A caller whose proof ends is told so, and nothing else any more.
    """

    answers: AsyncGenerator[Answer]
    drain: asyncio.Event
    keep_alive_seconds: float
    expiry: Expiry
    metrics: Metrics

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, and run the operation's clean-up before returning, however it ends."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        leaving = [asyncio.create_task(until_gone(receive)), asyncio.create_task(self.drain.wait())]
        expiring = asyncio.create_task(self.expiry.wait())
        try:
            completed = await self._forward(send, leaving, expiring)
            # A drained stream ends without `complete`, so that clients come back elsewhere.
            if completed:
                await _write(send, COMPLETE)
            if not leaving[0].done():
                await _write(send, b"", more=False)
        except TimeoutError:
            # The reader has stalled; the server drops the connection of an answer that is left unfinished.
            return
        finally:
            await settle([*leaving, expiring])
            await self.answers.aclose()

    async def _forward(
        self, send: Send, leaving: list[asyncio.Task[Any]], expiring: asyncio.Task[None]
    ) -> bool:
        """Pass answers on; tell whether the operation has come to an end."""
        await _write(send, PING)
        upcoming = asyncio.create_task(_next(self.answers))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {upcoming, expiring, *leaving},
                    timeout=self.keep_alive_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if any(task.done() for task in leaving):
                    return False
                if expiring.done() or self.expiry.passed:
                    await self._tell_expired(send)
                    return True
                if not done:
                    await _write(send, PING)
                    continue
                answer = upcoming.result()
                if answer is None:
                    return True
                await _write(send, write_event(answer))
                upcoming = asyncio.create_task(_next(self.answers))
        finally:
            await settle([upcoming])

    async def _tell_expired(self, send: Send) -> None:
        error = Unauthenticated("The credentials are no longer valid.")
        answer = Answer({"errors": [show_error(error)]}, began=False, final=True)
        self.metrics.errors(answer.codes)
        await _write(send, write_event(answer))


async def _next(answers: AsyncGenerator[Answer]) -> Answer | None:
    return await anext(answers, None)


async def _write(send: Send, piece: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": piece, "more_body": more})
