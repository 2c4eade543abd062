"""The GraphQL door for WebSockets: who may open one, and in which language."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.http.websocket_origin import is_same_origin, normalize_allowed_origins, normalize_origin

from gateway.graphql.execution import Executor
from gateway.web.admission import Admission
from gateway.web.answers import HttpProblem, problem_response
from gateway.web.envelope import request_id_of
from gateway.web.load import Load
from gateway.web.metrics import Metrics
from gateway.web.options import WebOptions
from gateway.web.streams import ServerFull, Streams
from gateway.web.websocket import FULL, PROTOCOL, RESTART, Close, Socket
from gateway.web.websocket_operations import Runner

UNACCEPTABLE = Close(4406, "Subprotocol not acceptable")


@dataclass(frozen=True, slots=True)
class WebSocketDoor:
    """An ASGI app that answers upgrades."""

    executor: Executor
    admission: Admission
    options: WebOptions
    drain: asyncio.Event
    metrics: Metrics
    streams: Streams
    load: Load
    _origins: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Bring the allowed origins into the form that browsers send."""
        object.__setattr__(self, "_origins", normalize_allowed_origins(self.options.cors_origins))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the handshake, then serve the socket to its end."""
        websocket = WebSocket(scope, receive, send)
        try:
            self._check_origin(websocket)
            await self.admission.check_handshake(scope)
        except HttpProblem as problem:
            await websocket.receive()
            await websocket.send_denial_response(problem_response(problem))
            return
        await websocket.receive()
        if PROTOCOL not in scope["subprotocols"]:
            await _refuse(websocket, UNACCEPTABLE)
        elif self.drain.is_set():
            await _refuse(websocket, RESTART, PROTOCOL)
        else:
            try:
                with self.streams.room():
                    await self._serve(scope, receive, send)
            except ServerFull:
                self.metrics.cut("ws", "full")
                await _refuse(websocket, FULL, PROTOCOL)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        runner = Runner(self.executor, self.metrics, self.options.max_socket_operations, self.load)
        socket = Socket(
            receive,
            send,
            runner=runner,
            enter=partial(self.admission.enter_by_message, scope),
            options=self.options,
            streams=self.streams,
            metrics=self.metrics,
            request_id=request_id_of(scope),
        )
        self.metrics.sockets(1)
        try:
            await socket.serve(self.drain)
        finally:
            self.metrics.sockets(-1)

    def _check_origin(self, websocket: WebSocket) -> None:
        if not self._is_welcome(websocket):
            raise HttpProblem(403, "This origin may not connect.", code="FORBIDDEN")

    def _is_welcome(self, websocket: WebSocket) -> bool:
        """Tell whether the page behind the handshake may connect; what is no browser names no page."""
        origins = websocket.headers.getlist("origin")
        if not origins:
            return True
        if len(origins) > 1:
            return False
        if "*" in self._origins or is_same_origin(origins[0], websocket.headers.get("host")):
            return True
        return normalize_origin(origins[0]) in self._origins


async def _refuse(websocket: WebSocket, close: Close, protocol: str | None = None) -> None:
    """Open and close: browsers show a close code only of a socket that was open."""
    await websocket.accept(protocol)
    await websocket.send({"type": "websocket.close", "code": close.code, "reason": close.reason})
