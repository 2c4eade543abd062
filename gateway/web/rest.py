"""The doors that are no GraphQL, with what OpenAPI says of each."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from gateway.web import events, webhooks
from gateway.web.events import EventsDoor
from gateway.web.files import FilesDoor
from gateway.web.health import HealthDoor
from gateway.web.webhooks import WebhookDoor

PREFIX = "/{tenant}/{instance}"
"""Before every address that names its instance."""

_Handler = Callable[[Request], Awaitable[Response]]

_WEBHOOK = {
    200: "Taken",
    400: "Not the documented body",
    401: "Wrong or missing credentials, or no such instance",
    403: "For another instance",
    408: "The body took too long",
    413: "The body is too large",
    415: "Not JSON",
}

_FILE = {
    200: "The file, as a download; a transfer that breaks off ends short of its length",
    206: "The range that was asked for",
    400: "The id cannot be one, or was written with percent signs",
    401: "Wrong or missing credentials; WWW-Authenticate names the scheme",
    403: "Not allowed",
    404: "No such instance or file, or none that the caller may know of",
    416: "The file has no such range",
    429: "The caller has as many transfers under way as they may; Retry-After says when to come again",
    501: "The version of Welkin behind this instance has no files",
    502: "Welkin's answer is no file",
    503: "Welkin or the gateway is overloaded or away; Retry-After says when to come again",
    504: "Welkin did not answer in time; Retry-After says when to come again",
}

_RANGE: dict[str, Any] = {
    "name": "Range",
    "in": "header",
    "required": False,
    "description": "One range, bytes=a-b or bytes=a-; any other form is ignored",
    "schema": {"type": "string"},
}


_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]

SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the identity provider that the gateway is configured for",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key that the gateway is configured with",
    },
}
"""What ``[auth]`` can switch on. Where it is off, nothing is asked for."""


def describe(app: FastAPI) -> dict[str, Any]:
    """Give the OpenAPI description, with the ways to prove who is calling."""
    found = FastAPI.openapi(app)
    found.setdefault("components", {})["securitySchemes"] = SCHEMES
    return found


def add_webhooks(app: FastAPI, chat: WebhookDoor, platform: EventsDoor) -> None:
    """Add the two addresses that Welkin calls."""
    for prefix in (PREFIX, ""):
        for name, handler, summary, headers, body in (
            ("chat", chat.take, "Welkin's chat webhook", webhooks.HEADERS, webhooks.BODY),
            ("events", platform.take, "The webhook of Welkin's platform", events.HEADERS, events.BODY),
        ):
            extra = {"parameters": _path_parameters(prefix) + headers, "requestBody": body}
            path = f"{prefix}/webhooks/{name}"
            _add(app, "POST", path, handler, summary=summary, responses=_WEBHOOK, extra=extra)


def add_files(app: FastAPI, door: FilesDoor) -> None:
    """Add the addresses of attachments. The id takes slashes too, so that a bad one is refused, not lost."""
    for prefix in (PREFIX, ""):
        extra = {"parameters": [*_path_parameters(prefix), _FILE_ID, _RANGE], "security": _SECURITY}
        path = f"{prefix}/files/{{fileId:path}}"
        _add(app, "GET", path, door.give, summary="Stream an attachment", responses=_FILE, extra=extra)
        extra = {"parameters": [*_path_parameters(prefix), _FILE_ID], "security": _SECURITY}
        summary = "The headers of an attachment"
        _add(app, "HEAD", path, door.give, summary=summary, responses=_FILE, extra=extra)
    for route in app.router.routes:
        if isinstance(route, APIRoute) and route.path.endswith(":path}"):
            # The framework's "path" stops at a line's end, and an id with one would only be "not found".
            route.path_regex = re.compile(route.path_regex.pattern, re.DOTALL)


def add_health(app: FastAPI, door: HealthDoor) -> None:
    """Add what whoever runs the gateway asks."""
    _add(app, "GET", "/healthz", door.live, summary="Whether the process lives", responses={200: "It does"})
    answers = {200: "Ready", 503: "Not ready; the body says why"}
    _add(app, "GET", "/readyz", door.ready, summary="Whether requests should be sent here", responses=answers)
    _add(
        app,
        "GET",
        "/metrics",
        door.show_metrics,
        summary="Counters for Prometheus",
        responses={200: "The counters", 401: "Where telemetry.metrics_token is set: not who knows it"},
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
        _in_path("tenant", "The organisation", {"type": "string"}),
        _in_path("instance", "The environment", {"type": "string"}),
    ]


def _in_path(name: str, what: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": what, "schema": schema}


_FILE_ID = _in_path("fileId", "Welkin's id of the file", {"type": "string", "pattern": webhooks.ID_PATTERN})
