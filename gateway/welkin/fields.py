"""Tolerant readers of decoded JSON: each gives the value in the type asked for, or None, and never raises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn, TypeAlias, cast

import orjson

from gateway.domain.errors import UpstreamBadResponse

Record: TypeAlias = Mapping[str, object]


_MAX_ID = 512
_LARGEST_NUMBER = 10**30


def decode(body: bytes, operation: str) -> object:
    """Decode a JSON body.

    A text cut inside an emoji leaves half a surrogate pair behind, which strict decoders refuse; it
    becomes U+FFFD here, so that one such message does not hide its whole page.

    Raises:
        UpstreamBadResponse: it is not JSON in UTF-8.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"\\ud" in body.lower():
            return _decode_with_surrogates(body, operation)
        raise UpstreamBadResponse(f"Welkin's answer is not JSON ({operation}).") from error


def _decode_with_surrogates(body: bytes, operation: str) -> object:
    try:
        value = json.loads(body.decode(), parse_constant=_refuse)
        text = json.dumps(value, ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        raise UpstreamBadResponse(f"Welkin's answer is not JSON ({operation}).") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def record(value: object) -> Record | None:
    """Give a JSON object as it is."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def items(value: object) -> list[object] | None:
    """Give a JSON array as it is."""
    return cast("list[object]", value) if isinstance(value, list) else None


def text(value: object) -> str | None:
    """Give a text; empty or blank is as good as none.

    >>> text(" "), text(7), text("Ada")
    (None, None, 'Ada')
    """
    return value if isinstance(value, str) and value.strip() else None


def count(value: object) -> int | None:
    """Give a whole number that is not negative."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def flag(value: object) -> bool | None:
    """Give a boolean."""
    return value if isinstance(value, bool) else None


def identifier(value: object) -> str | None:
    """Give an id: a text, or a number that stands for one. Nothing that long is one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < _LARGEST_NUMBER else None
    found = text(value)
    return found if found is not None and len(found) <= _MAX_ID else None


def first_text(source: Record, *names: str) -> str | None:
    """Give the first of these fields that holds a text."""
    return next((found for name in names if (found := text(source.get(name))) is not None), None)


def first_identifier(source: Record, *names: str) -> str | None:
    """Give the first of these fields that holds an id."""
    return next((found for name in names if (found := identifier(source.get(name))) is not None), None)
