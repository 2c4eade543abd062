"""Answers that are handed on while they arrive, in constant memory, however large they are.

What ``transport`` says of the pool holds here too: no call is cancelled inside it. Each download has a
task of its own, the pump, which reads a piece and waits until it is taken:

1. the headers come within the deadline, and each further piece within as long again; the whole may take
   as long as its reader does;
2. a reader that leaves is noticed at the next piece, and the pump closes the connection; a pump that
   waits for the upstream is woken by shutting down the reading side of its socket;
3. a body that does not come to its announced end is an error, never a clean end.

Downloads have connections of their own, so that large files never keep messages waiting.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx2

from gateway.domain.errors import UpstreamBadResponse, UpstreamError, UpstreamUnavailable
from gateway.welkin.body import BodyRefused
from gateway.welkin.failures import CallFailed, failed, timed_out
from gateway.welkin.line import Line
from gateway.welkin.pipe import Pipe
from gateway.welkin.transport import (
    CONNECT_SHARE,
    LAST_RESORT,
    Answer,
    Call,
    build_request,
    make_client,
    read_whole,
    take_place,
)

_MAX_ERROR_BYTES = 64 * 1024
"""Of an error's body only its codes are read."""
_BODIES = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})


@dataclass(frozen=True, slots=True)
class Opened:
    """A response whose body is on its way through ``pipe``."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    pipe: Pipe

    @property
    def retry_after(self) -> str | None:
        """The header, as it came."""
        return self.headers.get("retry-after")


@dataclass(frozen=True, slots=True)
class _Handover:
    """What the pump hands to its reader: what was answered, then the pieces."""

    head: asyncio.Future[Opened | Answer | CallFailed]
    pipe: Pipe


class Downloads:
    """The downloads from one Welkin instance. ``ca_file``: see ``make_client``."""

    def __init__(self, *, max_calls: int, max_bytes: int, ca_file: str | None = None) -> None:
        self._client = make_client(max_calls, ca_file)
        self._line = Line(max_calls)
        self._max_bytes = max_bytes
        self._under_way: dict[asyncio.Task[None], Pipe] = {}

    @property
    def in_flight(self) -> int:
        """How many downloads are under way."""
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return self._line.waiting

    async def open(
        self,
        call: Call,
        *,
        bearer: str,
        deadline: float,
        idle_seconds: float,
        stands: Callable[[], bool] = lambda: True,
    ) -> Opened | Answer:
        """Make a call: its body on its way, or whatever else was answered. Whoever gets a pipe leaves it.

        ``stands`` is asked when there is a place: False, and the call is not made after all.

        Raises:
            CallFailed: there is no answer.
        """
        await take_place(self._line, call, deadline, stands)
        loop = asyncio.get_running_loop()
        handover = _Handover(loop.create_future(), Pipe())
        task = asyncio.create_task(self._run(call, bearer, deadline, idle_seconds, handover))
        self._under_way[task] = handover.pipe
        task.add_done_callback(self._forget)
        waited_for = {handover.head, task}
        try:
            await asyncio.wait(
                waited_for, timeout=max(0.0, deadline - loop.time()), return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            handover.pipe.leave()
            raise
        if not handover.head.done():
            handover.pipe.leave()
            if task.done():
                task.result()  # a fault of our own
            raise timed_out(call.operation, maybe_sent=True)
        result = handover.head.result()
        if isinstance(result, CallFailed):
            raise result
        return result

    async def aclose(self) -> None:
        """Stop the downloads under way, then close the connections."""
        while self._under_way or self.waiting:
            for pipe in self._under_way.values():
                pipe.leave()
            await asyncio.wait(set(self._under_way) or {asyncio.create_task(asyncio.sleep(0))})
        await self._client.aclose()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        self._line.leave()
        if not task.cancelled():
            task.exception()  # marks it as seen: the reader may be gone

    async def _run(
        self, call: Call, bearer: str, deadline: float, idle_seconds: float, handover: _Handover
    ) -> None:
        head, pipe = handover.head, handover.pipe
        try:
            response = await self._send(call, bearer, deadline, idle_seconds, pipe)
            try:
                if response.status_code not in _BODIES:
                    head.set_result(await _read_error(response, deadline))
                    return
                pipe.on_leave(lambda: _stop_reading(response))
                head.set_result(Opened(response.status_code, dict(response.headers), pipe))
                await self._pump(call, response, pipe)
            finally:
                await response.aclose()
        except (httpx2.TransportError, BodyRefused, TimeoutError) as error:
            if not head.done():
                head.set_result(failed(call.operation, error, maybe_sent=True))

    async def _send(
        self, call: Call, bearer: str, deadline: float, idle_seconds: float, pipe: Pipe
    ) -> httpx2.Response:
        budget = deadline - asyncio.get_running_loop().time()
        if pipe.left or budget <= 0:
            raise TimeoutError
        timeout = httpx2.Timeout(budget, connect=budget * CONNECT_SHARE, read=idle_seconds)
        async with asyncio.timeout(budget * LAST_RESORT):
            request = build_request(self._client, call, bearer, timeout)
            return await self._client.send(request, stream=True)

    async def _pump(self, call: Call, response: httpx2.Response, pipe: Pipe) -> None:
        broke_off = UpstreamUnavailable(f"Welkin broke off before the end ({call.operation}).")
        error: UpstreamError | None = None
        size = 0
        try:
            async with aclosing(response.aiter_raw()) as pieces:
                async for piece in pieces:
                    size += len(piece)
                    if size > self._max_bytes:
                        error = too_large(call.operation)
                        break
                    await pipe.put(piece)
                    if pipe.left:
                        break
        except httpx2.TransportError:
            error = broke_off
        await pipe.finish(error, stopped=broke_off)


async def _read_error(response: httpx2.Response, deadline: float) -> Answer:
    try:
        return await read_whole(response, _MAX_ERROR_BYTES, deadline)
    except BodyRefused:
        return Answer(response.status_code, b"", response.headers.get("retry-after"))


def too_large(operation: str) -> UpstreamBadResponse:
    """Give the error for a body that is larger than one may be."""
    return UpstreamBadResponse(f"Welkin's answer is larger than the gateway takes ({operation}).")


def _stop_reading(response: httpx2.Response) -> None:
    if response.is_closed:
        return  # its connection may be another download's by now
    extensions: Mapping[str, Any] = response.extensions
    stream = extensions.get("network_stream")
    connection = None if stream is None else stream.get_extra_info("socket")
    if connection is not None:
        # On a copy of the descriptor: uvloop's stand-in for a socket cannot shut down.
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as own:
            own.shutdown(socket.SHUT_RD)
