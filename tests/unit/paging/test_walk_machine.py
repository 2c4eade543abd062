"""A client that pages back and forth while messages arrive, caches go stale and the gateway restarts."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gateway.domain import paging
from gateway.domain.connection import Filter
from gateway.domain.cursor import CursorKeys, Cursors
from gateway.domain.model import Conversation, InstanceName
from gateway.domain.paging import Bounds
from gateway.domain.target import Position
from tests.unit.paging.upstreams import LinkedUpstream, NumberedUpstream, Reader, Upstream

CURSORS = Cursors(CursorKeys.from_secrets(["k"]), Conversation(InstanceName("gh", "sb-demo"), "p1"))
kinds = st.sampled_from(
    ["linked", "newest first", "oldest first", "newest first, no end", "oldest first, no end"]
)


def build(kind: str, size: int) -> Upstream:
    if kind == "linked":
        return LinkedUpstream(size)
    return NumberedUpstream(size, oldest_first="oldest" in kind, knows_end="no end" not in kind)


class Paging(RuleBasedStateMachine):
    """The model is the plain list: a window is a slice of it next to the cursor's message."""

    @initialize(kind=kinds, size=st.integers(1, 6), gaps=st.lists(st.sampled_from([0, 0, 1]), max_size=25))
    def begin(self, kind, size, gaps):
        self.size = size
        self.upstream = build(kind, size)
        for gap in gaps:
            self.upstream.arrive(gap)
        self.cached: list[bool] = []
        self.restart()
        self.cursors: dict[str, str] = {}

    @rule()
    def restart(self):
        """Nothing is left but what the client holds."""
        self.reader = Reader(self.upstream, from_cache=lambda: bool(self.cached and self.cached.pop()))

    @rule(gaps=st.lists(st.sampled_from([0, 0, 1]), min_size=1, max_size=9))
    def arrive(self, gaps):
        for gap in gaps:
            self.upstream.arrive(gap)

    @rule(cached=st.lists(st.booleans(), max_size=4))
    def let_copies_be_used(self, cached):
        self.cached = cached

    @rule(count=st.integers(1, 9))
    def read_newest(self, count):
        cut = self.reader.run(paging.older(count, Bounds()))
        ids = self.keep(cut)
        everything = self.upstream.newest_first
        start = everything.index(ids[0]) if ids else 0
        assert ids == everything[start : start + count][: len(ids)]
        assert not cut.has_previous

    @precondition(lambda self: self.cursors)
    @rule(data=st.data(), count=st.integers(0, 9))
    def read_older(self, data, count):
        anchor, place = self.choose(data)
        cut = self.reader.run(paging.older(count, Bounds(newest=place)))
        everything = self.upstream.newest_first
        behind = everything[everything.index(anchor) + 1 :]
        assert self.keep(cut) == behind[:count]
        assert (cut.has_next, cut.has_previous) == (len(behind) > count, True)

    @precondition(lambda self: self.cursors)
    @rule(data=st.data(), count=st.integers(0, 9))
    def read_newer(self, data, count):
        self.cached = []
        anchor, place = self.choose(data)
        cut = self.reader.run(paging.newer(count, Bounds(oldest=place)))
        everything = self.upstream.newest_first
        before = everything[: everything.index(anchor)]
        assert self.keep(cut) == (before[-count:] if count else [])
        assert (cut.has_next, cut.has_previous) == (True, len(before) > count)

    @precondition(lambda self: self.cursors)
    @rule(kind=kinds, data=st.data())
    def move_to_another_version(self, kind, data):
        """Ids change, times stay: a cursor finds its own second."""
        anchor, place = self.choose(data)
        history = [replace(m, external_id=f"{m.external_id}x") for m in self.upstream.history]
        self.upstream = build(kind, self.size)
        self.upstream.history = history
        self.restart()
        self.cursors = {}
        cut = self.reader.run(paging.older(200, Bounds(newest=place)))
        second = next(m.created_at for m in history if m.external_id == f"{anchor}x")
        assert self.keep(cut) == [m.external_id for m in reversed(history) if m.created_at <= second]

    def choose(self, data) -> tuple[str, Position]:
        anchor = data.draw(st.sampled_from(sorted(self.cursors)))
        return anchor, CURSORS.read(self.cursors[anchor], Filter())

    def keep(self, cut: paging.Cut) -> list[str]:
        for placed in cut.placed:
            message = placed.message
            place = Position(message.external_id, message.created_at, placed.hints)
            self.cursors[message.external_id] = CURSORS.make(place, Filter())
        return [placed.message.external_id for placed in cut.placed]


TestPaging = Paging.TestCase
TestPaging.settings = settings(max_examples=150, stateful_step_count=25)
