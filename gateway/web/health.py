"""Liveness, readiness and metrics, for whoever runs the gateway."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from gateway.web.answers import JSON, encode
from gateway.web.metrics import Metrics
from gateway.web.options import Readiness, ReadyState


@dataclass(frozen=True, slots=True)
class HealthDoor:
    """Answers the three questions."""

    readiness: Readiness
    drain: asyncio.Event
    metrics: Metrics

    async def live(self, _request: Request) -> Response:
        """Say that the process answers."""
        return Response(encode({"status": "ok"}), media_type=JSON)

    async def ready(self, _request: Request) -> Response:
        """Say whether requests should be sent here; never while the server drains."""
        state = ReadyState(ready=False, parts={"server": "draining"})
        if not self.drain.is_set():
            state = await self.readiness()
        body = {"ready": state.ready, "parts": dict(state.parts)}
        return Response(encode(body), 200 if state.ready else 503, media_type=JSON)

    async def show_metrics(self, _request: Request) -> Response:
        """Show the counters in Prometheus' text format."""
        return Response(generate_latest(self.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
