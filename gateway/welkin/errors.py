"""The one table from what Welkin answers to what callers are told.

Welkin's own words are never kept: of an error body only its codes are read, in whatever shape it comes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from http import HTTPStatus

import orjson

from gateway.domain.errors import (
    BadInput,
    Forbidden,
    GatewayError,
    NotFound,
    PageRefused,
    SendUnconfirmed,
    Unauthenticated,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.welkin.fields import Record, items, record
from gateway.welkin.instants import read_retry_after
from gateway.welkin.transport import Answer


class Asked(Enum):
    """What the request was, where that changes what a status means."""

    READ = auto()
    PAGE_BY_TOKEN = auto()
    SEND = auto()
    BY_CHAT_TOKEN = auto()


# Welkin status --> our error, for every request alike (field notes, 10.5)
BY_STATUS: Mapping[int, tuple[type[GatewayError], str]] = {
    400: (BadInput, "Welkin refused a value in the request"),
    401: (UpstreamUnavailable, "Welkin refused the gateway's credentials"),
    403: (Forbidden, "Welkin does not let the gateway do this"),
    404: (NotFound, "Welkin does not know what was asked for"),
    405: (BadInput, "Welkin refused the request"),
    406: (BadInput, "Welkin refused the request"),
    408: (UpstreamTimeout, "Welkin gave up waiting for the request"),
    409: (BadInput, "Welkin sees a conflict with what is there"),
    410: (NotFound, "What was asked for is gone from Welkin"),
    413: (BadInput, "Welkin refused the request as too large"),
    415: (BadInput, "Welkin refused the request"),
    416: (BadInput, "Welkin has no such part of the file"),
    422: (BadInput, "Welkin refused a value in the request"),
    429: (UpstreamRateLimited, "Welkin asks the gateway to slow down"),
}
_TOKEN_DIED = frozenset({400, 404, 410})
"""What a page token answers that Welkin no longer takes (N: 400; 404 and 410 assumed)."""
_CHAT_TOKEN_DIED = frozenset({401, 403, 404, 410})
"""What a patient's chat token answers that opens nothing (A: 401)."""
_UNTOUCHED = frozenset({307, 308})
"""Redirects that say by definition that the request was not acted upon."""
_LARGEST_READ = 64 * 1024
"""Bytes of an error body: looking through megabytes of it would keep the event loop for seconds."""
_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,79}")
_GATEWAYS_OWN = frozenset({"ORGANIZATION_NAME_NOT_FOUND"})
"""Codes that blame the gateway's configuration, not the caller's request (R)."""


def error_for(answer: Answer, operation: str, asked: Asked, now: float) -> GatewayError:
    """Give the error for an answer that is not a success."""
    codes = frozenset(error_codes(answer.body))
    kind, words = _kind(answer.status, codes, asked)
    message = f"{words}." if kind is Unauthenticated else f"{words} ({operation})."
    if kind is UpstreamRateLimited:
        return UpstreamRateLimited(message, read_retry_after(answer.retry_after, now))
    return kind(message)


def _kind(status: int, codes: frozenset[str], asked: Asked) -> tuple[type[GatewayError], str]:
    if codes & _GATEWAYS_OWN:
        return UpstreamUnavailable, "Welkin does not know the gateway's tenant"
    if asked is Asked.SEND and _leaves_a_send_open(status):
        return SendUnconfirmed, "Welkin's answer does not say whether the message was sent"
    missing = {code for code in codes if code.endswith("_NOT_FOUND")}
    if asked is Asked.BY_CHAT_TOKEN and (status in _CHAT_TOKEN_DIED or missing):
        return Unauthenticated, "The chat token opens no conversation"
    if asked is Asked.PAGE_BY_TOKEN and status in _TOKEN_DIED and "PATIENT_NOT_FOUND" not in missing:
        return PageRefused, "Welkin does not accept the page token any more"
    if status == HTTPStatus.BAD_REQUEST and missing:
        return BY_STATUS[HTTPStatus.NOT_FOUND]
    return BY_STATUS.get(status) or _by_class(status)


def _leaves_a_send_open(status: int) -> bool:
    if status == HTTPStatus.REQUEST_TIMEOUT:
        return True
    return (
        not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _UNTOUCHED
    )


def _by_class(status: int) -> tuple[type[UpstreamError], str]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UpstreamUnavailable, "Welkin failed"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return UpstreamBadResponse, "Welkin answered with a redirect, which is not followed"
    return UpstreamBadResponse, "Welkin answered with a status that it does not document"


def error_codes(body: bytes) -> list[str]:
    """Read the codes out of an error body of any known shape; anything else has none, nor has a huge one.

    Known are a list of objects with ``errorCode`` (R), one such object, ``{"errors": [...]}`` and
    ``{"error" | "code": ...}``, alone or nested one level.

    >>> error_codes(b'[{"errorCode":"TOKEN_EXPIRED","componentType":"AUTH","message":"..."}]')
    ['TOKEN_EXPIRED']
    >>> error_codes(b"<html>Bad Gateway</html>")
    []
    """
    if len(body) > _LARGEST_READ:
        return []
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    return [code for entry in _entries(value) for code in _codes(entry)]


def _entries(value: object) -> Iterator[Record]:
    for entry in items(value) or [value]:
        fields = record(entry)
        if fields is None:
            continue
        yield fields
        for name in ("errors", "error"):
            nested = fields.get(name)
            yield from filter(None, map(record, items(nested) or [nested]))


def _codes(entry: Record) -> Iterator[str]:
    for name in ("errorCode", "code", "error"):
        value = entry.get(name)
        if isinstance(value, str) and _CODE.fullmatch(value):
            yield value
