"""v1's page tokens, exactly in the grammar of the published and recorded ones (section 3.5).

A token is padded base64 of compact JSON with its keys in a fixed order. There are three types::

    PROVIDER      a page of the provider's list; PT<m> is the position that the page starts from
    LOCAL_SEARCH  a page of search hits next to a border in Welkin's own time
    LOCAL_FIND    a page of the conversation next to such a border

Nothing in a token is signed or bound to a patient.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from gateway.sandbox.clock import iso_ms, to_ms

MAX_TOKEN_SIZE = 1000
"""Largest page size that a token may name: the provider's own limit in its older specification."""

_PROVIDER = re.compile(r"Order=desc&PageSize=([0-9]{1,4})&Page=([0-9]{1,9})&PageToken=PT([0-9]{1,9})")
_BORDER = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


@dataclass(frozen=True, slots=True)
class ProviderToken:
    """The page of ``size`` messages that starts at ``position`` and goes older; ``page`` only counts."""

    size: int
    page: int
    position: int


@dataclass(frozen=True, slots=True)
class SearchToken:
    """The hits next to a border: strictly older ones with ``before``, strictly newer ones without."""

    size: int
    border_ms: int
    query: str
    before: bool


@dataclass(frozen=True, slots=True)
class FindToken:
    """The messages next to a border: strictly older ones with ``before``, strictly newer ones without."""

    size: int
    border_ms: int
    before: bool


PageToken: TypeAlias = ProviderToken | SearchToken | FindToken


class BadPageToken(ValueError):
    """A text that is not a page token."""


def encode(token: PageToken) -> str:
    """Write a token.

    >>> encode(FindToken(5, 1893553445678, before=False))[:24]
    'eyJ0eXBlIjoiTE9DQUxfRklO'
    """
    return base64.b64encode(msgspec.json.encode(_fields(token))).decode()


def decode(text: str) -> PageToken:
    """Read a token, strictly.

    Raises:
        BadPageToken: the text is not padded base64 of one of the three types.

    >>> decode(encode(ProviderToken(2, 1, 2)))
    ProviderToken(size=2, page=1, position=2)
    """
    try:
        fields = msgspec.json.decode(base64.b64decode(text, validate=True), type=dict[str, Any])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as exc:
        raise BadPageToken("The text is not base64 of a JSON object.") from exc
    match fields:
        case {"type": "PROVIDER", "twilioToken": str(query), **rest} if not rest:
            return _read_provider(query)
        case {
            "type": "LOCAL_SEARCH",
            "pageSize": int(size),
            "borderDate": str(border),
            "query": str(query),
            "before": bool(before),
            **rest,
        } if not rest:
            return SearchToken(_size(size), _border(border), query, before)
        case {
            "type": "LOCAL_FIND",
            "pageSize": int(size),
            "borderDate": str(border),
            "before": bool(before),
            **rest,
        } if not rest:
            return FindToken(_size(size), _border(border), before)
        case _:
            raise BadPageToken("The object is none of the three types.")


def _fields(token: PageToken) -> dict[str, Any]:
    match token:
        case ProviderToken(size, page, position):
            query = f"Order=desc&PageSize={size}&Page={page}&PageToken=PT{position}"
            return {"type": "PROVIDER", "twilioToken": query}
        case SearchToken(size, border_ms, query, before):
            border = iso_ms(border_ms)
            return {
                "type": "LOCAL_SEARCH",
                "pageSize": size,
                "borderDate": border,
                "query": query,
                "before": before,
            }
        case FindToken(size, border_ms, before):
            return {
                "type": "LOCAL_FIND",
                "pageSize": size,
                "borderDate": iso_ms(border_ms),
                "before": before,
            }


def _read_provider(query: str) -> ProviderToken:
    found = _PROVIDER.fullmatch(query)
    if found is None:
        raise BadPageToken("The provider's part is not of the known form.")
    size, page, position = (int(group) for group in found.groups())
    return ProviderToken(_size(size), page, position)


def _size(size: int) -> int:
    if isinstance(size, bool) or not 1 <= size <= MAX_TOKEN_SIZE:
        raise BadPageToken("The page size is out of range.")
    return size


def _border(text: str) -> int:
    if _BORDER.fullmatch(text) is None:
        raise BadPageToken("The border is not a time in milliseconds.")
    try:
        return to_ms(datetime.fromisoformat(text).astimezone(UTC))
    except (ValueError, OverflowError) as exc:
        raise BadPageToken("The border is not a time.") from exc
