"""Liveness, readiness and metrics, for whoever runs the gateway."""

from __future__ import annotations

import asyncio
import hmac
import logging
from dataclasses import dataclass, field

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.errors import GatewayError, Unauthenticated
from gateway.web.answers import JSON, encode
from gateway.web.credentials import credentials_of
from gateway.web.metrics import Metrics
from gateway.web.options import Readiness, ReadyState
from gateway.web.problems import problem_of

READY_SECONDS = 2.0
"""The last limit, on a readiness that does not answer at all: it names what is silent well before."""

_BEARER = b"bearer "

logger = logging.getLogger("gateway.web.health")


@dataclass(slots=True)
class HealthDoor:
    """Answers the three questions. With a ``metrics_token`` only its holder sees the counters."""

    readiness: Readiness
    drain: asyncio.Event
    metrics: Metrics
    metrics_token: bytes | None = field(default=None, repr=False)
    ready_seconds: float = READY_SECONDS
    _asking: asyncio.Task[ReadyState] | None = field(default=None, init=False)

    async def live(self, _request: Request) -> Response:
        """Say that the process answers."""
        return Response(encode({"status": "ok"}), media_type=JSON)

    async def ready(self, _request: Request) -> Response:
        """Say whether requests should be sent here; never while the server drains."""
        state = _not_ready("draining") if self.drain.is_set() else await self._ask()
        body = {"ready": state.ready, "degraded": state.degraded, "parts": dict(state.parts)}
        return Response(encode(body), 200 if state.ready else 503, media_type=JSON)

    async def show_metrics(self, request: Request) -> Response:
        """Show the counters in Prometheus' text format.

        Raises:
            HttpProblem: a token is needed, and was not sent.
        """
        try:
            self._check_token(request)
        except GatewayError as error:
            raise problem_of(error) from None
        return Response(generate_latest(self.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _check_token(self, request: Request) -> None:
        if self.metrics_token is None:
            return
        shown = credentials_of(request.scope).authorization or b""
        right = hmac.compare_digest(shown[len(_BEARER) :].strip(), self.metrics_token)
        if not right or shown[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated("The counters are shown to who sends the token for them.")

    async def _ask(self) -> ReadyState:
        """Ask the parts, all who wait together; a question that takes too long goes on without them.

        It is not cancelled, since a call that is cancelled inside of an HTTP client's pool can spoil it.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self.readiness())
            self._asking.add_done_callback(_note_fault)
        asking = self._asking
        await asyncio.wait({asking}, timeout=self.ready_seconds)
        if not asking.done():
            return _not_ready("its parts have not told in time how they are")
        if asking.cancelled() or asking.exception() is not None:
            return _not_ready("it cannot be told how its parts are")
        return asking.result()


def _not_ready(why: str) -> ReadyState:
    return ReadyState(ready=False, parts={"server": why})


def _note_fault(asking: asyncio.Future[ReadyState]) -> None:
    if not asking.cancelled() and (error := asking.exception()) is not None:
        logger.error("readiness cannot be told class=%s", type(error).__qualname__)
