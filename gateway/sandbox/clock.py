"""The sandbox's time: the machine's, or a test's, with an offset that can be moved forward."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def machine_time() -> datetime:
    """Give the time of the machine, in UTC."""
    return datetime.now(UTC)


class Clock:
    """A source of time that `advance` pushes into the future, for tests of expiry and lag."""

    def __init__(self, source: Callable[[], datetime] = machine_time) -> None:
        self._source = source
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Give the present, in UTC."""
        return self._source() + self._ahead

    def now_ms(self) -> int:
        """Give the present in milliseconds since 1970."""
        return to_ms(self.now())

    def from_now(self, seconds: float) -> datetime:
        """Give a moment some seconds from now."""
        return self.now() + timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        """Move the present forward."""
        self._ahead += timedelta(seconds=seconds)

    def reset(self) -> None:
        """Go back to the source's time."""
        self._ahead = timedelta()


def to_ms(moment: datetime) -> int:
    """Count whole milliseconds since 1970.

    >>> to_ms(datetime(1970, 1, 1, 0, 0, 1, 999, tzinfo=UTC))
    1000
    """
    return (moment - EPOCH) // MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """Give the moment that many milliseconds after 1970."""
    return EPOCH + milliseconds * MILLISECOND


def iso_ms(milliseconds: int) -> str:
    """Write a moment with three decimals and ``Z``, as v1 always does (D1, R).

    >>> iso_ms(1_001)
    '1970-01-01T00:00:01.001Z'
    """
    moment = from_ms(milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
