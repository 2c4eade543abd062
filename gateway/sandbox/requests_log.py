"""What the sandbox was asked: counts per operation and raw paths, never bodies, secrets or searched words."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

KEPT = 20_000
"""Requests that are remembered; counts go on beyond."""

_MASKED = frozenset({"token", "query", "secret"})
"""Parameters whose values are secrets or words of a patient."""


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it came over the wire. ``operation`` is None for an undocumented path."""

    api: str
    operation: str | None
    method: str
    path: str
    query: str
    fault: str | None
    status: int


class RequestLog:
    """The requests since the last `clear`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._seen: deque[SeenRequest] = deque(maxlen=KEPT)
            self._counts: Counter[str] = Counter()
            self._undocumented: list[str] = []
            self._in_flight: Counter[str] = Counter()
            self._peaks: Counter[str] = Counter()

    def enter(self, name: str) -> None:
        """Note that a request of an operation begins; it counts from now on, however it ends."""
        with self._lock:
            self._counts[name] += 1
            self._in_flight[name] += 1
            self._peaks[name] = max(self._peaks[name], self._in_flight[name])

    def leave(self, name: str, request: SeenRequest) -> None:
        """Note that a request has been dealt with."""
        with self._lock:
            self._in_flight[name] -= 1
            self._seen.append(request)
            if request.operation is None and len(self._undocumented) < KEPT:
                self._undocumented.append(f"{request.method} {request.path}")

    def count(self, name: str | None = None) -> int:
        """Count the requests of an operation, such as ``v1.list``; all without a name."""
        return self._counts.total() if name is None else self._counts[name]

    @property
    def counts(self) -> dict[str, int]:
        """Requests per operation, such as ``v1.list``."""
        return dict(self._counts)

    @property
    def peaks(self) -> dict[str, int]:
        """The most requests of an operation that were under way at the same time."""
        return dict(self._peaks)

    @property
    def seen(self) -> tuple[SeenRequest, ...]:
        """The last requests, in the order in which they ended."""
        return tuple(self._seen)

    @property
    def undocumented(self) -> tuple[str, ...]:
        """Methods and raw paths that no documentation of Welkin knows."""
        return tuple(self._undocumented)


def mask(query: str) -> str:
    """Hide the values that nobody may read.

    >>> mask("token=abc&page=0")
    'token=*&page=0'
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, "*" if name in _MASKED else value) for name, value in pairs], safe="*")
