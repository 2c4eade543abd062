"""Messages on the way from a page of an upstream to a page of ours: dated, in order, each once.

Welkin's own guidance is to expect odd items; one of them never costs a page. An item without an id
cannot be shown or found again and is dropped. One without a readable time keeps its place and takes
the time of its nearest neighbour on the page, the older one first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.domain.errors import UpstreamBadResponse
from gateway.domain.model import Message
from gateway.welkin.fields import Record, record


@dataclass(frozen=True, slots=True)
class Draft:
    """A message whose time may still be missing: ``message.created_at`` counts only if ``dated``."""

    message: Message
    dated: bool


def read_drafts(items: Sequence[object], translate: Callable[[Record], Draft | None]) -> list[Draft]:
    """Translate the items that can be, in their order; an id that comes twice counts once.

    Raises:
        UpstreamBadResponse: there are items, and none of them is a message.
    """
    drafts: dict[str, Draft] = {}
    for item in items:
        fields = record(item)
        draft = translate(fields) if fields is not None else None
        if draft is not None:
            drafts.setdefault(draft.message.external_id, draft)
    if items and not any(draft.dated for draft in drafts.values()):
        raise UpstreamBadResponse("No item of Welkin's answer is a message.")
    return list(drafts.values())


def newest_first(drafts: Sequence[Draft]) -> tuple[Message, ...]:
    """Date and sort drafts that are already roughly newest first; ties keep their order."""
    dated: list[Message] = []
    time = next((draft.message.created_at for draft in reversed(drafts) if draft.dated), None)
    for draft in reversed(drafts):  # from the oldest on, so that the last time seen is the older neighbour's
        if draft.dated or time is None:
            time = draft.message.created_at
            dated.append(draft.message)
        else:
            dated.append(replace(draft.message, created_at=time))
    dated.sort(key=_created_at)
    return tuple(reversed(dated))


def trend(drafts: Sequence[Draft]) -> int:
    """Tell which way the times run: 1 towards newer, -1 towards older, 0 if they do not tell."""
    times = [draft.message.created_at for draft in drafts if draft.dated]
    if not times or times[0] == times[-1]:
        return 0
    return 1 if times[0] < times[-1] else -1


def _created_at(message: Message) -> datetime:
    return message.created_at
