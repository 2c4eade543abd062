"""A place told by Welkin's own store (v1 search) is found in the list, whose clock runs before it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import paging
from gateway.domain.pages import Linked, Page, PageRef
from gateway.domain.paging import Bounds
from gateway.domain.target import Position
from tests.unit.paging.upstreams import LinkedUpstream, Reader


class TwoClocks(LinkedUpstream):
    """Tokens marked local lead through the same messages with the later clock's times."""

    dead: bool = False

    def local_time(self, number: int) -> datetime:
        """Give the other clock's time: 0.4 to 1.1 s later, never equal, in the same order."""
        times: list[datetime] = []
        for each, m in enumerate(self.history[: number + 1]):
            told = m.created_at + timedelta(milliseconds=400 + (each * 397) % 700)
            times.append(max(told, times[-1] + timedelta(milliseconds=1)) if times else told)
        return times[number]

    def _page(self, ref: PageRef) -> Page:
        if not (isinstance(ref, Linked) and ref.local):
            return super()._page(ref)
        page = super()._page(Linked(ref.token if not self.dead else "dead:0"))
        return Page(
            ref,
            tuple(replace(m, created_at=self.local_time(int(m.external_id[1:]))) for m in page.messages),
            None if page.older is None else replace(page.older, local=True),
            None if page.newer is None else replace(page.newer, local=True),
        )


@given(
    st.integers(1, 7),
    st.lists(st.sampled_from([0, 0, 1, 2]), min_size=1, max_size=25),
    st.data(),
    st.booleans(),
)
def test_a_place_told_by_the_other_clock_is_exact_also_when_its_pages_died(size, gaps, data, dead):
    upstream = TwoClocks(size)
    for gap in gaps:
        upstream.arrive(gap)
    upstream.dead = dead
    number = data.draw(st.integers(0, len(upstream.history) - 1))
    found = upstream.history[number]
    token = upstream._token(number).token
    place = Position(found.external_id, upstream.local_time(number), (Linked(token, local=True),), local=True)
    count = data.draw(st.integers(1, 9))
    everything = upstream.newest_first
    at = everything.index(found.external_id)

    older = Reader(upstream).run(paging.older(count, Bounds(newest=place)))
    newer = Reader(upstream).run(paging.newer(count, Bounds(oldest=place)))

    assert [p.message.external_id for p in older.placed] == everything[at + 1 : at + 1 + count]
    assert [p.message.external_id for p in newer.placed] == everything[max(0, at - count) : at]
    assert not newer.lost
