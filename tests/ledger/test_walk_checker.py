"""The checker of walks finds every kind of defect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.ledger.records import PageSeen, Walk
from benchmarks.ledger.walk_checker import check_walk

IDS = [f"m{n}" for n in range(1, 10)]


def page(*positions: int, more: tuple[bool, bool], known: int = 0) -> PageSeen:
    """Give a page; ``more``: whether it has something older, something newer."""
    return PageSeen(tuple(f"m{each}" for each in positions), more[0], more[1], known)


@pytest.fixture
def older() -> Walk:
    """A walk that began when there were 7 messages; two came meanwhile."""
    pages = [
        page(7, 6, 5, more=(True, False), known=7),
        page(4, 3, 2, more=(True, True), known=8),
        page(1, more=(False, True), known=9),
    ]
    return Walk("walker", "ann", "v1", "older", pages=pages, whole=True)


@pytest.fixture
def newer() -> Walk:
    """A walk from behind the second message; the last two came while it went on."""
    pages = [
        page(5, 4, 3, more=(True, True), known=7),
        page(8, 7, 6, more=(True, True), known=8),
        page(9, more=(True, False), known=9),
    ]
    return Walk("walker", "ann", "v1", "newer", start=2, pages=pages, whole=True)


def faults(walk: Walk, **changes: object) -> list[str]:
    return [what for what, _ in check_walk(IDS, replace(walk, **changes))]


def with_page(walk: Walk, number: int, other: PageSeen) -> list[str]:
    pages = [other if n == number else each for n, each in enumerate(walk.pages)]
    return faults(walk, pages=pages)


def test_right_walks_are_right(older, newer):
    assert faults(older) == []
    assert faults(newer) == []
    assert faults(newer, start=0, pages=[page(3, 2, 1, more=(False, True))]) == []


def test_a_walk_that_the_end_of_the_run_cut_off_is_right(older):
    assert faults(older, pages=older.pages[:2], whole=False) == []


def test_a_page_that_is_left_out_is_found(older, newer):
    assert faults(older, pages=[older.pages[0], older.pages[2]])
    assert faults(newer, pages=newer.pages[1:])
    assert faults(newer, pages=[newer.pages[0], newer.pages[2]])


@pytest.mark.parametrize("positions", [(4, 2), (4, 4, 3), (3, 4, 2), (5, 4, 3, 2)])
def test_a_gap_a_double_and_another_order_within_a_page_are_found(older, positions):
    assert "a page with a gap, a double or another order" in with_page(
        older, 1, page(*positions, more=(True, True))
    )


def test_a_page_shown_twice_is_found(older, newer):
    assert faults(older, pages=[older.pages[0], *older.pages])
    assert faults(newer, pages=[newer.pages[0], *newer.pages])


def test_flags_that_lie_are_found(older, newer):
    assert with_page(older, 0, page(7, 6, 5, more=(False, False))) == ["hasNextPage is False"]
    assert with_page(older, 2, page(1, more=(True, True))) == ["hasNextPage is True"]
    assert with_page(older, 1, page(4, 3, 2, more=(True, False))) == [
        "hasPreviousPage is false behind a page"
    ]
    assert with_page(newer, 1, page(8, 7, 6, more=(False, True))) == [
        "hasNextPage is false, yet there is something older"
    ]
    assert with_page(newer, 0, page(5, 4, 3, more=(True, False), known=7)) == [
        "hasPreviousPage is false, yet there is something newer"
    ]


def test_a_promise_of_more_that_was_not_kept_is_found(newer):
    pages = [*newer.pages[:2], page(more=(True, True))]

    assert faults(newer, pages=pages) == ["hasPreviousPage was true, yet nothing came"]


def test_a_newest_page_that_is_too_old_is_found(older):
    assert with_page(older, 0, replace(older.pages[0], known=8)) == [
        "the newest page does not know the newest messages"
    ]


def test_a_walk_that_ends_early_a_stranger_and_a_refusal_are_found(older):
    pages = [*older.pages[:2], page(more=(True, True))]
    assert "the walk ended before the first message" in faults(older, pages=pages)
    assert faults(older, pages=[PageSeen(("x",), has_next=True, has_previous=False, known=0)]) == [
        "a message of another conversation"
    ]
    assert faults(older, refused="INVALID_CURSOR") == ["a page was refused with INVALID_CURSOR"]
