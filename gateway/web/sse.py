"""GraphQL over server-sent events, in the distinct connections mode: one response is one operation.

An event of a subscription has its cursor as ``id``. A client that comes back with the last one in
``Last-Event-ID`` goes on after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.domain.errors import LimitExceeded, Overloaded, Unauthenticated
from gateway.graphql.answers import Answer
from gateway.graphql.errors import show_error
from gateway.web.answers import HttpProblem, encode, written
from gateway.web.expiry import Expiry
from gateway.web.metrics import Metrics
from gateway.web.options import WebOptions
from gateway.web.problems import RETRY_SECONDS, problem_of
from gateway.web.streams import ServerFull, Streams
from gateway.web.waiting import settle, until_gone

PING = b":\n\n"
CUT = "gateway.cut"
"""The extension of our server's protocol that drops a connection with what was not delivered yet."""

LIVE = "gateway.live"
"""The extension that takes note of a live stream: the kernel shall keep little of it for its reader."""

COMPLETE = b"event: complete\ndata:\n\n"
RESUME = b": the server restarts; resume after the last id\nretry: 1000\n\n"
"""The last words of a subscription at shutdown; there is no `complete`, so that clients come back."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # nginx buffers an answer unless told not to, and an event would wait there for the next ones.
    (b"x-accel-buffering", b"no"),
]


def write_event(answer: Answer) -> bytes:
    """Write one answer as an event, with LF line ends: some clients split on them alone."""
    # A cursor is URL-safe base64: it cannot break the line.
    place = b"" if answer.cursor is None else b"id: " + answer.cursor.encode() + b"\n"
    return b"event: next\n" + place + b"data: " + encode(written(answer)) + b"\n\n"


@dataclass(frozen=True, slots=True)
class EventStream:
    """An ASGI response that ends when the operation ends, the client leaves or stalls, or the server drains.

    ``drain`` ends a subscription alone: a query that runs is answered. A caller whose proof ends is told
    so, and nothing else any more.
    """

    answers: AsyncGenerator[Answer]
    drain: asyncio.Event | None
    caller: str
    streams: Streams
    options: WebOptions
    expiry: Expiry
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, and run the operation's clean-up before returning, however it ends.

        Raises:
            HttpProblem: nothing was begun, since too many streams are open, or the server drains.
        """
        if self.drain is not None and self.drain.is_set():
            raise problem_of(Overloaded("The server restarts; come again.", 1))
        try:
            with self.streams.room(), self.streams.room_for(self.caller):
                _use(scope, LIVE)
                await self._serve(scope, receive, send)
        except LimitExceeded as error:
            self.metrics.cut("sse", "full")
            raise _refusal(error) from None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        gone = asyncio.create_task(until_gone(receive))
        draining = asyncio.create_task(_drained(self.drain))
        expiring = asyncio.create_task(self.expiry.wait())
        try:
            completed = await self._forward(send, [gone, draining], expiring)
            if completed:
                await self._write(send, COMPLETE)
            elif draining.done():
                self.metrics.cut("sse", "drained")
                await self._write(send, RESUME)
            if not gone.done():
                await self._write(send, b"", more=False)
        except TimeoutError:
            self.metrics.cut("sse", "stalled")
            # Closing in the ordinary way would wait until all is read.
            _use(scope, CUT)
        finally:
            await settle([gone, draining, expiring])
            await self.answers.aclose()

    async def _forward(
        self, send: Send, leaving: list[asyncio.Task[Any]], expiring: asyncio.Task[None]
    ) -> bool:
        """Pass answers on; tell whether the operation has come to an end."""
        await self._write(send, PING)
        upcoming = asyncio.create_task(_next(self.answers))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {upcoming, expiring, *leaving},
                    timeout=self.options.keep_alive_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if any(task.done() for task in leaving):
                    return False
                if expiring.done() or self.expiry.passed:
                    await self._tell_expired(send)
                    return True
                if not done:
                    await self._write(send, PING)
                    continue
                answer = upcoming.result()
                if answer is None:
                    return True
                await self._write(send, write_event(answer))
                upcoming = asyncio.create_task(_next(self.answers))
        finally:
            await settle([upcoming])

    async def _tell_expired(self, send: Send) -> None:
        error = Unauthenticated("The credentials are no longer valid.")
        answer = Answer({"errors": [show_error(error)]}, began=False, final=True)
        self.metrics.errors(answer.codes)
        await self._write(send, write_event(answer))

    async def _write(self, send: Send, piece: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(self.options.send_seconds):
            await send({"type": "http.response.body", "body": piece, "more_body": more})


async def _next(answers: AsyncGenerator[Answer]) -> Answer | None:
    return await anext(answers, None)


def _use(scope: Scope, extension: str) -> None:
    """Use an extension of the server, if it has it."""
    use = scope.get("extensions", {}).get(extension)
    if use is not None:
        use()


async def _drained(drain: asyncio.Event | None) -> None:
    if drain is None:
        await asyncio.get_running_loop().create_future()
    else:
        await drain.wait()


def _refusal(error: LimitExceeded) -> HttpProblem:
    problem = problem_of(error)
    if isinstance(error, ServerFull):
        return HttpProblem(503, error.message, code=error.code, headers={"Retry-After": str(RETRY_SECONDS)})
    return problem
