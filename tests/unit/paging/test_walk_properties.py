"""The pagination is what the product lives by: whatever arrives, a walk shows each message once, in order."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from gateway.domain import paging
from gateway.domain.errors import PageRefused, UpstreamBadResponse
from gateway.domain.pages import Numbered
from gateway.domain.paging import Bounds, Cut
from gateway.domain.scan import Placed
from gateway.domain.target import Instant, Position
from tests.unit.paging.upstreams import LinkedUpstream, NumberedUpstream, Reader, Upstream, message

counts = st.lists(st.integers(1, 9), min_size=1, max_size=4)
gaps = st.lists(st.sampled_from([0, 0, 0, 1, 2, 60]), max_size=30)


@st.composite
def upstreams(draw: st.DrawFn) -> Upstream:
    """Draw an upstream of any kind with any history."""
    size = draw(st.integers(1, 7))
    upstream: Upstream
    match draw(st.sampled_from(["linked", "hiding", "newest first", "oldest first"])):
        case "linked":
            upstream = LinkedUpstream(size)
        case "hiding":
            modulus = draw(st.integers(2, 4))
            upstream = LinkedUpstream(size, hides=lambda m: int(m.external_id[1:]) // 4 % modulus == 0)
        case "newest first":
            upstream = NumberedUpstream(size, knows_end=draw(st.booleans()))
        case _:
            upstream = NumberedUpstream(size, oldest_first=True, knows_end=draw(st.booleans()))
    for gap in draw(gaps):
        upstream.arrive(gap)
    return upstream


def ids(cut: Cut) -> list[str]:
    return [placed.message.external_id for placed in cut.placed]


def position(placed: Placed) -> Position:
    return Position(placed.message.external_id, placed.message.created_at, placed.hints)


bursts = st.lists(st.lists(st.sampled_from([0, 0, 1]), max_size=9), max_size=12)
caching = st.lists(st.booleans(), max_size=12)


def busy_reader(upstream: Upstream, script: list[list[int]], from_cache: list[bool]) -> Reader:
    """Make a reader with arrivals between reads (also more than a page) and a mix of cached pages."""
    waiting, cached = iter(script), iter(from_cache)

    def arrivals() -> None:
        for gap in next(waiting, []):
            upstream.arrive(gap)

    return Reader(upstream, arrivals, lambda: next(cached, False))


@given(upstreams(), bursts, caching, counts)
def test_a_walk_to_older_messages_shows_each_message_once_and_in_order(upstream, script, cached, counts):
    present = upstream.newest_first
    reader = busy_reader(upstream, script, cached)
    sizes = cycle(counts)
    seen: list[str] = []
    bounds = Bounds()

    while True:
        cut = reader.run(paging.older(next(sizes), bounds))
        seen += ids(cut)
        if not cut.has_next:
            break
        bounds = Bounds(newest=position(cut.placed[-1]))

    event(f"{type(upstream).__name__}")
    arrived_before_the_first_page = len(seen) - len(present)
    assert seen[arrived_before_the_first_page:] == present
    assert seen == upstream.newest_first[-len(seen) :] if seen else not present


@given(upstreams(), bursts, caching, counts)
def test_a_walk_to_newer_messages_shows_each_message_once_and_in_order(upstream, script, cached, counts):
    reader = busy_reader(upstream, script, cached)
    sizes = cycle(counts)
    first = reader.run(paging.newer(next(sizes), Bounds()))
    oldest_first = ids(first)[::-1]
    cut = first

    while cut.has_previous:
        cut = reader.run(paging.newer(next(sizes), Bounds(oldest=position(cut.placed[0]))))
        oldest_first += ids(cut)[::-1]

    final = upstream.newest_first[::-1]
    assert oldest_first == final[: len(oldest_first)]


@given(upstreams(), st.lists(st.lists(st.sampled_from([0, 0, 1]), max_size=9), max_size=30), st.data())
def test_turning_round_anywhere_shows_what_lies_between_and_what_arrived(upstream, script, data):
    if not upstream.newest_first:
        return
    choices = data.draw(st.lists(st.booleans(), max_size=40))
    reader = busy_reader(upstream, script, choices)
    size = data.draw(st.integers(1, 9))
    bounds = Bounds()
    for _ in range(data.draw(st.integers(1, 5))):
        cut = reader.run(paging.older(size, bounds))
        bounds = Bounds(newest=position(cut.placed[-1]))
        if not cut.has_next:
            break

    turned_at = cut.placed[-1].message.external_id
    oldest_first = [turned_at]
    more = True
    while more:
        cut = reader.run(paging.newer(size, Bounds(oldest=bounds.newest)))
        assert cut.has_next
        oldest_first += ids(cut)[::-1]
        more = cut.has_previous
        bounds = Bounds(newest=position(cut.placed[0])) if cut.placed else bounds

    final = upstream.newest_first[::-1]
    start = final.index(turned_at)
    assert oldest_first == final[start : start + len(oldest_first)]


@given(st.data(), upstreams())
def test_any_window_on_a_quiet_conversation_is_the_slice_of_the_list_and_its_flags_are_exact(data, upstream):
    everything = upstream.newest_first
    reader = Reader(upstream, from_cache=lambda: data.draw(st.booleans()))
    whole = reader.run(paging.older(500, Bounds()))
    assert ids(whole) == everything
    count = data.draw(st.integers(0, 12))
    newest = data.draw(st.none() | st.sampled_from(range(len(everything)))) if everything else None
    oldest = data.draw(st.none() | st.sampled_from(range(len(everything)))) if everything else None
    bounds = Bounds(
        newest=None if newest is None else position(whole.placed[newest]),
        oldest=None if oldest is None else position(whole.placed[oldest]),
    )
    low, high = (0 if newest is None else newest + 1), (len(everything) if oldest is None else oldest)
    high = max(low, high) if oldest is None or newest is None or oldest > newest else low

    if data.draw(st.booleans()):
        cut = reader.run(paging.older(count, bounds))
        expected = everything[low:high][:count]
        if newest is None or oldest is None or newest < oldest:
            assert cut.has_previous == (low > 0)
            assert cut.has_next == (low + len(expected) < len(everything))
    else:
        cut = reader.run(paging.newer(count, bounds))
        expected = everything[low:high][-count:] if count else []
        if newest is None or oldest is None or newest < oldest:
            assert cut.has_previous == (high - len(expected) > 0)
            assert cut.has_next == (high < len(everything))

    if newest is None or oldest is None or newest < oldest:
        assert ids(cut) == expected


@given(st.data(), upstreams())
def test_since_leaves_only_strictly_newer_messages(data, upstream):
    reader = Reader(upstream)
    everything = reader.run(paging.older(500, Bounds())).placed
    instant = data.draw(st.sampled_from([p.message.created_at for p in everything])) if everything else None
    if instant is None:
        return
    since = Bounds(since=Instant(instant))
    expected = [p.message.external_id for p in everything if p.message.created_at > instant]
    count = data.draw(st.integers(0, 12))

    newest = reader.run(paging.older(count, since))
    oldest = reader.run(paging.newer(count, since))

    assert ids(newest) == expected[:count]
    assert (newest.has_next, newest.has_previous) == (len(expected) > count, False)
    assert ids(oldest) == (expected[-count:] if count else [])
    assert (oldest.has_next, oldest.has_previous) == (False, len(expected) > count)


@given(st.data(), upstreams(), upstreams())
def test_a_cursor_finds_its_second_after_the_instance_moved_to_another_upstream(data, before, after):
    after.history = [
        type(m)(f"x{n}", m.patient_id, m.sender, m.body, m.created_at) for n, m in enumerate(before.history)
    ]
    if isinstance(after, LinkedUpstream):
        after.hides = lambda _: False
    whole = Reader(before).run(paging.older(500, Bounds())).placed
    if not whole:
        return
    cursor = position(data.draw(st.sampled_from(whole)))
    listed = list(reversed(after.history))
    count = data.draw(st.integers(1, 12))
    reader = Reader(after)

    older = reader.run(paging.older(count, Bounds(newest=cursor)))
    newer = reader.run(paging.newer(count, Bounds(oldest=cursor)))

    own_second_or_older = [m.external_id for m in listed if m.created_at <= cursor.time]
    own_second_or_newer = [m.external_id for m in listed if m.created_at >= cursor.time]
    assert ids(older) == own_second_or_older[:count]
    assert older.has_previous == (len(own_second_or_older) < len(listed))
    assert ids(newer) == own_second_or_newer[-count:]
    assert newer.has_next == (len(own_second_or_newer) < len(listed))


@given(st.integers(1, 7), gaps, counts, st.lists(st.booleans(), max_size=30), st.booleans())
def test_page_tokens_that_die_cost_reads_but_no_message(size, history, counts, deaths, hiding):
    upstream = LinkedUpstream(size, hides=lambda m: hiding and int(m.external_id[1:]) % 3 == 0)
    for gap in history:
        upstream.arrive(gap)
    script, sizes = iter(deaths), cycle(counts)
    reader = Reader(upstream, lambda: upstream.expire_tokens() if next(script, False) else None)
    seen: list[str] = []
    bounds = Bounds()
    more = True

    while more:
        try:
            cut = reader.run(paging.older(next(sizes), bounds))
        except PageRefused:  # may be told so while tokens die faster than they can be used
            assert deaths.count(True) > 1
            continue
        seen += ids(cut)
        more = cut.has_next
        if cut.placed:
            bounds = Bounds(newest=position(cut.placed[-1]))

    assert seen == upstream.newest_first


def _deep(kind: str, messages: int) -> Upstream:
    upstream: Upstream = NumberedUpstream(100, oldest_first=kind == "oldest first", knows_end=False)
    if kind == "linked":
        upstream = LinkedUpstream(100)
    upstream.history = [message(number, number) for number in range(messages)]
    return upstream


def test_a_page_100_000_messages_down_takes_as_many_requests_as_one_100_down():
    for kind in ("linked", "newest first", "oldest first"):
        upstream = _deep(kind, 100_500)
        requests = []
        for depth in (150, 100_050):
            placed = upstream.history[-1 - depth]
            if kind == "linked":
                ref = upstream.page_ref_of(depth)
            else:
                page = depth // 100 if kind == "newest first" else (len(upstream.history) - 1 - depth) // 100
                ref = Numbered(page, 100, kind == "oldest first")
            upstream.requests = 0
            cursor = Position(placed.external_id, placed.created_at, (ref,))
            cut = Reader(upstream).run(paging.older(50, Bounds(newest=cursor)))
            assert ids(cut) == upstream.newest_first[depth + 1 : depth + 51]
            requests.append(upstream.requests)
        assert requests[0] == requests[1] <= 2


@given(st.data(), upstreams(), st.integers(0, 9), st.integers(0, 9))
def test_the_window_around_a_message_is_the_slice_of_the_list(data, upstream, older, newer):
    reader = Reader(upstream)
    everything = reader.run(paging.older(500, Bounds())).placed
    if not everything:
        return
    at = data.draw(st.integers(0, len(everything) - 1))
    hit = position(everything[at])
    bare = Position(hit.external_id, hit.time)

    cut = reader.run(paging.around(data.draw(st.sampled_from([hit, bare])), older, newer))

    expected = [p.message.external_id for p in everything[max(0, at - newer) : at + older + 1]]
    assert ids(cut) == expected
    assert (cut.has_previous, cut.has_next) == (at > newer, at + older + 1 < len(everything))
    assert reader.run(paging.around(Position("gone", hit.time), older, newer)).lost


@given(upstreams(), bursts, st.data())
def test_a_stale_copy_does_not_make_a_newer_cursor_lost(upstream, script, data):
    for _ in range(3):
        upstream.arrive(0)
    stale = Reader(upstream, from_cache=lambda: True)
    stale.run(paging.older(200, Bounds()))
    for burst in script:
        for gap in burst:
            upstream.arrive(gap)
    whole = Reader(upstream).run(paging.older(500, Bounds())).placed
    at = data.draw(st.integers(0, len(whole) - 1)) if whole else None
    if at is None:
        return
    bare = Position(whole[at].message.external_id, whole[at].message.created_at)

    newer = stale.run(paging.newer(3, Bounds(oldest=bare)))

    listed = [p.message.external_id for p in whole]
    assert not newer.lost
    assert ids(newer) == listed[at - len(newer.placed) : at]


def test_one_refused_link_behind_hidden_pages_does_not_cut_a_conversation_short():
    upstream = LinkedUpstream(2, hides=lambda m: 4 <= int(m.external_id[1:]) < 8)
    for _ in range(12):
        upstream.arrive(1)
    reader = Reader(upstream)
    for refused in range(1, 8):
        asked = iter(range(100))

        def once(asked=asked, refused=refused) -> None:
            if next(asked) == refused:
                upstream.expire_tokens()

        reader = Reader(upstream, once)

        assert ids(reader.run(paging.older(50, Bounds()))) == upstream.newest_first


def test_an_upstream_that_gives_one_page_whatever_is_asked_is_told_from_a_long_conversation():
    class Stuck(NumberedUpstream):
        def _page(self, ref):
            page = super()._page(Numbered(0, self.size))
            number = ref.number if isinstance(ref, Numbered) else 0
            return replace(page, ref=Numbered(number, self.size), older=Numbered(number + 1, self.size))

    upstream = Stuck(3)
    for _ in range(3):
        upstream.arrive(1)

    with pytest.raises(UpstreamBadResponse):
        Reader(upstream).run(paging.older(10, Bounds()))

    assert upstream.requests < 50


def test_links_that_run_in_a_circle_are_no_end_of_the_list():
    class Circle(LinkedUpstream):
        def _page(self, ref):
            page = super()._page(ref)
            return page if page.older is not None else replace(page, older=self._token(len(self.history) - 1))

    upstream = Circle(3)
    for _ in range(8):
        upstream.arrive(1)

    shown = Reader(upstream).run(paging.older(5, Bounds()))

    assert ids(shown) == upstream.newest_first[:5]
    assert shown.has_next
    with pytest.raises(UpstreamBadResponse):
        Reader(upstream).run(paging.older(50, Bounds()))


def test_an_upstream_that_shows_one_page_under_every_number_is_told_of():
    class Stuck(NumberedUpstream):
        def page(self, ref):
            page = super().page(ref)
            if not isinstance(ref, Numbered):
                return page
            newest = super().page(Numbered(0, ref.size))
            return replace(newest, ref=ref, older=ref.step_older(1), newer=ref.step_older(-1))

    upstream = Stuck(3)
    for _ in range(8):
        upstream.arrive(1)

    with pytest.raises(UpstreamBadResponse):
        Reader(upstream).run(paging.newer(5, Bounds()))
