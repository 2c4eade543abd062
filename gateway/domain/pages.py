"""Pages of a conversation as an upstream hands them out, and the ways to ask for one.

Upstreams page in two ways, and the walk (``paging``) knows both, without knowing versions:

* *linked*: a page names its neighbours by opaque tokens (Welkin v1);
* *numbered*: pages are counted from one end of the list (Welkin v2). Counted from the newest
  message, every arrival pushes messages deeper; counted from the oldest, pages stay put.

Whatever the upstream's own order, ``Page.messages`` is newest first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.domain.model import Message, PatientRecord


@dataclass(frozen=True, slots=True)
class Newest:
    """The page that ends with the newest message there is when it is read."""


@dataclass(frozen=True, slots=True)
class Linked:
    """The page that an upstream token names. The token is carried byte for byte.

    ``local`` says that the pages behind it tell the times of Welkin's own store, which run up to
    1.2 s behind those of the usual list (v1, recorded): such times name no place exactly.
    """

    token: str
    local: bool = False


@dataclass(frozen=True, slots=True)
class Numbered:
    """Page ``number`` (from 0) of pages of ``size``, counted from the newest or the oldest message."""

    number: int
    size: int
    oldest_first: bool = False

    def step_older(self, pages: int) -> Numbered | None:
        """Give the place that many pages towards older messages (negative: newer); None before page 0.

        >>> Numbered(3, 50).step_older(2).number, Numbered(3, 50, oldest_first=True).step_older(2).number
        (5, 1)
        """
        number = self.number - pages if self.oldest_first else self.number + pages
        return Numbered(number, self.size, self.oldest_first) if number >= 0 else None


PageRef: TypeAlias = Newest | Linked | Numbered


@dataclass(frozen=True, slots=True)
class Page:
    """Neighbouring messages of one conversation, newest first, as read in one piece.

    ``ref`` asks for this same place again; it is ``Newest`` only where the upstream has no
    lasting name for the page. ``older`` and ``newer`` are the adjoining places; ``None`` says that
    there is nothing on that side. A page may be empty and still have neighbours.

    ``beside`` is for pages of search hits: by a message's id, the pages of its conversation that
    adjoin it, as far as the upstream names them. A hit that is a key of it, be it with no pages,
    tells the time of Welkin's own store.
    """

    ref: PageRef
    messages: tuple[Message, ...]
    older: PageRef | None
    newer: PageRef | None
    beside: Mapping[str, tuple[PageRef, ...]] = field(default_factory=dict[str, tuple[PageRef, ...]])


@dataclass(frozen=True, slots=True)
class PatientPage:
    """Neighbouring records of the list of patients, in the upstream's order; refs as in ``Page``."""

    ref: Numbered
    patients: tuple[PatientRecord, ...]
    following: Numbered | None
