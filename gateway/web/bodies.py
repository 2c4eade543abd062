"""Read a request's body with a limit on its size and on its time, never more than that at once."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from gateway.web.answers import JSON, HttpProblem

_CUT = {"Connection": "close"}
"""What is left of the body is not read, so the connection cannot serve another request."""


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """Read the body.

    Raises:
        HttpProblem: it is too large (before it is read whole), too slow, or broke off.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            return await _collect(request, limit)
    except TimeoutError:
        raise HttpProblem(408, "The request's body took too long to arrive.", headers=_CUT) from None
    except ClientDisconnect:
        raise HttpProblem(400, "The request broke off.", headers=_CUT) from None


async def _collect(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> HttpProblem:
    return HttpProblem(
        413, f"The request's body must be at most {limit} bytes.", code="LIMIT_EXCEEDED", headers=_CUT
    )


def is_json(content_type: str) -> bool:
    """Tell whether a Content-Type is JSON in UTF-8, exactly.

    >>> is_json("application/json; charset=utf-8"), is_json("application/json-seq"), is_json("")
    (True, False, False)
    """
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() != JSON:
        return False
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in {"utf-8", "utf8"}:
            return False
    return True


def read_json(body: bytes | str, what: str) -> Any:
    """Read JSON.

    Raises:
        HttpProblem: it is none, not UTF-8, or nested too deeply; the text names ``what`` alone.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise HttpProblem(400, f"{what} must be valid JSON in UTF-8.") from None
