"""Where a message lies that is not listed any more: its whole second counts as unseen, on either side."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.model import Message, Sender, SenderKind
from gateway.domain.target import Position, own_second

TEN = datetime(2030, 1, 1, 10, 0, 10, tzinfo=UTC)


def at(milliseconds: int) -> Message:
    return Message("m", "p1", Sender(SenderKind.SYSTEM), "", TEN + timedelta(milliseconds=milliseconds))


@pytest.mark.parametrize(
    ("milliseconds", "shown_to_older", "shown_to_newer"),
    [(-1000, True, False), (0, True, True), (1000, False, True)],
)
def test_whole_seconds_repeat_only_their_own_second(milliseconds, shown_to_older, shown_to_newer):
    lost = Position("gone", TEN)

    older_side = own_second(lost, [at(milliseconds)], older_edge=False)
    newer_side = own_second(lost, [at(milliseconds)], older_edge=True)

    assert older_side.passed(at(milliseconds)) is shown_to_older
    assert newer_side.newer(at(milliseconds)) is shown_to_newer


@pytest.mark.parametrize(
    ("milliseconds", "shown_to_older", "shown_to_newer"),
    [
        (-3001, True, False),
        (-2000, True, True),
        (-1106, True, True),
        (1106, True, True),
        (2999, True, True),
        (3000, False, True),
    ],
)
def test_times_finer_than_a_second_allow_for_the_other_clock(milliseconds, shown_to_older, shown_to_newer):
    lost, seen = Position("gone", TEN), [at(451)]

    assert own_second(lost, seen, older_edge=False).passed(at(milliseconds)) is shown_to_older
    assert own_second(lost, seen, older_edge=True).newer(at(milliseconds)) is shown_to_newer
