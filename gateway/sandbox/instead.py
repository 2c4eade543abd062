"""The answers that faults give in place of an operation, and those that hide what an operation did."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from email.utils import format_datetime

from gateway.sandbox.answers import JSON, Answer, Refused
from gateway.sandbox.clock import Clock
from gateway.sandbox.faults import INSTEAD, STORED, Fault

HTML = "text/html"
BLOCK = 256 * 1024
HUGE_BYTES = 64 * 1024 * 1024
"""Size of huge bodies unless the fault says otherwise: far beyond any page of messages."""

PLAIN_ERRORS = {
    "bad_request": (400, "BAD_REQUEST", "COMMON"),
    "forbidden": (403, "ACCESS_DENIED", "AUTH"),
    "not_found": (404, "PATIENT_NOT_FOUND", "PATIENT"),
    "gone": (410, "GONE", "COMMON"),
    "server_error": (500, "UNKNOWN_ERROR", "COMMON"),
    "stored_error": (500, "UNKNOWN_ERROR", "COMMON"),
}

PAGES = {
    "bad_gateway": Answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>", HTML),
    "gateway_timeout": Answer(504, b"<html><head><title>504 Gateway Time-out</title></head></html>", HTML),
    "hang": Answer(504, b"", None),
    "html": Answer(200, b"<!doctype html><html><body>Scheduled maintenance</body></html>", HTML),
    "no_content": Answer(204, b"", None),
    "reset": Answer(500, b"", None),
    "stored_hang": Answer(504, b"", None),
    "stored_reset": Answer(500, b"", None),
    "wrong_json": Answer(200, b'"maintenance"', JSON),
}


def answer_instead(fault: Fault | None, clock: Clock, write: Callable[[Refused], Answer]) -> Answer | None:
    """Give the answer of a fault; None where the operation's own answer goes out."""
    if fault is None or fault.name not in INSTEAD | STORED:
        return None
    if fault.name in PLAIN_ERRORS:
        return write(Refused(*PLAIN_ERRORS[fault.name]))
    return PAGES.get(fault.name) or _made(fault, clock, write)


def _made(fault: Fault, clock: Clock, write: Callable[[Refused], Answer]) -> Answer:
    size = int(fault.number("bytes", HUGE_BYTES))
    match fault.name:
        case "unauthorized":
            return write(Refused(401, fault.text("code", "TOKEN_EXPIRED"), "AUTH"))
        case "rate_limited":
            return write(Refused(429, "TOO_MANY_REQUESTS", "COMMON", headers=_retry_after(fault, clock)))
        case "unavailable" | "body" | "redirect":
            return _as_told(fault, clock)
        case "gzip_bomb":
            return Answer(200, headers=(("content-encoding", "gzip"),), chunks=_zipped(size))
        case _:
            return Answer(200, chunks=_huge(size))


def _as_told(fault: Fault, clock: Clock) -> Answer:
    match fault.name:
        case "unavailable":
            return Answer(503, b"", None, _retry_after(fault, clock))
        case "redirect":
            location = fault.text("location", "http://elsewhere.invalid/")
            return Answer(int(fault.number("status", 302)), b"", None, (("location", location),))
        case _:
            text = fault.text("text", "{}").encode(fault.text("encoding", "utf-8"))
            return Answer(int(fault.number("status", 200)), text)


def _retry_after(fault: Fault, clock: Clock) -> tuple[tuple[str, str], ...]:
    """Write ``Retry-After`` in one of its two forms, where the fault asks for it; Welkin sends none (R)."""
    if "retry_date" in fault.args:
        later = clock.from_now(fault.number("retry_date", 1))
        return (("retry-after", format_datetime(later, usegmt=True)),)
    if "retry_after" in fault.args:
        return (("retry-after", f"{fault.number('retry_after', 1):g}"),)
    return ()


def _huge(size: int) -> Iterator[bytes]:
    """Make one JSON text of about ``size`` bytes."""
    yield b'{"data":["'
    for _ in range(max(size // BLOCK, 1)):
        yield b"x" * BLOCK
    yield b'"]}'


def _zipped(size: int) -> Iterator[bytes]:
    packer = zlib.compressobj(level=6, wbits=31)
    for block in _huge(size):
        packed = packer.compress(block)
        if packed:
            yield packed
    yield packer.flush()
