"""One WebSocket that speaks `graphql-transport-ws`, from its handshake to its end.

Everything that ends the socket goes through ``_stop``, so that there is one place where it closes
and one where its operations are cancelled and awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.types import Message, Receive, Send

from gateway.domain.errors import CallerError, GatewayError, LimitExceeded
from gateway.web.admission import Visitor
from gateway.web.answers import HttpProblem, encode
from gateway.web.expiry import Expiry
from gateway.web.metrics import Metrics
from gateway.web.options import WebOptions
from gateway.web.patience import in_time
from gateway.web.streams import Streams
from gateway.web.waiting import settle
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
from gateway.web.websocket_protocol import SERVER_STOPS

Enter: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[Visitor]]
"""Lets in whoever sent the first message with this payload; raises GatewayError or HttpProblem."""

PROTOCOL = "graphql-transport-ws"


@dataclass(frozen=True, slots=True)
class Close:
    """Why a socket ends. Without a code it is already gone."""

    code: int | None
    reason: str = ""


BAD_REQUEST = 4400
UNAUTHORIZED = Close(4401, "Unauthorized")
FORBIDDEN = Close(4403, "Forbidden")
INIT_TIMEOUT = Close(4408, "Connection initialisation timeout")
DUPLICATE = Close(4409, "Subscriber for this id already exists")
TOO_SLOW = Close(4410, "Reader too slow; resume after the last cursor received")
TOO_MANY_INITS = Close(4429, "Too many initialisation requests")
COME_AGAIN = Close(1013, "Try again later")
FULL = Close(1013, "Too many streams are open; try again later")
RESTART = Close(1012, "The server restarts; resume after the last cursor received")
GONE = Close(None)

_COUNTED = {TOO_SLOW: "stalled", RESTART: "drained"}


class Socket:
    """The state of one connection after its handshake."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        *,
        runner: Runner,
        enter: Enter,
        options: WebOptions,
        streams: Streams,
        metrics: Metrics,
        request_id: str,
    ) -> None:
        self._receive = receive
        self._transmit = send
        self._options = options
        self._streams = streams
        self._metrics = metrics
        self._held = ExitStack()  # the caller's place among the streams
        self._sending = asyncio.Lock()
        self._operations = Operations(runner, self._send, request_id)
        self._enter = enter
        self._visitor: Visitor | None = None
        self._expiry: Expiry | None = None
        self._initialised = False
        self._expiring: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()  # at which something came or went
        self._life: asyncio.TimerHandle | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._stopped: asyncio.Future[Close] = self._loop.create_future()

    async def serve(self, drain: asyncio.Event) -> None:
        """Serve until either side ends or the server drains; every operation has ended when this returns."""
        await self._transmit({"type": "websocket.accept", "subprotocol": PROTOCOL})
        self._deadline = self._loop.call_later(
            self._options.connection_init_seconds, self._stop, INIT_TIMEOUT
        )
        listening = asyncio.create_task(self._listen())
        draining = asyncio.create_task(drain.wait())
        self._life = self._loop.call_later(self._options.keep_alive_seconds / 2, self._look_for_life)
        try:
            await asyncio.wait({listening, draining, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                listening.result()
            if not self._stopped.done():
                await settle([listening])  # who is just being let in, too, is told to come again
                await self._operations.finish(self._options.drain_seconds)
                self._stop(RESTART)
        finally:
            self._deadline.cancel()
            self._life.cancel()
            tasks = (listening, draining, self._expiring, self._pinging)
            await settle([task for task in tasks if task is not None])
            await self._operations.end()
            self._held.close()
        await self._close(self._stopped.result())

    async def _listen(self) -> None:
        """Handle messages one by one, until the socket ends or the server stops."""
        while not self._stopped.done():
            frame = await self._receive()
            self._last = self._loop.time()
            if frame["type"] == "websocket.disconnect" and frame.get("code") == SERVER_STOPS:
                return
            await self._take(frame)
            del frame  # up to half a megabyte, while the client says nothing more
            # What came in one piece is at hand without waiting: others, and what was begun, get their turns.
            await asyncio.sleep(0)

    def _look_for_life(self) -> None:
        """Ping where it has been quiet since the last look: quiet lasts for two of them at most.

        At its own times, whatever happens: sockets that go by their last event would all wake at once.
        """
        half = self._options.keep_alive_seconds / 2
        now = self._loop.time()
        if now - self._last >= half and (self._pinging is None or self._pinging.done()):
            self._pinging = asyncio.create_task(self._ping())
        self._life = self._loop.call_later(half, self._look_for_life)

    async def _ping(self) -> None:
        try:
            await self._send({"type": "ping"})
        except Exception:  # noqa: BLE001 - nobody waits for a ping; a socket that cannot take one is gone
            self._stop(GONE)

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
                await self._initialise(message)
            case Ping():
                await self._send({"type": "pong"})
            case Subscribe():
                await self._subscribe(message)
            case Complete():
                self._operations.forget(message.id)
            case _:
                # A pong needs no answer.
                pass

    async def _initialise(self, message: Init) -> None:
        if self._initialised:
            self._stop(TOO_MANY_INITS)
            return
        self._initialised = True
        try:
            # What tells who is there may ask another server, so the deadline for this message goes on.
            async with asyncio.timeout(self._options.connection_init_seconds):
                visitor = await self._enter(message.payload)
            self._held.enter_context(self._streams.room_for(visitor.principal.id))
        except TimeoutError:
            self._stop(INIT_TIMEOUT)
        except LimitExceeded:
            self._metrics.cut("ws", "full")
            self._stop(FULL)
        except (CallerError, HttpProblem):
            self._stop(FORBIDDEN)
        except GatewayError:
            self._stop(COME_AGAIN)
        else:
            self._begin(visitor)
            await self._send({"type": "connection_ack"})

    def _begin(self, visitor: Visitor) -> None:
        self._visitor, self._expiry = visitor, visitor.expiry
        if self._deadline is not None:
            self._deadline.cancel()
        self._expiring = asyncio.create_task(self._expire(self._expiry))

    async def _expire(self, expiry: Expiry) -> None:
        await expiry.wait()
        self._stop(FORBIDDEN)

    async def _subscribe(self, message: Subscribe) -> None:
        if self._visitor is None:
            self._stop(UNAUTHORIZED)
        elif message.id in self._operations:
            self._stop(DUPLICATE)
        else:
            await self._operations.start(message, self._visitor)

    async def _send(self, message: dict[str, Any]) -> bool:
        # One at a time: all would wait for room in the server's buffer, and then all fill it at once.
        async with self._sending:
            if self._expiry is not None and self._expiry.passed:
                self._stop(FORBIDDEN)
            if self._stopped.done():
                return False
            # Text, not bytes: bytes would make a binary frame, which the protocol does not know.
            text = encode(message).decode()
            try:
                await in_time(
                    self._transmit({"type": "websocket.send", "text": text}), self._options.send_seconds
                )
            except TimeoutError:
                self._stop(TOO_SLOW)
            except OSError:
                self._stop(GONE)
            self._last = self._loop.time()
            return not self._stopped.done()

    def _stop(self, close: Close) -> None:
        if not self._stopped.done():
            self._stopped.set_result(close)

    async def _close(self, close: Close) -> None:
        if close.code is None:
            return
        if close in _COUNTED:
            self._metrics.cut("ws", _COUNTED[close])
        with suppress(OSError, TimeoutError):
            message = {"type": "websocket.close", "code": close.code, "reason": close.reason}
            await in_time(self._transmit(message), self._options.send_seconds)
