"""How long a client is waited for, and whether it still takes what it asked for. No I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long clients are waited for, and how much of them is kept. Seconds and bytes."""

    head_seconds: float = 15.0
    """For a request's head, and for what is left of a small body after its answer."""
    head_bytes: int = 64 * 1024
    """Of a request's line, headers and trailers: the longest tokens take a few KiB."""
    stall_seconds: float = 30.0
    stall_bytes: int = 16 * 1024
    """What a reader has to take within ``stall_seconds`` while more is waiting."""
    rest_bytes: int = 1024 * 1024
    """Of a body that nobody reads: thrown away at most."""
    rest_seconds: float = 2.0
    small_body: int = 64 * 1024
    """A body that announces itself this small is thrown away whole, and its connection stays."""
    last_call_seconds: float = 1.0
    """For a request on its way, when the server stops."""


class Pace:
    """Whether a reader takes enough of what is waiting for it."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._mark: _Mark | None = None
        self.written = 0
        """Bytes handed to the connection so far."""

    def is_stalled(self, now: float, waiting: int) -> bool:
        """Tell whether the reader has stalled; to be asked a few times within ``stall_seconds``.

        ``waiting`` bytes are not on their way yet.
        """
        taken = self.written - waiting
        mark = self._mark
        if waiting == 0:
            self._mark = None
        elif mark is None or taken - mark.taken >= min(self._patience.stall_bytes, mark.waiting):
            self._mark = _Mark(now, taken, waiting)
        else:
            return now - mark.at > self._patience.stall_seconds
        return False


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a reader was when it last made progress."""

    at: float
    taken: int
    waiting: int
