"""The first look at an operation over HTTP: is there time for it? A refusal costs next to nothing.

It stands before the framework, the check of who calls and the body, since all of these are work too.
Subscriptions, webhooks, files and the probes of whoever runs the gateway pass by.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.web.answers import problem_response
from gateway.web.envelope import door_of
from gateway.web.lag import LoopLag
from gateway.web.load import Load, too_much
from gateway.web.negotiation import prefers_stream, wants_page
from gateway.web.problems import problem_of


@dataclass(frozen=True, slots=True)
class Shedding:
    """A middleware in plain ASGI; ``lag`` is measured while the app lives."""

    app: ASGIApp
    load: Load
    lag: LoopLag

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse an operation, or let it take its turns."""
        if scope["type"] == "lifespan":
            async with self.lag:
                await self.app(scope, receive, send)
        elif scope["type"] == "http" and _is_operation(scope):
            await self._serve(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.load.has_room:
            await self.load.turns.paced(_run(self.app, scope, receive, send))
        else:
            await _REFUSAL(scope, receive, send)


_REFUSAL = problem_response(problem_of(too_much()))


async def _run(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


def _is_operation(scope: Scope) -> bool:
    """Tell whether a request is for a query or a mutation, as far as its head tells."""
    if scope["method"] not in {"GET", "POST"} or door_of(scope["path"]) != "graphql":
        return False
    accept = Headers(scope=scope).get("accept")
    return not (prefers_stream(accept) or (scope["method"] == "GET" and wants_page(accept)))
