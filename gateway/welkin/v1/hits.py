"""A page of v1 search hits into domain values, as pure functions.

A hit is a message and, in a ``meta`` of its own, two tokens for its conversation: ``next`` leads to what
is strictly older than it, ``prev`` to what is strictly newer, and it is on neither of the two pages (D1).
Both belong to the usual list, and its pages behind them come from Welkin's own store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.domain.errors import UpstreamBadResponse
from gateway.welkin.drafts import Draft
from gateway.welkin.fields import Record, record
from gateway.welkin.v1.translate import Listed, page_token, read_draft, read_page


@dataclass(frozen=True, slots=True)
class Found:
    """One page of hits, and by a message's id the tokens of the pages beside it, the older one first."""

    listed: Listed
    beside: Mapping[str, tuple[str, ...]]


def read_hits(answer: object, patient_id: str) -> Found:
    """Translate a page of a search.

    Raises:
        UpstreamBadResponse: it is not ``{"meta": {...}, "content": [...]}``, or holds no hit at all.
    """
    beside: dict[str, tuple[str, ...]] = {}

    def translate(item: Record) -> Draft | None:
        message = record(item.get("message"))
        draft = read_draft(message if message is not None else item, patient_id)
        if draft is not None:
            beside.setdefault(draft.message.external_id, tuple(_neighbours(item)))
        return draft

    return Found(read_page(answer, translate), beside)


def _neighbours(item: Record) -> Iterator[str]:
    meta = record(item.get("meta")) or {}
    for name in ("nextPageToken", "prevPageToken"):
        try:
            token = page_token(meta.get(name))
        except UpstreamBadResponse:
            continue  # an odd token costs the hit its neighbour, not the page its hits
        if token is not None:
            yield token
