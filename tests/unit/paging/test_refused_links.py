"""Page links that die in the midst of a walk, among messages that share a second: nothing is left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain import paging
from gateway.domain.paging import Bounds, Cut
from gateway.domain.target import Position
from tests.unit.paging.upstreams import LinkedUpstream, Reader

gaps = st.lists(st.sampled_from([0, 0, 0, 1]), min_size=2, max_size=24)
late = st.lists(st.sampled_from([0, 0, 1]), max_size=5)


@dataclass
class Dying:
    """Lets tokens die before some calls; with each death messages arrive, and one may be archived."""

    upstream: LinkedUpstream
    deaths: dict[int, tuple[list[int], int | None]]
    calls: int = 0
    archived: set[str] = field(default_factory=set)

    def __call__(self) -> None:
        """Be told of a call."""
        self.calls += 1
        if self.calls not in self.deaths:
            return
        arriving, gone = self.deaths[self.calls]
        self.upstream.expire_tokens()
        for gap in arriving:
            self.upstream.arrive(gap)
        if gone is not None:
            self.archived.add(f"m{gone}")


deaths = st.dictionaries(st.integers(2, 9), st.tuples(late, st.none() | st.integers(1, 24)), max_size=2)


def upstream_of(size: int, seconds: list[int]) -> LinkedUpstream:
    upstream = LinkedUpstream(size)
    for gap in seconds:
        upstream.arrive(gap)
    return upstream


def dying(upstream: LinkedUpstream, script: dict[int, tuple[list[int], int | None]]) -> tuple[Reader, Dying]:
    """Make a reader whose tokens die; archived messages are left out after paging, as Welkin does."""
    script_of_deaths = Dying(upstream, script)
    upstream.hides = lambda message: message.external_id in script_of_deaths.archived
    return Reader(upstream, script_of_deaths), script_of_deaths


def shown(cut: Cut, archived: set[str]) -> list[str]:
    """Give what the window shows, but what was archived meanwhile: it may be there or not."""
    ids = [placed.message.external_id for placed in cut.placed]
    assert len(set(ids)) == len(ids)
    return [each for each in ids if each not in archived]


@given(st.integers(1, 4), gaps, st.integers(1, 6), deaths)
@example(2, [0] * 9, 5, {3: ([], None)})
def test_a_window_of_newer_messages_has_no_gap(size, seconds, count, script):
    upstream = upstream_of(size, seconds)
    first = upstream.history[0]
    after = Position(first.external_id, first.created_at, (upstream._token(size - 1),))
    reader, died = dying(upstream, script)

    cut = reader.run(paging.newer(count, Bounds(oldest=after)))

    got = shown(cut, died.archived)[::-1]
    there = [m.external_id for m in upstream.history[1:] if m.external_id not in died.archived]
    assert got == there[: len(got)]
    assert got or not there or died.archived


@given(st.integers(1, 4), gaps, st.integers(1, 30), deaths)
@example(2, [0] * 9, 5, {3: ([], None)})
def test_a_window_of_older_messages_has_no_gap(size, seconds, count, script):
    upstream = upstream_of(size, seconds)
    reader, died = dying(upstream, script)

    cut = reader.run(paging.older(count, Bounds()))

    got = shown(cut, died.archived)
    there = [m.external_id for m in reversed(upstream.history) if m.external_id not in died.archived]
    begin = there.index(got[0]) if got else 0
    assert got == there[begin : begin + len(got)]
    assert cut.has_next or there[begin + len(got) :] == []
