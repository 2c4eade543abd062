"""Whether an answer was made from reads older than promised, because the upstream is down.

The reads of one operation may run in many tasks. So the operation opens a note in its context, which
those tasks inherit, and the store writes into it. Reads that must be new (of a live tail, before a
send) never find a stale copy, so nothing of theirs is ever noted.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Staleness:
    """The age in seconds of the oldest stale copy that an operation was answered from; None: of none."""

    seconds: float | None = None


_current: ContextVar[Staleness | None] = ContextVar("staleness", default=None)


def watch() -> Staleness:
    """Open the note of the operation that begins in this context."""
    note = Staleness()
    _current.set(note)
    return note


def mark(seconds: float) -> None:
    """Note that the operation of this context, if any, was served a copy of this age."""
    note = _current.get()
    if note is not None:
        note.seconds = max(seconds, note.seconds or 0.0)
