"""What a run writes down, for the checker: what is true, and what was shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from benchmarks.ledger.scenario import Api


@dataclass(slots=True)
class Truth:
    """The conversations as they are upstream. Positions count from 1, oldest message first."""

    ids: dict[tuple[Api, str], list[str]] = field(default_factory=dict)
    """By version and patient: the ids of the messages."""
    acknowledged: dict[tuple[Api, str, int], float] = field(default_factory=dict)
    """By version, patient and position: when the gateway first took the message's webhook (2xx)."""

    def positions(self) -> dict[tuple[Api, str], tuple[str, int]]:
        """Give the patient and the position of every id."""
        return {
            (api, each): (patient, position)
            for (api, patient), ids in self.ids.items()
            for position, each in enumerate(ids, 1)
        }


@dataclass(slots=True)
class Line:
    """One subscriber's cursor line: what it was shown, over all its connections."""

    name: str
    patient: str
    api: Api
    start: int | None
    """The position behind which it begins; None for one that began at what was then the present."""
    events: list[tuple[float, str]] = field(default_factory=list)
    """When (monotonic seconds), and the message's id."""
    ends: list[str] = field(default_factory=list)
    """Why its connections ended."""


@dataclass(frozen=True, slots=True)
class PageSeen:
    """One page of a walk, newest message first."""

    ids: tuple[str, ...]
    has_next: bool
    has_previous: bool
    known: int
    """The position up to which the page must know of messages: listed long enough before it was asked for."""


@dataclass(slots=True)
class Walk:
    """A walk through a conversation, to older or to newer messages, page by page."""

    name: str
    patient: str
    api: Api
    towards: Literal["older", "newer"]
    start: int | None = None
    """Where a walk to newer messages begins: behind this position."""
    pages: list[PageSeen] = field(default_factory=list)
    whole: bool = False
    """Whether it came to its end before the run did."""
    refused: str = ""
    """The code of an error that asking again does not mend."""
