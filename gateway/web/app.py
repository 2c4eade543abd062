"""Puts the doors together into one ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from gateway.domain.model import InstanceName
from gateway.graphql.execution import Executor
from gateway.web import graphiql, rest
from gateway.web.admission import Admission
from gateway.web.answers import HttpProblem, problem_response
from gateway.web.envelope import Envelope
from gateway.web.events import EventsDoor
from gateway.web.files import FilesDoor
from gateway.web.graphql_http import GraphQLDoor
from gateway.web.health import HealthDoor
from gateway.web.instances import Instances
from gateway.web.lag import LoopLag
from gateway.web.load import Load
from gateway.web.metrics import Metrics
from gateway.web.options import InstanceEntry, Readiness, WebOptions
from gateway.web.rates import Rates
from gateway.web.shedding import Shedding
from gateway.web.streams import Streams
from gateway.web.webhooks import WebhookDoor
from gateway.web.websocket_door import WebSocketDoor

_DESCRIPTION = (
    "The REST part of the gateway. The GraphQL part is described by its own schema. "
    "GraphQL by HTTP answers 401 with UNAUTHENTICATED and WWW-Authenticate to who cannot be told, and 429 "
    "with LIMIT_EXCEEDED, Retry-After and extensions.retryAfter (seconds) to a caller who runs too many "
    "operations in a minute, and 503 with OVERLOADED and Retry-After where too many are under way, all "
    "before the body is read."
)
_CORS_HEADERS = ("Accept", "Authorization", "Content-Type", "Last-Event-ID", "Range", "X-API-Key")
_CORS_SHOWN = ("X-Request-Id", "Retry-After", "Accept-Ranges", "Content-Disposition", "Content-Range")
_CORS_SECONDS = 600


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
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HttpProblem: _answer_problem, HTTPException: _answer_framework},
    )
    drain = asyncio.Event()
    metrics = Metrics(CollectorRegistry() if registry is None else registry)
    known = Instances(instances)
    app.openapi = partial(rest.describe, app)
    app.state.drain = drain
    app.state.metrics = metrics
    admission = Admission(known, options, Rates(options.operations_per_minute))
    load, lag = Load(options.max_operations, len(instances)), LoopLag()
    _add_graphql(app, admission, options, metrics, load)
    seconds = options.body_seconds
    rest.add_webhooks(
        app,
        WebhookDoor(known, metrics, seconds, options.heard),
        EventsDoor(known, metrics, seconds, options.heard),
    )
    rest.add_files(app, FilesDoor(admission, metrics))
    rest.add_health(app, HealthDoor(readiness, drain, metrics, options.metrics_token))
    metrics.show_process(lambda: load.under_way, lambda: lag.seconds)
    app.add_middleware(Shedding, load=load, lag=lag)
    if options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=list(_CORS_HEADERS),
            expose_headers=list(_CORS_SHOWN),
            max_age=_CORS_SECONDS,
        )
    app.add_middleware(Envelope, metrics=metrics, hosts=options.hosts)
    return app


def _add_graphql(
    app: FastAPI, admission: Admission, options: WebOptions, metrics: Metrics, load: Load
) -> None:
    executor = Executor(
        introspection=options.introspection,
        limits=options.limits,
        show_cost=options.show_cost,
        trusted=options.trusted_documents,
    )
    drain: asyncio.Event = app.state.drain
    streams = Streams(options.max_streams, options.max_streams_per_caller)
    http = GraphQLDoor(
        executor=executor,
        admission=admission,
        options=options,
        page=graphiql.page() if options.graphiql else None,
        drain=drain,
        metrics=metrics,
        streams=streams,
        load=load,
    )
    socket = WebSocketDoor(
        executor=executor,
        admission=admission,
        options=options,
        drain=drain,
        metrics=metrics,
        streams=streams,
        load=load,
    )
    for path in (f"{rest.PREFIX}/graphql", "/graphql"):
        app.router.routes.append(Route(path, http))
        app.router.routes.append(WebSocketRoute(path, socket))
    if options.graphiql:
        app.router.routes.append(Route("/graphiql/{name}", graphiql.GraphiqlFiles().serve, methods=["GET"]))


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
