"""Places in a conversation that a walk can look for, as questions to a single message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from gateway.domain.model import Message
from gateway.domain.pages import PageRef

_CLOCKS_APART = timedelta(seconds=2)
"""How far two of Welkin's clocks may tell the time of one message apart (recorded: up to 1.106 s)."""

_SECOND = timedelta(seconds=1)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Position:
    """The place of one message: its id, its time, and the pages where to look for it first.

    ``foreign`` says that the id is of another version of the upstream: only the time holds here.
    ``local`` says that the time is that of Welkin's own store, which is later than the list's.
    """

    external_id: str
    time: datetime
    hints: tuple[PageRef, ...] = ()
    foreign: bool = False
    local: bool = False

    def __hash__(self) -> int:
        """Go by the message."""
        return hash(self.external_id)

    def hit(self, message: Message) -> bool:
        """Tell whether this is the message."""
        return not self.foreign and message.external_id == self.external_id

    def newer(self, message: Message) -> bool:
        """Tell whether the message is certainly on the newer side; equal times tell nothing."""
        return message.created_at > self.time

    def passed(self, message: Message) -> bool:
        """Tell whether the message is certainly on the older side.

        A time of Welkin's own store is later than the list's time of the same message, so only a
        message older by more than the clocks differ is certainly behind it.
        """
        return message.created_at < (self.time - _CLOCKS_APART if self.local else self.time)


@dataclass(frozen=True, slots=True)
class Instant:
    """The place between the messages strictly newer than an instant and the rest."""

    time: datetime
    hints: tuple[PageRef, ...] = ()

    def hit(self, _message: Message) -> bool:
        """No message is at this place: it lies between two."""
        return False

    def newer(self, message: Message) -> bool:
        """Tell whether the message is on the newer side."""
        return message.created_at > self.time

    def passed(self, message: Message) -> bool:
        """Tell whether the message is on the older side."""
        return message.created_at <= self.time


@dataclass(frozen=True, slots=True)
class End:
    """The place behind the oldest message."""

    hints: tuple[PageRef, ...] = ()

    def hit(self, _message: Message) -> bool:
        """No message is at this place."""
        return False

    def newer(self, _message: Message) -> bool:
        """Every message is newer."""
        return True

    def passed(self, _message: Message) -> bool:
        """No message is older."""
        return False


Target: TypeAlias = Position | Instant | End


def own_second(lost: Position, seen: Iterable[Message], *, older_edge: bool) -> Instant:
    """Give the place by time of a message that is no longer listed (or has another id now).

    The message's whole second counts as not seen yet, on whichever side the caller reads on:
    what is there may be shown again, and nothing is skipped. Where times are finer than a second
    another of Welkin's clocks may be speaking, so the place moves by the difference between them.
    """
    fine = lost.time.microsecond or any(message.created_at.microsecond for message in seen)
    slack = _CLOCKS_APART if fine else timedelta(0)
    second = lost.time.replace(microsecond=0)
    return Instant(second - slack - _TICK if older_edge else second + _SECOND - _TICK + slack)
