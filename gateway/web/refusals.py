"""Answers to what is no request that could be served: the bytes, since nothing above has seen any of it."""

from __future__ import annotations

from http import HTTPStatus

import orjson

from gateway.domain.errors import BadInput

_WORDS = {
    400: "The request is not valid HTTP.",
    408: "The request took too long to arrive.",
    431: "The request's head is too large.",
}


def refusal(status: int) -> bytes:
    """Give a whole answer with one of these statuses; the connection ends with it.

    >>> refusal(408).splitlines()[0]
    b'HTTP/1.1 408 Request Timeout'
    """
    body = orjson.dumps({"errors": [{"message": _WORDS[status], "extensions": {"code": BadInput.code}}]})
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        "content-type: application/json\r\ncache-control: no-store\r\n"
        f"x-content-type-options: nosniff\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
