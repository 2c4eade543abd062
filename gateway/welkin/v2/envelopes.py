"""The envelope of a v2 list, whichever it is: no page documents it, so every shape near it is read.

Its three sister resources are documented with three envelopes; a fourth and fifth are recorded on v1;
more are common elsewhere (D2, R, A)::

    {"data": [...], "metaInfo": {"page", "pageSize", "totalElements"}}     Calls
    {"data": [...]}                                                        SMS, Email
    {"content": [...], "totalElements", "totalPages", "page", "size"}      unrecognised SMS and calls
    {"content": [...], "pageable": {...}, "last", "totalElements", ...}    Spring, as v1's collections
    {"name": ..., "data": {"content": [...], ...}}                         v1 document summaries
    {"meta": {...}, "content": [...]}                                      v1 chat
    {"messages" | "items" | "results": [...]}, and a bare array
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.domain.errors import UpstreamBadResponse
from gateway.welkin.fields import Record, count, flag, items, record

ITEMS = ("data", "content", "messages", "items", "results")
META = ("metaInfo", "meta", "page", "pageable", "pagination")
SIZE = ("pageSize", "size")
TOTAL = ("totalElements", "total", "totalCount")
PAGES = ("totalPages",)
LAST = ("last", "lastPage")
MORE = ("hasMore", "hasNext", "hasNextPage")


@dataclass(frozen=True, slots=True)
class Envelope:
    """The items of a page, and what its answer says of the whole list; None is unsaid."""

    items: list[object]
    size: int | None = None
    total: int | None = None
    pages: int | None = None
    last: bool | None = None


def open_envelope(answer: object) -> Envelope:
    """Find the items and the totals.

    Raises:
        UpstreamBadResponse: there is no list in it.
    """
    bare = items(answer)
    if bare is not None:
        return Envelope(bare)
    outer = record(answer)
    inner = record(outer.get("data")) if outer is not None else None
    for level in (outer, inner):
        found = _find_items(level) if level is not None else None
        if found is not None:
            return _with_totals(found, [level for level in (outer, inner) if level is not None])
    raise UpstreamBadResponse("Welkin's answer is not a page of messages.")


def _find_items(level: Record) -> list[object] | None:
    return next((found for name in ITEMS if (found := items(level.get(name))) is not None), None)


def _with_totals(found: list[object], levels: list[Record]) -> Envelope:
    sources = [*levels]
    for level in levels:
        sources += [meta for name in META if (meta := record(level.get(name))) is not None]
    more = _first_flag(sources, MORE)
    last = _first_flag(sources, LAST)
    return Envelope(
        items=found,
        size=_first_count(sources, SIZE) or None,
        total=_first_count(sources, TOTAL),
        pages=_first_count(sources, PAGES),
        last=last if last is not None else (None if more is None else not more),
    )


def _first_count(sources: Iterable[Record], names: Iterable[str]) -> int | None:
    names = tuple(names)
    values = (count(source.get(name)) for source in sources for name in names)
    return next((value for value in values if value is not None), None)


def _first_flag(sources: Iterable[Record], names: Iterable[str]) -> bool | None:
    names = tuple(names)
    values = (flag(source.get(name)) for source in sources for name in names)
    return next((value for value in values if value is not None), None)
