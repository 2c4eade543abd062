"""Reading on towards older messages, page by page, so that none is left out and none comes twice.

This is the one direction in which a list that grows at its newest end can be read safely: an
arrival between two reads can only push messages deeper, so the next page may repeat what was
seen, but it cannot skip. What may not happen is that a deeper numbered page is an *older*
snapshot than the one before it (a cache could do that): it is asked for with ``not_before``, the
moment at which the page before it had been read. The page behind a link stays put.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from gateway.domain.errors import PageRefused, UpstreamBadResponse
from gateway.domain.model import Message
from gateway.domain.pages import Linked, Newest, Page, PageRef

Result = TypeVar("Result")

_MAX_REPEATED = 30
"""How often one page may come again in a row. Arrivals can do that too, exactly a page at a time."""

_MAX_RECOVERIES = 5
"""How many refused links one scan finds a way around."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The walk wants this page; a copy read before ``not_before`` (the reader's clock) will not do."""

    ref: PageRef
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A page, and when the reading of it began and ended by the reader's clock, in seconds."""

    page: Page
    began: float
    ended: float


Walk: TypeAlias = Generator[Ask, Snapshot, Result]
"""Yields what it wants to read and is sent it; ``PageRefused`` may be thrown in instead."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A message with the pages on which, or beside which, it was seen: the hints of its cursor.

    ``beside`` are pages of its conversation, where it was seen among the hits of a search; ``local``
    says that its time is that of Welkin's own store.
    """

    message: Message
    hints: tuple[PageRef, ...]
    beside: tuple[PageRef, ...] = ()
    local: bool = False

    def __hash__(self) -> int:
        """Go by the message."""
        return hash(self.message)


def place(page: Page) -> list[Placed]:
    """Pair each message of a page with where to look for it later.

    A page without a lasting name (``Newest``) is remembered together with its older neighbour:
    however much arrives meanwhile, the message is then on the page before that one.
    """
    hints: tuple[PageRef, ...] = (page.ref,)
    if isinstance(page.ref, Newest) and isinstance(page.older, Linked):
        hints = (page.ref, page.older)
    local = isinstance(page.ref, Linked) and page.ref.local
    beside = page.beside
    return [
        Placed(m, hints, beside.get(m.external_id, ()), local or m.external_id in beside)
        for m in page.messages
    ]


class OlderScan:
    """The messages from one page on towards older ones.

    ``found`` holds them newest first; ``exhausted`` says that nothing older follows.
    The *seam* is the last message found: what a further page repeats ends with it. A page that
    does not show the seam lies wholly before it (after a burst of arrivals), or wholly behind it:

    1. it shows the seam: what follows the seam is new;
    2. it shows a message strictly older than the seam: the page lies behind, all of it is new;
    3. it shows only messages of the seam's own time: undecided, kept in ``_undecided`` until a
       later page decides. Messages newer than the seam, or listed before another one that was found,
       are arrivals, and not part of this scan.
    """

    def __init__(self, first: Snapshot) -> None:
        self.first = first
        self.last = first
        self.found: list[Placed] = []
        self.exhausted = False
        self._undecided: list[Placed] = []
        self._seen: set[str] = set()
        self._visited: set[PageRef] = {first.page.ref}
        self._recoveries = 0
        self._repeated = 0
        self._next: PageRef | None = first.page.older
        self._read_at = first.ended
        self._settle(place(first.page))
        self._finish_if_last()

    def more(self, recover: Callable[[Placed, float], Walk[Snapshot]]) -> Walk[None]:
        """Read one page further. ``recover`` finds the seam again where its page link is refused.

        It gives a page from which reading on skips nothing, read no earlier than the moment it is given.

        Raises:
            PageRefused: the upstream refuses its own links again and again.
        """
        if self._next is None:
            return
        try:
            # A link leads to the neighbour of the page that had it, whenever it is followed.
            not_before = 0.0 if isinstance(self._next, Linked) else self._read_at
            snapshot = yield Ask(self._next, not_before)
        except PageRefused:
            self._recoveries += 1
            if self._recoveries > _MAX_RECOVERIES:
                raise
            if self.found:
                snapshot = yield from recover(self.found[-1], self._read_at)
            else:
                snapshot = yield Ask(Newest(), self._read_at)
            self._visited.clear()
            self._undecided.clear()
        self._absorb(snapshot)

    def trim(self, keep: int) -> None:
        """Forget all but the last ``keep`` messages found, for long ways by links."""
        if len(self.found) > 2 * keep + 256:
            self.found = self.found[-max(keep, 1) :]
            self._seen = {placed.message.external_id for placed in self.found}

    def _absorb(self, snapshot: Snapshot) -> None:
        page = snapshot.page
        ids = [message.external_id for message in page.messages]
        before = [message.external_id for message in self.last.page.messages]
        self._repeated = self._repeated + 1 if ids and ids == before else 0
        if self._repeated > _MAX_REPEATED:
            raise UpstreamBadResponse("Welkin gives one page over and over, whichever is asked for.")
        self.last = snapshot
        self._read_at = snapshot.ended
        self._visited.add(page.ref)
        self._next = page.older
        seam = self.found[-1].message if self.found else None
        placed = place(page)
        if seam is None:
            self._settle(placed)
        else:
            ids = [message.external_id for message in page.messages]
            if seam.external_id in ids:  # 1
                self._undecided.clear()
                self._settle(placed[ids.index(seam.external_id) + 1 :])
            else:
                not_newer = [p for p in placed if p.message.created_at <= seam.created_at]
                self._undecided += not_newer  # 3
                if any(p.message.created_at < seam.created_at for p in not_newer):  # 2
                    self._settle_undecided()
        self._finish_if_last()

    def _finish_if_last(self) -> None:
        if self._next is not None and not isinstance(self._next, Newest) and self._next in self._visited:
            raise UpstreamBadResponse("Welkin's page links run in a circle.")
        if self._next is None:
            self._settle_undecided()
            self.exhausted = True

    def _settle_undecided(self) -> None:
        undecided, self._undecided = self._undecided, []
        ids = [placed.message.external_id for placed in undecided]
        behind = next((n for n in range(len(ids), 0, -1) if ids[n - 1] in self._seen), 0)
        self._settle(undecided[behind:])

    def _settle(self, placed: list[Placed]) -> None:
        for p in placed:
            if p.message.external_id not in self._seen:
                self._seen.add(p.message.external_id)
                self.found.append(p)
