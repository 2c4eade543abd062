"""The checker of walks: the pages of one walk, put together, are one unbroken stretch of the conversation.

A walk to older messages begins at the newest one there is and ends at the first; one to newer messages
begins behind its start and ends at the newest there is when it ends. What arrives meanwhile may lengthen
the second and must not touch the first. ``hasNextPage`` and ``hasPreviousPage`` are true exactly when
there is something there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from benchmarks.ledger.records import PageSeen, Walk

Fault = tuple[str, int | None]
"""What is wrong, and at which position."""


def check_walk(ids: list[str], walk: Walk) -> Iterator[Fault]:
    """Give what is wrong with a walk through the conversation with these ids, oldest first."""
    places = {each: position for position, each in enumerate(ids, 1)}
    pages: list[tuple[PageSeen, list[int]]] = []
    for page in walk.pages:
        unknown = [each for each in page.ids if each not in places]
        if unknown:
            yield "a message of another conversation", None
            return
        pages.append((page, [places[each] for each in page.ids]))
    if walk.refused:
        yield f"a page was refused with {walk.refused}", None
    if walk.towards == "older":
        yield from _older(walk, pages)
    else:
        yield from _newer(walk, pages)


def _older(walk: Walk, pages: list[tuple[PageSeen, list[int]]]) -> Iterator[Fault]:
    expected: int | None = None
    for number, (page, positions) in enumerate(pages):
        if expected is None:
            expected = positions[0] if positions else 0
            if expected < page.known:
                yield "the newest page does not know the newest messages", page.known
        yield from _unbroken(positions, expected)
        expected -= len(positions)
        if page.has_next != (expected > 0):
            yield f"hasNextPage is {page.has_next}", expected
        if number > 0 and not page.has_previous:
            yield "hasPreviousPage is false behind a page", positions[0] if positions else None
    if walk.whole and expected:
        yield "the walk ended before the first message", expected


def _newer(walk: Walk, pages: list[tuple[PageSeen, list[int]]]) -> Iterator[Fault]:
    behind = walk.start or 0
    for page, positions in pages:
        yield from _unbroken(positions, behind + len(positions))
        behind += len(positions)
        if not page.has_previous and behind < page.known:
            yield "hasPreviousPage is false, yet there is something newer", page.known
        if not page.has_next and (walk.start or 0) > 0:
            yield "hasNextPage is false, yet there is something older", positions[-1] if positions else None
    for (page, _), (_, following) in pairwise(pages):
        if page.has_previous and not following:
            yield "hasPreviousPage was true, yet nothing came", behind


def _unbroken(positions: list[int], newest: int) -> Iterator[Fault]:
    """Compare a page with the stretch that it has to be."""
    wanted = list(range(newest, newest - len(positions), -1))
    if positions != wanted:
        off = next(i for i, (a, b) in enumerate(zip(positions, wanted, strict=True)) if a != b)
        yield "a page with a gap, a double or another order", positions[off]
