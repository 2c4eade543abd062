"""What a caller asks of a conversation, and what it gets: a window on it with a cursor to each message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateway.domain.errors import BadInput
from gateway.domain.model import Message, PatientRecord

DEFAULT_PAGE = 50
MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages of a conversation are looked at.

    ``since`` leaves messages strictly newer than this instant; ``include_archived`` matters only
    where the upstream knows of archiving.
    """

    since: datetime | None = None
    include_archived: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """The Relay arguments: ``first``/``after`` go to older messages, ``last``/``before`` to newer ones."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    def check(self) -> None:
        """Refuse what the contract refuses.

        Raises:
            BadInput: ``first`` together with ``last``, a negative count, or one over 200.
        """
        if self.first is not None and self.last is not None:
            raise BadInput("Give either first or last, not both.")
        for name, count in (("first", self.first), ("last", self.last)):
            if count is not None and not 0 <= count <= MAX_PAGE:
                raise BadInput(f"{name} must be between 0 and {MAX_PAGE}.")


@dataclass(frozen=True, slots=True)
class Edge:
    """A message and the cursor that finds it again."""

    cursor: str
    message: Message

    def __hash__(self) -> int:
        """Go by the cursor, which is the message's own."""
        return hash(self.cursor)


@dataclass(frozen=True, slots=True)
class Connection:
    """A window on a conversation, newest first. The flags are true exactly when there is something there."""

    edges: tuple[Edge, ...]
    has_next_page: bool
    has_previous_page: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that a search found.

    ``cursor`` continues the search; ``place`` is a cursor of the message's own conversation.
    """

    cursor: str
    message: Message
    place: str


@dataclass(frozen=True, slots=True)
class Hits:
    """A window on the hits of a search, newest first."""

    hits: tuple[Hit, ...]
    has_next_page: bool
    has_previous_page: bool


@dataclass(frozen=True, slots=True)
class Patients:
    """A window on the list of patients, in the upstream's order, with a cursor to each."""

    edges: tuple[tuple[str, PatientRecord], ...]
    has_next_page: bool
    has_previous_page: bool
