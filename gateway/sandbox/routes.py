"""The documented operations of both versions: this table is what the sandbox serves and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import unquote

from gateway.sandbox import v1, v1_patients, v2, v2_patients
from gateway.sandbox.answers import Answer, Call
from gateway.sandbox.credentials import Api
from gateway.sandbox.live import Sandbox

Run: TypeAlias = Callable[[Sandbox, Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """An operation, with the path that is documented for it below the version's base."""

    api: Api
    operation: str
    method: str
    template: str
    run: Run
    open: bool = False
    """Answers without a bearer token."""


@dataclass(frozen=True, slots=True)
class Found:
    """A route and the parts of the path, decoded."""

    route: Route
    path: dict[str, str]


_V1 = "/{tenant}/{instance}"
_CHAT = _V1 + "/patients/{patient}/chat"

ROUTES = (
    Route("v1", "token", "POST", "/{tenant}/admin/api_clients/{client}", v1.issue_token, open=True),
    Route("v1", "list", "GET", _CHAT, v1.list_messages),
    Route("v1", "search", "GET", _CHAT + "/search", v1.search_messages),
    Route("v1", "send", "POST", _CHAT + "/inbound", v1.send_message),
    Route("v1", "archive", "POST", _CHAT + "/archive", v1.refuse),
    Route("v1", "restore", "POST", _CHAT + "/restore", v1.refuse),
    Route("v1", "patient", "GET", _V1 + "/patients/{patient}", v1_patients.read_patient),
    Route("v1", "delete_patient", "DELETE", _V1 + "/patients/{patient}", v1.refuse),
    Route("v1", "patients", "GET", _V1 + "/patients", v1_patients.list_patients),
    Route("v1", "patients", "POST", _V1 + "/by-filter/patients", v1_patients.filter_patients),
    Route("v2", "token", "POST", "/auth/token", v2.issue_token, open=True),
    Route("v2", "list", "GET", _CHAT + "/messages", v2.list_messages),
    Route("v2", "send", "POST", _CHAT + "/messages", v2.send_message),
    Route("v2", "portal", "GET", _V1 + "/chat/messages", v2.list_by_portal_token),
    Route("v2", "file", "GET", _V1 + "/chat/files/{file}", v2.read_file),
    Route("v2", "search", "POST", _V1 + "/chat/search", v2.search_messages),
    Route("v2", "patient", "GET", _V1 + "/patients/{patient}", v2_patients.read_patient),
    Route("v2", "patients", "GET", _V1 + "/patients", v2_patients.list_patients),
)

_SEGMENT = r"[^/]+"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
"""Tenants, instances and ids in every sample (D1, D2, R): a path with anything else is a mistake."""


def _pattern(template: str) -> re.Pattern[str]:
    """Make the expression of a template. Both ``patients`` and D1's ``patient`` are served in v1."""
    return re.compile(re.sub(r"\{(\w+)\}", rf"(?P<\1>{_SEGMENT})", template))


_PATTERNS = MappingProxyType({route: _pattern(route.template) for route in ROUTES})
_SINGULAR = MappingProxyType(
    {
        route: _pattern(route.template.replace("/patients/", "/patient/"))
        for route in ROUTES
        if route.api == "v1" and "/patients/" in route.template
    }
)


def find(api: str, method: str, raw_path: str) -> Found | None:
    """Give the operation of a request by its path as it came over the wire; None if none is documented."""
    return next((found for found in _matching(api, raw_path) if found.route.method == method), None)


def knows_path(api: str, raw_path: str) -> bool:
    """Tell whether a path is documented with any method."""
    return bool(_matching(api, raw_path))


def _matching(api: str, raw_path: str) -> list[Found]:
    matches: list[Found] = []
    for route in ROUTES:
        if route.api != api:
            continue
        expressions = [_PATTERNS[route], *([_SINGULAR[route]] if route in _SINGULAR else [])]
        for expression in expressions:
            found = expression.fullmatch(raw_path)
            if found is None:
                continue
            parts = {name: unquote(value) for name, value in found.groupdict().items()}
            if all(_PART.fullmatch(part) for part in parts.values()):
                matches.append(Found(route, parts))
    return matches
