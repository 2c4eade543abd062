"""Which kind of answer a client wants, read from its Accept header."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.web.answers import GRAPHQL_JSON, JSON

EVENT_STREAM = "text/event-stream"
_HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Accepted:
    """One entry of an Accept header."""

    kind: str
    quality: float


def read_accept(header: str) -> list[Accepted]:
    """Read an Accept header; what cannot be read is left out.

    >>> read_accept("text/html, */*;q=0.5")
    [Accepted(kind='text/html', quality=1.0), Accepted(kind='*/*', quality=0.5)]
    """
    entries: list[Accepted] = []
    for part in header.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        qualities = [value for value in map(_quality, parameters) if value is not None]
        if kind:
            entries.append(Accepted(kind, qualities[0] if qualities else 1.0))
    return entries


def _quality(parameter: str) -> float | None:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return None
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0


def pick_json(header: str | None) -> str | None:
    """Choose between the two JSON media types; None where the client takes neither.

    Clients that say nothing are older than ``application/graphql-response+json``.

    >>> pick_json(None), pick_json("application/json;q=0.5, */*"), pick_json("image/png")
    ('application/json', 'application/graphql-response+json', None)
    """
    if not (header or "").strip():
        return JSON
    accepted = read_accept(header or "")
    order = {entry.kind: -place for place, entry in enumerate(reversed(accepted))}
    best = max(
        (JSON, GRAPHQL_JSON),
        key=lambda kind: (_quality_of(accepted, kind), kind in order, -_place_of(accepted, kind)),
    )
    return best if _quality_of(accepted, best) > 0 else None


def takes_stream(header: str | None) -> bool:
    """Tell whether the client would take an event stream at all."""
    return not (header or "").strip() or _quality_of(read_accept(header or ""), EVENT_STREAM) > 0


def prefers_stream(header: str | None) -> bool:
    """Tell whether an event stream is what the client wants most.

    urql lists it last in every request, and means "if it must be".

    >>> prefers_stream("text/event-stream"), prefers_stream("application/json, text/event-stream")
    (True, False)
    """
    accepted = read_accept(header or "")
    best = max(accepted, key=lambda entry: entry.quality, default=None)
    return best is not None and best.kind == EVENT_STREAM and best.quality > 0


def wants_page(header: str | None) -> bool:
    """Tell whether a browser asks for a page."""
    return any(entry.kind == _HTML and entry.quality > 0 for entry in read_accept(header or ""))


def _quality_of(accepted: list[Accepted], kind: str) -> float:
    """Give the quality of the most specific entry that covers the kind."""
    for pattern in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        for entry in accepted:
            if entry.kind == pattern:
                return entry.quality
    return 0.0


def _place_of(accepted: list[Accepted], kind: str) -> int:
    kinds = [entry.kind for entry in accepted]
    return kinds.index(kind) if kind in kinds else len(kinds)
