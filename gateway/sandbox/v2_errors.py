"""v2's errors. No page documents them: v1's list is assumed, and every other habit is on a knob (A)."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.sandbox.answers import JSON, Answer, Refused
from gateway.sandbox.clock import Clock, iso_ms
from gateway.sandbox.knobs import ErrorShape
from gateway.sandbox.v1_shapes import error_list


def error(refused: Refused, clock: Clock, shape: ErrorShape) -> Answer:
    """Write an error in the shape that the knob names."""
    match shape:
        case "empty":
            return Answer(refused.status, content_type=None, headers=refused.headers)
        case "html":
            page = f"<html><body><h1>{refused.status}</h1></body></html>"
            return Answer(refused.status, page.encode(), "text/html", headers=refused.headers)
        case "problem":
            return _written(refused, _body(refused, clock, shape), "application/problem+json")
        case _:
            return _written(refused, _body(refused, clock, shape), JSON)


def _written(refused: Refused, body: Any, content_type: str) -> Answer:
    return Answer(refused.status, msgspec.json.encode(body), content_type, headers=refused.headers)


def _body(refused: Refused, clock: Clock, shape: ErrorShape) -> Any:
    code, status = refused.code, refused.status
    text = code.replace("_", " ").capitalize()
    bodies: dict[ErrorShape, Any] = {
        "list": error_list(refused, clock),
        "object": error_list(refused, clock)[0],
        "errors": {"errors": [{"status": str(status), "code": code, "title": text, "detail": text}]},
        "error_message": {"error": code, "message": text},
        "code_message": {"code": code, "message": text},
        "spring": {"timestamp": iso_ms(clock.now_ms()), "status": status, "error": text, "path": "/"},
        "problem": {"type": "about:blank", "title": text, "status": status},
        "message": {"message": text},
    }
    return bodies[shape]
