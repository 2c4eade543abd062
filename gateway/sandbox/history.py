"""One patient's conversation, and the ways in which both versions page through it.

Positions count from 1, oldest first, and never change, so a page named by a position does not
shift when messages arrive. Pages cost as much as they hold, not as much as the conversation does;
only search and an archive filter over long archived stretches look further.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from gateway.sandbox.records import Author, StoredFile, StoredMessage

Keep = Callable[[StoredMessage], bool]
TimeOf = Callable[[StoredMessage], int]

MIN_SKEW_MS = 400
"""Smallest distance between the provider's time and Welkin's own (0.451 s recorded)."""

MAX_SKEW_MS = 1200
"""Largest distance (1.106 s recorded)."""


@dataclass(frozen=True, slots=True)
class ProviderPage:
    """A page of the provider's list, newest first, with the positions at which its neighbours start."""

    messages: tuple[StoredMessage, ...]
    start: int
    older: int | None
    newer: int | None


@dataclass(frozen=True, slots=True)
class LocalPage:
    """A page out of Welkin's own store, newest first, and whether there is more on either side."""

    messages: tuple[StoredMessage, ...]
    has_older: bool
    has_newer: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """A message about to be stored; ``skew_ms`` is what Welkin's own clock adds to the provider's."""

    author: Author
    text: str
    provider_ms: int
    skew_ms: int
    visible_ms: int
    archived: bool = False
    files: tuple[StoredFile, ...] = ()
    read_ms: int | None = None


def keep_all(_message: StoredMessage) -> bool:
    """Keep every message."""
    return True


def keep_current(message: StoredMessage) -> bool:
    """Keep what is not archived."""
    return not message.archived


class History:
    """The messages of one patient."""

    def __init__(self, patient_id: str) -> None:
        self.patient_id = patient_id
        self._messages: list[StoredMessage] = []
        self._by_local: list[tuple[int, int]] = []
        self._shown = 0
        self._in_order = True

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[StoredMessage]:
        return iter(self._messages)

    @property
    def newest_ms(self) -> int:
        """The provider's time of the newest message; 0 without one."""
        return self._messages[-1].provider_ms if self._messages else 0

    def at(self, position: int) -> StoredMessage:
        """Give the message at a position, counted from 1."""
        return self._messages[position - 1]

    def add(self, draft: Draft) -> StoredMessage:
        """Store a message as the newest. Welkin's own times are kept unique, so that borders are exact."""
        message = StoredMessage(
            position=len(self._messages) + 1,
            patient_id=self.patient_id,
            author=draft.author,
            text=draft.text,
            provider_ms=draft.provider_ms,
            local_ms=self._free_local(draft),
            visible_ms=draft.visible_ms,
            archived=draft.archived,
            files=draft.files,
            read_ms=draft.read_ms,
        )
        if self._messages and message.provider_ms < self._messages[-1].provider_ms:
            self._in_order = False
        bisect.insort(self._by_local, (message.local_ms, message.position))
        self._messages.append(message)
        return message

    def archive(self, position: int, *, archived: bool) -> None:
        """Archive a message, or bring it back."""
        self._messages[position - 1] = replace(self.at(position), archived=archived)

    def shown(self, now_ms: int) -> int:
        """Count the messages that lists show by now: a message waits for all before it."""
        while self._shown < len(self._messages) and self._messages[self._shown].visible_ms <= now_ms:
            self._shown += 1
        return self._shown

    def provider_page(
        self, start: int, size: int, newest: int, keep: Keep, *, filter_after: bool
    ) -> ProviderPage:
        """Read ``size`` messages from ``start`` towards older ones; ``newest`` is the newest one shown.

        With ``filter_after`` the provider's page is cut first and filtered afterwards, so that it can
        be short or empty and still have a next page (I).
        """
        if filter_after:
            cut = [self.at(p) for p in range(start, max(start - size, 0), -1)]
            older = start - size if start > size else None
            newer = min(start + size, newest) if start < newest else None
            return ProviderPage(tuple(m for m in cut if keep(m)), start, older, newer)
        found: list[StoredMessage] = []
        for position in range(start, 0, -1):
            if keep(self.at(position)):
                found.append(self.at(position))
                if len(found) > size:
                    break
        older = found[size].position if len(found) > size else None
        return ProviderPage(tuple(found[:size]), start, older, self._newer_start(start, size, newest, keep))

    def local_page(
        self, size: int, newest: int, keep: Keep, *, border_ms: int | None = None, before: bool = True
    ) -> LocalPage:
        """Read the ``size`` messages next to a border of Welkin's own clock; without one, the newest."""
        index = (
            len(self._by_local) if border_ms is None else bisect.bisect_left(self._by_local, (border_ms, 0))
        )
        if before:
            found = self._collect(range(index - 1, -1, -1), size + 1, newest, keep)
            page = tuple(found[:size])
            behind = self._collect(range(index, len(self._by_local)), 1, newest, keep)
            return LocalPage(page, has_older=len(found) > size, has_newer=bool(behind))
        first = bisect.bisect_right(self._by_local, (border_ms or 0, len(self._messages)))
        found = self._collect(range(first, len(self._by_local)), size + 1, newest, keep)
        behind = self._collect(range(first - 1, -1, -1), 1, newest, keep)
        return LocalPage(tuple(found[:size])[::-1], has_older=bool(behind), has_newer=len(found) > size)

    def first_since(self, since_ms: int, newest: int, time_of: TimeOf, *, inclusive: bool) -> int:
        """Give how many of the ``newest`` messages are not newer than a time: where ``since`` starts.

        Only meaningful where times never go back; see `in_order`.
        """
        pick = bisect.bisect_left if inclusive else bisect.bisect_right
        return min(pick(self._messages, since_ms, key=time_of), newest)

    @property
    def in_order(self) -> bool:
        """Whether the provider's times never go back along the conversation."""
        return self._in_order

    def _newer_start(self, start: int, size: int, newest: int, keep: Keep) -> int | None:
        found: int | None = None
        count = 0
        for position in range(start + 1, newest + 1):
            if keep(self.at(position)):
                found = position
                count += 1
                if count == size:
                    break
        return found

    def _collect(self, indexes: range, limit: int, newest: int, keep: Keep) -> list[StoredMessage]:
        found: list[StoredMessage] = []
        for index in indexes:
            position = self._by_local[index][1]
            if position <= newest and keep(self.at(position)):
                found.append(self.at(position))
                if len(found) == limit:
                    break
        return found

    def _free_local(self, draft: Draft) -> int:
        wanted = draft.provider_ms + draft.skew_ms
        if not self._by_local:
            return wanted
        last, position = self._by_local[-1]
        if wanted <= last and self.at(position).provider_ms <= draft.provider_ms:
            return last + 1
        index = bisect.bisect_left(self._by_local, (wanted, 0))
        while index < len(self._by_local) and self._by_local[index][0] == wanted:
            wanted += 1
            index += 1
        return wanted
