"""The two scalars of the schema: an instant in UTC with milliseconds, and a calendar date."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import strawberry
from strawberry.types.scalar import ScalarDefinition

from gateway.domain.errors import BadInput, Internal

_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,12}))?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def write_instant(instant: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC with milliseconds.

    >>> write_instant(datetime(2021, 3, 5, 16, 9, 52, 655000, tzinfo=UTC))
    '2021-03-05T16:09:52.655Z'
    """
    if instant.tzinfo is None:
        raise Internal("An instant without an offset reached the schema.")
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def read_instant(value: object) -> datetime:
    """Read an RFC 3339 instant with any offset.

    Raises:
        BadInput: it is not one, or has no offset; the text never shows the value.

    >>> read_instant("2021-03-05T17:09:52.655+01:00").isoformat()
    '2021-03-05T16:09:52.655000+00:00'
    """
    match = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadInput("A DateTime must be RFC 3339 with an offset, like 2021-03-05T16:09:52.655Z.")
    day, clock, fraction, offset = match.groups()
    # Python 3.11 reads up to six digits of a second; what is finer is cut off.
    micros = (fraction or "0")[:6].ljust(6, "0")
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{micros}{offset.upper()}").astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise BadInput("A DateTime must name an instant that exists.") from exc


def write_date(day: date) -> str:
    """Write a date as YYYY-MM-DD."""
    return day.isoformat()


def read_date(value: object) -> date:
    """Read YYYY-MM-DD.

    Raises:
        BadInput: it is not a date of this form.

    >>> read_date("1980-02-29")
    datetime.date(1980, 2, 29)
    """
    if not isinstance(value, str) or _DATE.fullmatch(value) is None:
        raise BadInput("A Date must have the form YYYY-MM-DD.")
    try:
        return date.fromisoformat(value)
    except ValueError as exc:
        raise BadInput("A Date must name a day that exists.") from exc


def scalar_map() -> dict[object, ScalarDefinition]:
    """Give the Python types that stand for our scalars."""
    return {
        datetime: strawberry.scalar(
            name="DateTime",
            description="An instant in UTC, RFC 3339 with milliseconds: 2021-03-05T16:09:52.655Z",
            serialize=write_instant,
            parse_value=read_instant,
        ),
        date: strawberry.scalar(
            name="Date",
            description="A calendar date, YYYY-MM-DD",
            serialize=write_date,
            parse_value=read_date,
        ),
    }
