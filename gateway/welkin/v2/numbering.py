"""Where numbered pages end: decided from what the answers say, without I/O.

Pages are counted from 0, from the newest message or from the oldest; which of the two makes no
difference here. What differs between servers is what they tell: totals, a flag on the last page, the
page size they really use, or nothing but items. Where nothing is told, only an empty page is the end.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from gateway.domain.errors import UpstreamBadResponse
from gateway.domain.pages import Numbered

MAX_PROBES = 48
"""Doubling passes a million pages after 20 probes and bisects them in 20 more; the rest is for arrivals."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the answer for one page tells about the whole list; None is unsaid.

    ``honoured`` says that a page shorter than ``size`` can only be the last one.
    """

    count: int
    size: int
    honoured: bool = False
    total: int | None = None
    pages: int | None = None
    last: bool | None = None


def is_last(number: int, seen: Seen) -> bool | None:
    """Tell whether there is nothing beyond this page; None where only the next page can tell.

    >>> is_last(1, Seen(count=2, size=5, total=7)), is_last(1, Seen(count=2, size=5))
    (True, None)
    """
    if seen.count == 0:
        known_end = _last_by_totals(seen)
        return known_end is None or number >= known_end
    if seen.total is not None and number * seen.size + seen.count <= seen.total:
        return number * seen.size + seen.count == seen.total
    if seen.pages is not None and number < seen.pages:
        return number + 1 == seen.pages
    if seen.last is not None:
        return seen.last
    return True if seen.honoured and seen.count < seen.size else None


def neighbours(at: Numbered, seen: Seen) -> tuple[Numbered | None, Numbered | None]:
    """Give the places on the older and on the newer side of a page that was read."""
    beyond = None if is_last(at.number, seen) else Numbered(at.number + 1, at.size, at.oldest_first)
    before = Numbered(at.number - 1, at.size, at.oldest_first) if at.number else None
    known_end = _last_by_totals(seen)
    if seen.count == 0 and before is not None and known_end is not None:
        before = Numbered(min(before.number, known_end), at.size, at.oldest_first)
    return (before, beyond) if at.oldest_first else (beyond, before)


def resized(at: Numbered, size: int) -> Numbered:
    """Give the page of another size that holds the newest message of this one.

    Who reads on towards older messages then misses none of it, whichever end is counted from.

    >>> resized(Numbered(3, 100), 50).number, resized(Numbered(1, 50), 20).number
    (6, 2)
    >>> resized(Numbered(2, 100, oldest_first=True), 50).number
    5
    """
    newest = at.number * at.size + (at.size - 1 if at.oldest_first else 0)
    return Numbered(newest // size, size, at.oldest_first)


def find_last_page(start: int) -> Generator[int, Seen, int]:
    """Find the last page that has messages: yields page numbers, is sent what was seen, returns its number.

    Totals are followed where they are given; else page numbers double until one is empty, and the gap is
    bisected. ``start`` is a guess. An empty page that was seen before the last full one is looked at
    again, since messages may have arrived meanwhile. Page 0 stands for an empty list.

    Raises:
        UpstreamBadResponse: there is no end to the pages.
    """
    low, high = -1, None  # the highest page seen with messages, and the lowest seen without
    low_at, high_at = -1, -1  # which probe saw them
    number, step = start, 1
    for probe in range(MAX_PROBES):
        seen = yield number
        if seen.count:
            low, low_at = number, probe
            high = None if high is not None and high <= low else high
            if is_last(number, seen):
                return low
        else:
            high, high_at = number, probe
        if high is not None and high - low == 1:
            if high_at > low_at:
                return max(low, 0)
            number = high
        elif (known := _last_by_totals(seen)) is not None and low < known < (high or known + 1):
            number = known
        elif high is None:
            number, step = low + step, step * 2
        else:
            number = (low + high) // 2
    raise UpstreamBadResponse("Welkin's pages do not end (list messages).")


def _last_by_totals(seen: Seen) -> int | None:
    if seen.total is not None:
        return max(0, -(-seen.total // seen.size) - 1)
    return max(0, seen.pages - 1) if seen.pages is not None else None
