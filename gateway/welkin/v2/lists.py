"""One list of a v2 server, page by page: the I/O around ``habits`` and ``numbering``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from gateway.domain.errors import BadInput, PageRefused, UpstreamBadResponse
from gateway.domain.pages import Numbered, Page
from gateway.welkin.drafts import newest_first, trend
from gateway.welkin.v2.habits import SMALLER_SIZE, Habits, Listed, Reading
from gateway.welkin.v2.numbering import find_last_page, is_last, neighbours, resized

_log = logging.getLogger(__name__)

Load: TypeAlias = Callable[[Numbered], Awaitable[Listed]]
"""Asks the server for the page of a number and a size."""


@dataclass(frozen=True, slots=True)
class NumberedList:
    """The list that ``load`` reads; its last page is remembered under ``key``."""

    operation: str
    habits: Habits
    key: str
    load: Load

    async def newest(self) -> Page:
        """Read the page that ends with the newest message."""
        if self.habits.oldest_first:
            return await self._last_page()
        reading = await self._read(Numbered(0, self.habits.size))
        if await self._counts_from_the_oldest(reading):
            return await self._last_page()
        return _page(reading, oldest_first=False)

    async def page(self, at: Numbered) -> Page:
        """Read the page at a place that an earlier page named.

        Raises:
            PageRefused: the server counts from the other end.
        """
        self._check_direction(at)
        reading = await self._read(at)
        self._check_direction(at)
        return _page(reading, oldest_first=at.oldest_first)

    def _check_direction(self, at: Numbered) -> None:
        if self.habits.oldest_first is not None and at.oldest_first != self.habits.oldest_first:
            raise PageRefused("The page was counted from the other end of the list.")

    async def _counts_from_the_oldest(self, first: Reading) -> bool:
        """Tell the server's order from page 0, or if all of its times are one, from page 1."""
        if self.habits.oldest_first is None and is_last(0, first.seen) is not True:
            second = await self._read(Numbered(1, first.at.size))
            if self.habits.oldest_first is None and (direction := trend([*first.drafts, *second.drafts])):
                self.habits.oldest_first = direction > 0
        return self.habits.oldest_first is True

    async def _last_page(self) -> Page:
        """Read the last page of a server that counts from the oldest message."""
        search = find_last_page(self.habits.remembered_end(self.key))
        number, found = next(search), None
        while True:
            reading = await self._read(Numbered(number, self.habits.size, oldest_first=True))
            if found is not None and _repeats(found, reading):
                raise UpstreamBadResponse(f"Welkin gives one page under two numbers ({self.operation}).")
            found = reading if found is None or not found.seen.count or reading.seen.count else found
            try:
                number = search.send(reading.seen)
            except StopIteration as end:
                self.habits.remember_end(self.key, end.value)
                break
        older, _ = neighbours(found.at, found.seen)
        return Page(found.at, newest_first(found.drafts[::-1]), older, newer=None)

    async def _read(self, at: Numbered) -> Reading:
        """Read the messages at a place, with a page size that the server accepts and keeps to."""
        try:
            listed = await self._list(at)
        except BadInput:
            if at.size <= SMALLER_SIZE:
                raise
            at = resized(at, SMALLER_SIZE)  # refused, maybe for its size: once more with a smaller one
            listed = await self._list(at)
            self.habits.size = SMALLER_SIZE
        size = listed.envelope.size
        if size is not None and size != at.size:
            self.habits.size = size
            moved = resized(at, size)
            if moved.number != at.number:  # the server counted in its own size, and went elsewhere
                listed = await self._list(moved)
            at = moved
        reading = self.habits.take(listed, at)
        if not reading.seen.count and at.number * at.size < (reading.seen.total or 0):
            raise UpstreamBadResponse(
                f"Welkin's page is empty, and its totals say otherwise ({self.operation})."
            )
        return reading

    async def _list(self, at: Numbered) -> Listed:
        listed = await self.load(at)
        if listed.dropped:
            _log.warning("%s: %d items were no messages of their own", self.operation, listed.dropped)
        return listed


def _repeats(one: Reading, other: Reading) -> bool:
    """Tell a server that takes no notice of page numbers, before it is asked for ever more of them."""
    return bool(one.drafts) and one.at.number != other.at.number and one.drafts == other.drafts


def _page(reading: Reading, *, oldest_first: bool) -> Page:
    at = Numbered(reading.at.number, reading.at.size, oldest_first)
    drafts = reading.drafts[::-1] if oldest_first else reading.drafts
    older, newer = neighbours(at, reading.seen)
    return Page(at, newest_first(drafts), older, newer)
