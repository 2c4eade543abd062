"""Puts the doors together into one ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from gateway.domain.model import InstanceName
from gateway.graphql.execution import Executor
from gateway.web import graphiql
from gateway.web.answers import HttpProblem, problem_response
from gateway.web.envelope import Envelope
from gateway.web.graphql_http import GraphQLDoor
from gateway.web.health import HealthDoor
from gateway.web.instances import Instances
from gateway.web.metrics import Metrics
from gateway.web.options import InstanceEntry, Readiness, WebOptions
from gateway.web.webhooks import BODY, HEADERS, WebhookDoor
from gateway.web.websocket_door import WebSocketDoor

_PREFIX = "/{tenant}/{instance}"

_CORS_HEADERS = ("Accept", "Authorization", "Content-Type", "X-API-Key")
_CORS_SECONDS = 600

_Handler = Callable[[Request], Awaitable[Response]]


def create_web(
    instances: Mapping[InstanceName, InstanceEntry],
    options: WebOptions,
    readiness: Readiness,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """Build the app; the first of the instances also answers at the addresses without a name.

    ``app.state.drain`` is an ``asyncio.Event``. Set it when shutdown begins: open streams then end,
    WebSockets close with 1012, and ``/readyz`` says no. uvicorn alone would wait for them for ever.
    ``registry`` is what ``/metrics`` shows; other parts may count in it too.
    """
    app = FastAPI(
        title="Welkin chat gateway",
        version="1",
        description="The REST part of the gateway. The GraphQL part is described by its own schema.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HttpProblem: _answer_problem, HTTPException: _answer_framework},
    )
    drain = asyncio.Event()
    metrics = Metrics(CollectorRegistry() if registry is None else registry)
    known = Instances(instances)
    app.state.drain = drain
    app.state.metrics = metrics
    _add_graphql(app, known, options, metrics)
    _add_webhooks(app, WebhookDoor(known, metrics, options.body_seconds))
    _add_health(app, HealthDoor(readiness, drain, metrics))
    if options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=list(_CORS_HEADERS),
            expose_headers=["X-Request-Id", "Retry-After"],
            max_age=_CORS_SECONDS,
        )
    app.add_middleware(Envelope, metrics=metrics)
    return app


def _add_graphql(app: FastAPI, instances: Instances, options: WebOptions, metrics: Metrics) -> None:
    executor = Executor(introspection=options.introspection)
    drain: asyncio.Event = app.state.drain
    http = GraphQLDoor(
        executor=executor,
        instances=instances,
        options=options,
        page=graphiql.page() if options.graphiql else None,
        drain=drain,
        metrics=metrics,
    )
    socket = WebSocketDoor(
        executor=executor, instances=instances, options=options, drain=drain, metrics=metrics
    )
    for path in (f"{_PREFIX}/graphql", "/graphql"):
        app.router.routes.append(Route(path, http))
        app.router.routes.append(WebSocketRoute(path, socket))
    if options.graphiql:
        app.router.routes.append(Route("/graphiql/{name}", graphiql.GraphiqlFiles().serve, methods=["GET"]))


def _add_webhooks(app: FastAPI, door: WebhookDoor) -> None:
    responses = {
        200: "Taken",
        400: "Not the documented body",
        401: "Wrong or missing credentials",
        403: "For another instance",
        404: "No such instance",
        408: "The body took too long",
        413: "The body is too large",
        415: "Not JSON",
    }
    for prefix in (_PREFIX, ""):
        extra = {"parameters": _path_parameters(prefix) + HEADERS, "requestBody": BODY}
        _add(
            app,
            "POST",
            f"{prefix}/webhooks/chat",
            door.take,
            summary="Welkin's chat webhook",
            responses=responses,
            extra=extra,
        )


def _add_health(app: FastAPI, door: HealthDoor) -> None:
    _add(app, "GET", "/healthz", door.live, summary="Whether the process lives", responses={200: "It does"})
    answers = {200: "Ready", 503: "Not ready; the body says why"}
    _add(app, "GET", "/readyz", door.ready, summary="Whether requests should be sent here", responses=answers)
    _add(
        app,
        "GET",
        "/metrics",
        door.show_metrics,
        summary="Counters for Prometheus",
        responses={200: "The counters"},
    )


def _add(
    app: FastAPI,
    method: str,
    path: str,
    handler: _Handler,
    *,
    summary: str,
    responses: Mapping[int, str],
    extra: Mapping[str, Any] | None = None,
) -> None:
    app.add_api_route(
        path,
        handler,
        methods=[method],
        summary=summary,
        # Left out, the framework would publish the handler's docstring.
        description=summary,
        response_class=Response,
        responses={status: {"description": what} for status, what in responses.items()},
        openapi_extra=dict(extra or {}),
    )


def _path_parameters(prefix: str) -> list[dict[str, Any]]:
    if not prefix:
        return []
    return [
        {"name": name, "in": "path", "required": True, "description": what, "schema": {"type": "string"}}
        for name, what in (("tenant", "The organisation"), ("instance", "The environment"))
    ]


async def _answer_problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HttpProblem):
        raise error
    return problem_response(error)


async def _answer_framework(_request: Request, error: Exception) -> Response:
    """Put the framework's own refusals (no such path, no such method) into the gateway's shape."""
    if not isinstance(error, HTTPException):
        raise error
    code = "NOT_FOUND" if error.status_code == 404 else "BAD_USER_INPUT"  # noqa: PLR2004 -- HTTP's own number
    return problem_response(HttpProblem(error.status_code, error.detail, code=code, headers=error.headers))
