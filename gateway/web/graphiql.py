"""GraphiQL without any request to another host: its files come from a Python package, the rest from here."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from gateway.graphql.operations import example_operations
from gateway.web.answers import JSON, HttpProblem, encode

_PACKAGE = "graphene_django_graphiql_static"
"""Only its static files are used; none of its code, which would need Django, is imported."""

_FOREIGN = (
    "graphiql.min.css",
    "graphiql.min.js",
    "graphql-ws.min.js",
    "react-dom.production.min.js",
    "react.production.min.js",
)
_OWN = ("start.css", "start.js")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}

_KEEP = {"Cache-Control": "public, max-age=86400"}
"""The files hold nothing about anybody; a day is short enough to take an upgrade."""


def page() -> Response:
    """Give the page; it finds its own address and needs nothing filled in."""
    html = (files("gateway.web") / "assets" / "graphiql.html").read_text("utf-8")
    return Response(html, headers=_HEADERS, media_type="text/html")


@dataclass(frozen=True, slots=True)
class GraphiqlFiles:
    """Serves what the page loads, from memory, by name: no path of a request reaches the disk."""

    _contents: dict[str, bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Read every file once, so that a missing one stops the start."""
        own = files("gateway.web") / "assets"
        contents = {name: (own / name).read_bytes() for name in _OWN}
        foreign = _package_folder() / "static" / _PACKAGE
        contents |= {name: (foreign / name).read_bytes() for name in _FOREIGN}
        object.__setattr__(self, "_contents", contents)

    async def serve(self, request: Request) -> Response:
        """Give one file, or the example operations."""
        name = request.path_params["name"]
        if name == "operations.json":
            return Response(encode(list(example_operations().values())), media_type=JSON)
        if name not in self._contents:
            raise HttpProblem(404, "No such file.", code="NOT_FOUND")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(self._contents[name], headers=_KEEP, media_type=kind)


def _package_folder() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"GraphiQL needs the package {_PACKAGE}.")
    return Path(spec.origin).parent
