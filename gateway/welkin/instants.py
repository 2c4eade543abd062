"""Points in time in every form that an answer of Welkin may give them in."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

_MILLISECONDS_FROM = 1e11
"""An epoch number above this counts milliseconds: as seconds it would be the year 5138."""
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_LATEST_EPOCH = 253_402_300_799
"""The last second of the year 9999."""


def read_instant(value: object) -> datetime | None:
    """Read RFC 3339 with any number of decimals, or an epoch in seconds or milliseconds, or None.

    The result is in UTC, cut to milliseconds. A time without an offset is taken as UTC, in which Welkin
    gives all of its times (R, D2).

    >>> read_instant("2021-03-05T18:09:52.655999+02:00").isoformat(timespec="milliseconds")
    '2021-03-05T16:09:52.655+00:00'
    >>> read_instant(1614960592655) == read_instant("2021-03-05T16:09:52.655Z")
    True
    """
    if isinstance(value, str):
        return _from_text(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(float(value))
    return None


def read_message_time(value: object) -> datetime | None:
    """Read a message's time; sentinels such as the years 1 and 9999 are none.

    >>> read_message_time("9999-12-31T23:59:59Z") is None
    True
    """
    found = read_instant(value)
    return found if found is not None and _FIRST_YEAR <= found.year <= _LAST_YEAR else None


def read_date(value: object) -> date | None:
    """Read the calendar date at the start of a text, without converting time zones.

    >>> read_date("1980-02-29T00:00:00.000Z")
    datetime.date(1980, 2, 29)
    """
    if not isinstance(value, str):
        return None
    try:
        return date.fromisoformat(value.strip()[:10])
    except ValueError:
        return None


def read_retry_after(value: str | None, now: float) -> float | None:
    """Read a Retry-After header in either form as seconds from now; None if it is absent or nonsense.

    >>> read_retry_after("120", now=0.0), read_retry_after("-3", now=0.0), read_retry_after("soon", now=0.0)
    (120.0, None, None)
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= len("999999999") else None
    try:
        when = parsedate_to_datetime(text)
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds)


def _from_text(text: str) -> datetime | None:
    if text.isascii() and text.isdigit() and len(text) <= len("1614960592655"):
        return _from_epoch(float(text)) if len(text) >= len("161496059") else None
    if len(text) < len("2021-03-05T16:09:52"):
        return None
    try:
        when = datetime.fromisoformat(text)
        aware = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)


def _from_epoch(number: float) -> datetime | None:
    if not math.isfinite(number):
        return None
    milliseconds = math.floor(number if number > _MILLISECONDS_FROM else number * 1000)
    if not 0 < milliseconds <= _LATEST_EPOCH * 1000:
        return None
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
