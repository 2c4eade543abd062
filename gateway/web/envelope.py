"""What wraps every answer: a request id, headers that guard health data, the last catch, a count.

It is also the first to look at a request, and turns one away that is meant for another host.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from gateway.domain.errors import Overloaded
from gateway.graphql.errors import show_fault
from gateway.web.answers import JSON, HttpProblem, encode, problem_response
from gateway.web.hosts import check_host
from gateway.web.metrics import Metrics
from gateway.web.negotiation import EVENT_STREAM
from gateway.web.problems import problem_of

_REQUEST_ID = "gateway.request_id"

_DOORS = ("graphql", "webhooks", "files", "graphiql", "healthz", "readyz", "metrics", "openapi.json")
"""The words in a path that name a door; all else is counted as "other"."""


def request_id_of(scope: Scope) -> str:
    """Give the id that answers, errors and log lines of this request share."""
    found = scope.get(_REQUEST_ID)
    return found if isinstance(found, str) else ""


def door_of(path: str) -> str:
    """Name the door behind a path, with few names in all.

    >>> door_of("/gh/sb-demo/graphql"), door_of("/graphql/x/y/z")
    ('graphql', 'other')
    """
    parts = path.strip("/").split("/")
    for door in (parts[:1], parts[2:3]):
        if door and door[0] in _DOORS and len(parts) <= _MOST_PARTS[door[0]]:
            return door[0]
    return "other"


_MOST_PARTS = dict.fromkeys(_DOORS, 1) | {"graphql": 3, "webhooks": 4, "files": 4, "graphiql": 2}


@dataclass(frozen=True, slots=True)
class Envelope:
    """The outermost middleware, in plain ASGI so that streams pass through piece by piece.

    ``hosts`` are the names that are served; None: any.
    """

    app: ASGIApp
    metrics: Metrics
    hosts: frozenset[str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request and see to its answer."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        scope[_REQUEST_ID] = uuid.uuid4().hex
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await self._welcome(scope, receive, send)

    async def _welcome(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request for one of our hosts in."""
        try:
            check_host(scope, self.hosts)
        except HttpProblem as problem:
            answer = problem_response(problem)
            if scope["type"] == "http":
                await answer(scope, receive, send)
                return
            websocket = WebSocket(scope, receive, send)
            await websocket.receive()
            await websocket.send_denial_response(answer)
            return
        await self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        watch = _Watch(send, request_id_of(scope))
        try:
            await self._welcome(scope, receive, watch)
        except asyncio.CancelledError:  # only a stop that waits no longer does this
            if watch.status != 0:
                raise
            await problem_response(problem_of(Overloaded("The server restarts; come again.", 1)))(
                scope, receive, watch
            )
        except Exception as error:  # noqa: BLE001 -- the process's edge: nobody above may show it
            body = {"errors": [show_fault(error, request_id_of(scope))]}
            if watch.status == 0:
                await Response(encode(body), 500, media_type=JSON)(scope, receive, watch)
        door = door_of(scope["path"])
        # How long a stream or a file takes tells of the client, not of the gateway.
        seconds = None if watch.streams or door == "files" else time.monotonic() - began
        self.metrics.answered(door, watch.status, seconds)


@dataclass(slots=True)
class _Watch:
    """Passes an answer on, adds the headers, remembers the status."""

    send: Send
    request_id: str
    status: int = 0
    streams: bool = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            self.streams = headers.get("content-type", "").startswith(EVENT_STREAM)
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Content-Type-Options"] = "nosniff"
            headers["X-Request-Id"] = self.request_id
            message = {**message, "headers": headers.raw}
        await self.send(message)
