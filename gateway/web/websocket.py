"""One WebSocket that speaks `graphql-transport-ws`, from its handshake to its end.

Everything that ends the socket goes through ``_stop``, so that there is one place where it closes
and one where its operations are cancelled and awaited.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Receive, Send

from gateway.web.answers import encode
from gateway.web.options import WebOptions
from gateway.web.websocket_messages import (
    ClientMessage,
    Complete,
    Init,
    Malformed,
    Ping,
    Subscribe,
    read_message,
)
from gateway.web.websocket_operations import Operations, Runner

PROTOCOL = "graphql-transport-ws"

SEND_SECONDS = 30.0
"""How long a client may leave its side of the socket full before it is let go."""


@dataclass(frozen=True, slots=True)
class Close:
    """Why a socket ends. Without a code it is already gone."""

    code: int | None
    reason: str = ""


BAD_REQUEST = 4400
UNAUTHORIZED = Close(4401, "Unauthorized")
INIT_TIMEOUT = Close(4408, "Connection initialisation timeout")
DUPLICATE = Close(4409, "Subscriber for this id already exists")
TOO_MANY_INITS = Close(4429, "Too many initialisation requests")
RESTART = Close(1012, "The server restarts")
GONE = Close(None)


class Socket:
    """The state of one connection after its handshake."""

    def __init__(
        self, receive: Receive, send: Send, *, runner: Runner, options: WebOptions, request_id: str
    ) -> None:
        self._receive = receive
        self._transmit = send
        self._options = options
        self._operations = Operations(runner, self._send, request_id)
        self._initialised = False
        self._deadline: asyncio.TimerHandle | None = None
        self._stopped: asyncio.Future[Close] = asyncio.get_running_loop().create_future()

    async def serve(self, drain: asyncio.Event) -> None:
        """Serve until either side ends or the server drains; every operation has ended when this returns."""
        await self._transmit({"type": "websocket.accept", "subprotocol": PROTOCOL})
        draining = asyncio.create_task(self._watch(drain))
        self._deadline = asyncio.get_running_loop().call_later(
            self._options.connection_init_seconds, self._stop, INIT_TIMEOUT
        )
        try:
            await self._converse()
        finally:
            self._deadline.cancel()
            await _settle(draining)
            await self._operations.end()
        await self._close(self._stopped.result())

    async def _converse(self) -> None:
        """Handle messages one by one, and ping while there are none."""
        incoming = asyncio.create_task(self._next_frame())
        try:
            while not self._stopped.done():
                await asyncio.wait(
                    {incoming, self._stopped},
                    timeout=self._options.keep_alive_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if incoming.done() and not self._stopped.done():
                    await self._take(incoming.result())
                    incoming = asyncio.create_task(self._next_frame())
                elif not self._stopped.done():
                    await self._send({"type": "ping"})
        finally:
            await _settle(incoming)

    async def _next_frame(self) -> Message:
        return await self._receive()

    async def _take(self, frame: Message) -> None:
        if frame["type"] == "websocket.disconnect":
            self._stop(GONE)
            return
        text = frame.get("text")
        if text is None:
            self._stop(Close(BAD_REQUEST, "Messages must be text."))
            return
        try:
            await self._handle(read_message(text))
        except Malformed as malformed:
            self._stop(Close(BAD_REQUEST, str(malformed)))

    async def _handle(self, message: ClientMessage) -> None:
        match message:
            case Init():
                await self._initialise()
            case Ping():
                await self._send({"type": "pong"})
            case Subscribe():
                await self._subscribe(message)
            case Complete():
                self._operations.forget(message.id)
            case _:
                # A pong needs no answer.
                pass

    async def _initialise(self) -> None:
        if self._initialised:
            self._stop(TOO_MANY_INITS)
            return
        self._initialised = True
        if self._deadline is not None:
            self._deadline.cancel()
        await self._send({"type": "connection_ack"})

    async def _subscribe(self, message: Subscribe) -> None:
        if not self._initialised:
            self._stop(UNAUTHORIZED)
        elif message.id in self._operations:
            self._stop(DUPLICATE)
        else:
            await self._operations.start(message)

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                # Text, not bytes: bytes would make a binary frame, which the protocol does not know.
                await self._transmit({"type": "websocket.send", "text": encode(message).decode()})
        except (TimeoutError, OSError):
            self._stop(GONE)

    def _stop(self, close: Close) -> None:
        if not self._stopped.done():
            self._stopped.set_result(close)

    async def _watch(self, drain: asyncio.Event) -> None:
        await drain.wait()
        self._stop(RESTART)

    async def _close(self, close: Close) -> None:
        if close.code is None:
            return
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(SEND_SECONDS):
                await self._transmit({"type": "websocket.close", "code": close.code, "reason": close.reason})


async def _settle(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, OSError):
        await task
