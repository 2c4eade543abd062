from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.clock import Clock
from gateway.sandbox.conversations import ARCHIVED, CLOCKS, LONG, PATIENTS, TIES, fill
from gateway.sandbox.history import MAX_SKEW_MS, MIN_SKEW_MS, keep_all, keep_current
from gateway.sandbox.records import Author, StoredPatient
from gateway.sandbox.store import Store

ME = Author("patient", "p")


def build_store(*offsets: int, archived: frozenset[int] = frozenset()) -> Store:
    store = Store(1, Clock())
    store.add_patient(StoredPatient("p", "Pat", "Example"))
    for number, offset in enumerate(offsets):
        store.add_message("p", ME, f"m{number}", at_ms=offset * 1000, archived=number in archived)
    return store


def test_welkins_own_clock_is_later_by_the_recorded_distances():
    store = Store(1, Clock())
    fill(store, 1)

    skews = [m.local_ms - m.provider_ms for each in (LONG, ARCHIVED, CLOCKS) for m in store.history(each)]

    assert min(skews) >= MIN_SKEW_MS
    assert max(skews) <= MAX_SKEW_MS
    assert {451, 796, 1106} <= set(skews)


def test_some_message_has_its_two_times_in_different_seconds():
    store = Store(1, Clock())
    fill(store, 1)

    assert any(m.provider_at.second != m.local_at.second for m in store.history(CLOCKS))


def test_the_same_seed_gives_the_same_conversations():
    stores = [Store(7, Clock()), Store(7, Clock())]
    for store in stores:
        fill(store, 7)

    def look(store):
        return [(m.v1_id, m.v2_id, m.text, m.provider_ms, m.local_ms) for m in store.history(LONG)]

    assert look(stores[0]) == look(stores[1])
    assert len(look(stores[0])) == 400
    assert len(PATIENTS) >= 6


def test_messages_of_one_second_keep_one_order_on_both_clocks():
    store = Store(1, Clock())
    fill(store, 1)

    messages = list(store.history(TIES))

    assert len({m.provider_ms for m in messages[:30]}) == 1
    assert [m.local_ms for m in messages] == sorted({m.local_ms for m in messages})


@given(
    offsets=st.lists(st.integers(0, 5), max_size=30),
    archived=st.frozensets(st.integers(0, 29)),
    size=st.integers(1, 7),
    filter_after=st.booleans(),
)
def test_a_walk_by_position_shows_everything_once(offsets, archived, size, filter_after):
    store = build_store(*offsets, archived=archived)
    history = store.history("p")

    seen, start = [], len(history)
    while start is not None:
        page = history.provider_page(start, size, len(history), keep_current, filter_after=filter_after)
        seen += [m.position for m in page.messages]
        start = page.older

    assert seen == [m.position for m in reversed(list(history)) if not m.archived]


@given(offsets=st.lists(st.integers(0, 5), max_size=30), size=st.integers(1, 7))
def test_a_walk_by_borders_shows_everything_once_even_if_times_went_back(offsets, size):
    history = build_store(*offsets).history("p")

    seen, border = [], None
    while True:
        page = history.local_page(size, len(history), keep_all, border_ms=border)
        seen += [m.position for m in page.messages]
        if not page.has_older:
            break
        border = page.messages[-1].local_ms

    assert sorted(seen) == list(range(1, len(offsets) + 1))


def test_the_page_before_a_border_and_the_page_after_it_meet():
    history = build_store(*range(10)).history("p")
    border = history.at(5).local_ms

    older = history.local_page(2, 10, keep_all, border_ms=border)
    newer = history.local_page(2, 10, keep_all, border_ms=border, before=False)

    assert [m.position for m in older.messages] == [4, 3]
    assert [m.position for m in newer.messages] == [7, 6]
    assert (newer.has_older, newer.has_newer) == (True, True)


def test_a_late_message_hides_those_after_it_until_it_is_shown():
    """Lists grow at their head only: what is shown is always a prefix of what is stored."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    clock = Clock(lambda: now)
    store = Store(1, clock)
    store.add_patient(StoredPatient("p", "Pat", "Example"))
    store.add_message("p", ME, "late", hidden_ms=2000)
    store.add_message("p", ME, "on time")

    before = store.shown("p")
    clock.advance(2)

    assert (before, store.shown("p")) == (0, 2)


@pytest.mark.parametrize(("inclusive", "first"), [(False, 3), (True, 1)])
def test_since_starts_behind_the_messages_of_that_second(inclusive, first):
    history = build_store(1, 2, 2, 3).history("p")

    assert history.first_since(2000, 4, lambda m: m.provider_ms, inclusive=inclusive) == first
