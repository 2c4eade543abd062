"""Upstreams for the walk, without any I/O: a plain list behind each way of paging."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from gateway.domain.errors import PageRefused
from gateway.domain.model import Message, Sender, SenderKind
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef
from gateway.domain.scan import Ask, Snapshot, Walk

T = TypeVar("T")
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


def message(number: int, second: int, prefix: str = "m") -> Message:
    """Make the message that was the ``number``-th to arrive."""
    return Message(
        external_id=f"{prefix}{number}",
        patient_id="p1",
        sender=Sender(SenderKind.CARE_TEAM),
        body="",
        created_at=EPOCH + timedelta(seconds=second),
    )


@dataclass
class Upstream:
    """A conversation that grows at its newest end; ``history`` is oldest first."""

    size: int
    history: list[Message] = field(default_factory=list)
    requests: int = 0

    def arrive(self, gap: int) -> Message:
        """Let a message arrive, ``gap`` seconds after the newest one (0: a tie)."""
        second = int((self.history[-1].created_at - EPOCH).total_seconds()) + gap if self.history else 0
        new = message(len(self.history), second)
        self.history.append(new)
        return new

    @property
    def newest_first(self) -> list[str]:
        """The model: every id, newest first."""
        return [m.external_id for m in reversed(self.history)]

    def page(self, ref: PageRef) -> Page:
        """Answer one request."""
        self.requests += 1
        return self._page(ref)

    def _page(self, ref: PageRef) -> Page:
        raise AssertionError(ref)


@dataclass
class LinkedUpstream(Upstream):
    """Tokens name a message position; what ``hides`` picks is left out after paging (short pages)."""

    hides: Callable[[Message], bool] = lambda _: False
    epoch: int = 0

    def expire_tokens(self) -> None:
        """Forget every token given out so far."""
        self.epoch += 1

    @property
    def newest_first(self) -> list[str]:
        return [m.external_id for m in reversed(self.history) if not self.hides(m)]

    def page_ref_of(self, depth: int) -> Linked:
        """Name the page, counted in whole pages from the newest message, that shows a depth."""
        return self._token(len(self.history) - 1 - depth // self.size * self.size)

    def _token(self, position: int) -> Linked:
        return Linked(f"{self.epoch}:{position}")

    def _page(self, ref: PageRef) -> Page:
        head = len(self.history) - 1
        if isinstance(ref, Newest):
            start = head
        elif isinstance(ref, Linked) and ref.token.split(":")[0] == str(self.epoch):
            start = int(ref.token.split(":")[1])
        else:
            raise PageRefused("no such token")
        end = start - self.size
        shown = [m for m in reversed(self.history[max(0, end + 1) : start + 1]) if not self.hides(m)]
        older = self._token(end) if end >= 0 else None
        newer = self._token(min(start + self.size, head)) if start < head else None
        return Page(ref, tuple(shown), older, newer)


@dataclass
class NumberedUpstream(Upstream):
    """Pages by number from either end. Without ``knows_end`` a full last page has an empty one behind it."""

    oldest_first: bool = False
    knows_end: bool = True

    def _page(self, ref: PageRef) -> Page:
        if isinstance(ref, Linked):
            raise PageRefused("not a number")
        total = len(self.history)
        if isinstance(ref, Newest):
            last = max(0, (total - 1) // self.size) if self.oldest_first else 0
            ref = Numbered(last, self.size, self.oldest_first)
        ordered = self.history if self.oldest_first else self.history[::-1]
        begin = ref.number * self.size
        shown = ordered[begin : begin + self.size]
        more = begin + self.size < total if self.knows_end else len(shown) == self.size
        up = Numbered(ref.number + 1, self.size, self.oldest_first) if more else None
        down = Numbered(ref.number - 1, self.size, self.oldest_first) if ref.number else None
        if self.oldest_first:
            return Page(ref, tuple(reversed(shown)), older=down, newer=up)
        return Page(ref, tuple(shown), older=up, newer=down)


@dataclass
class Reader:
    """Drives a walk; ``meanwhile`` may do anything before each answer. Keeps pages, if told to."""

    upstream: Upstream
    meanwhile: Callable[[], None] = lambda: None
    from_cache: Callable[[], bool] = lambda: False
    clock: float = 0.0
    kept: dict[PageRef, Snapshot] = field(default_factory=dict)

    def read(self, ask: Ask) -> Snapshot:
        """Answer one ask, from the kept copy where that is allowed."""
        self.meanwhile()
        kept = self.kept.get(ask.ref)
        if kept is not None and kept.began >= ask.not_before and self.from_cache():
            return kept
        began = self._tick()
        snapshot = Snapshot(self.upstream.page(ask.ref), began, self._tick())
        self.kept[ask.ref] = snapshot
        return snapshot

    def run(self, walk: Walk[T]) -> T:
        """Drive the walk to its end."""
        try:
            ask = next(walk)
            for _ in range(10_000):
                try:
                    snapshot = self.read(ask)
                except PageRefused as refused:
                    ask = walk.throw(refused)
                else:
                    ask = walk.send(snapshot)
        except StopIteration as end:
            return end.value
        raise AssertionError("the walk does not end")

    def _tick(self) -> float:
        self.clock += 1
        return self.clock
