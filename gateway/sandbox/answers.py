"""A request as operations see it, an answer before it is sent, and a refusal in no version's shape yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.sandbox.faults import Fault

JSON = "application/json"
"""Without a charset (R)."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: decoded path parts and query, the raw body, and the fault that strikes it, if any."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with a whole body, or with one that is made piece by piece."""

    status: int
    body: bytes = b""
    content_type: str | None = JSON
    headers: tuple[tuple[str, str], ...] = ()
    chunks: Iterator[bytes] | None = None


class Refused(Exception):
    """A request that is answered with an error; each version gives it its own shape."""

    def __init__(
        self,
        status: int,
        code: str,
        component: str,
        details: Mapping[str, Any] | None = None,
        *,
        dated: bool = True,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Keep what the answer says; v1's 403s were recorded without a date (R)."""
        super().__init__(code)
        self.status = status
        self.code = code
        self.component = component
        self.details = dict(details or {})
        self.dated = dated
        self.headers = headers


def json_answer(value: Any, status: int = 200) -> Answer:
    """Answer with JSON."""
    return Answer(status, msgspec.json.encode(value))


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object out of a request.

    Raises:
        Refused: 400, the body is something else.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise Refused(400, "MALFORMED_JSON", "COMMON") from exc


def read_text(fields: Mapping[str, Any], name: str, longest: int) -> str:
    """Read a text that says something.

    Raises:
        Refused: 400, it is missing, blank, too long or not text.
    """
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        raise bad_value(name)
    return value


def read_count(query: Mapping[str, Any], name: str, default: int, least: int) -> int:
    """Read a whole number out of a query string or a JSON object.

    Raises:
        Refused: 400, it is no number or too small.
    """
    value = query.get(name)
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON knows one kind of number
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 10**MAX_DIGITS:
        raise bad_value(name)
    return value


def read_flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Read a boolean in any case of letters: ``True`` was sent and accepted (R).

    Raises:
        Refused: 400, it is neither true nor false.
    """
    value = query.get(name, "").casefold()
    if not value:
        return default
    if value not in {"true", "false"}:
        raise bad_value(name)
    return value == "true"


def bad_value(name: str) -> Refused:
    """Refuse a parameter by its name."""
    return Refused(400, "VALIDATION_ERROR", "COMMON", {"field": name})


MAX_DIGITS = 9
"""Longest whole number that is read; more is a mistake."""
