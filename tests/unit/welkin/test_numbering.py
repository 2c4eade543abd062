"""Finding the end of numbered pages, against lists that tell much or nothing about themselves."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import UpstreamBadResponse
from gateway.domain.pages import Numbered
from gateway.welkin.v2.numbering import MAX_PROBES, Seen, find_last_page, is_last, neighbours, resized


@dataclass
class Server:
    """Pages counted from the oldest message; ``tells`` is what its answers say of the list."""

    count: int
    size: int
    tells: str
    arrivals: list[int] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)

    def read(self, number: int) -> Seen:
        here = max(0, min(self.size, self.count - number * self.size))
        pages = -(-self.count // self.size)
        seen = Seen(
            count=here,
            size=self.size,
            honoured=self.tells == "honoured",
            total=self.count if self.tells == "total" else None,
            pages=pages if self.tells == "pages" else None,
            last=number + 1 >= pages if self.tells == "last" else None,
        )
        self.reads.append(number)
        if self.arrivals:
            self.count += self.arrivals.pop()
        return seen


def find(server: Server, start: int) -> int:
    search = find_last_page(start)
    number = next(search)
    while True:
        try:
            number = search.send(server.read(number))
        except StopIteration as end:
            return end.value


telling = st.sampled_from(["nothing", "honoured", "total", "pages", "last"])


@given(count=st.integers(0, 3000), size=st.integers(1, 100), tells=telling, start=st.integers(0, 200))
def test_the_last_page_with_messages_is_found(count: int, size: int, tells: str, start: int) -> None:
    server = Server(count, size, tells)

    assert find(server, start) == max(0, -(-count // size) - 1)


@given(
    count=st.integers(0, 300),
    size=st.integers(1, 20),
    tells=telling,
    start=st.integers(0, 20),
    arrivals=st.lists(st.integers(0, 25), max_size=8),
)
def test_what_was_there_before_the_search_is_never_beyond_its_result(
    count: int, size: int, tells: str, start: int, arrivals: list[int]
) -> None:
    server = Server(count, size, tells, arrivals)

    assert find(server, start) >= max(0, -(-count // size) - 1)


@pytest.mark.parametrize(("tells", "requests"), [("honoured", 1), ("total", 1), ("last", 1), ("nothing", 2)])
def test_a_remembered_end_costs_one_read_or_two(tells: str, requests: int) -> None:
    server = Server(count=47, size=5, tells=tells)

    find(server, start=9)

    assert len(server.reads) == requests


def test_a_deep_end_costs_a_logarithm() -> None:
    server = Server(count=1_000_000, size=1, tells="nothing")

    assert find(server, 0) == 999_999
    assert len(server.reads) <= 42


def test_pages_without_an_end_are_an_error_after_a_bounded_number_of_reads() -> None:
    server = Server(count=10**30, size=1, tells="nothing")

    with pytest.raises(UpstreamBadResponse):
        find(server, 0)
    assert len(server.reads) == MAX_PROBES


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(count=0, size=5), True),
        (Seen(count=0, size=5, total=10), True),
        (Seen(count=0, size=5, total=15), False),  # a hole: there is more behind it
        (Seen(count=5, size=5, total=15), False),
        (Seen(count=5, size=5, total=10), True),
        (Seen(count=5, size=5, total=3), None),  # a total that cannot be: not believed
        (Seen(count=5, size=5, pages=2), True),
        (Seen(count=5, size=5, pages=3), False),
        (Seen(count=5, size=5, last=True), True),
        (Seen(count=2, size=5, last=False), False),
        (Seen(count=2, size=5, honoured=True), True),
        (Seen(count=5, size=5, honoured=True), None),
        (Seen(count=2, size=5), None),
    ],
)
def test_the_end_is_known_only_from_what_was_told(seen: Seen, expected: bool | None) -> None:  # noqa: FBT001
    assert is_last(1, seen) is expected


def test_neighbours_lie_in_the_direction_of_the_count() -> None:
    middle = Seen(count=5, size=5)

    assert neighbours(Numbered(3, 5), middle) == (Numbered(4, 5), Numbered(2, 5))
    assert neighbours(Numbered(3, 5, oldest_first=True), middle) == (
        Numbered(2, 5, oldest_first=True),
        Numbered(4, 5, oldest_first=True),
    )


def test_an_empty_page_far_beyond_the_end_leads_back_to_it_at_once() -> None:
    older, newer = neighbours(Numbered(80, 5), Seen(count=0, size=5, total=12))

    assert (older, newer) == (None, Numbered(2, 5))


@given(number=st.integers(0, 10_000), size=st.integers(1, 200), other=st.integers(1, 200))
def test_a_resized_page_holds_the_first_message_of_the_old_one(number: int, size: int, other: int) -> None:
    moved = resized(Numbered(number, size), other)

    assert moved.number * other <= number * size < (moved.number + 1) * other
