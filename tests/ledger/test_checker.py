"""The checker finds every kind of defect: histories that are right are falsified in one place."""

from __future__ import annotations

import pytest

from benchmarks.ledger.checker import KINDS, Defect, Findings, check
from benchmarks.ledger.records import Line, Truth

IDS = [f"ann-{n}" for n in range(1, 9)]


@pytest.fixture
def truth() -> Truth:
    return Truth(
        ids={("v1", "ann"): IDS, ("v2", "ann"): [f"2-{each}" for each in IDS], ("v1", "bob"): ["bob-1"]},
        acknowledged={("v1", "ann", 5): 1.0},
    )


def line(ids: list[str], start: int | None = 2) -> Line:
    return Line("subscriber", "ann", "v1", start, [(float(n), each) for n, each in enumerate(ids)])


def found(truth: Truth, ids: list[str], start: int | None = 2) -> list[tuple[str, int | None]]:
    return [(defect.kind, defect.position) for defect in check(truth, [line(ids, start)]).defects]


def test_everything_once_and_in_order_is_right(truth):
    findings = check(truth, [line(IDS[2:]), line(IDS[4:], start=None), line([], start=None)])

    assert findings == Findings([], expected=10, shown=10)
    assert findings.counts == dict.fromkeys(KINDS, 0)


@pytest.mark.parametrize("missing", [3, 4, 6, 7, 8])
def test_a_message_that_was_never_shown_is_lost_wherever_it_stands(truth, missing):
    assert found(truth, [each for each in IDS[2:] if each != f"ann-{missing}"]) == [("lost", missing)]


def test_a_message_whose_webhook_was_taken_is_lost_twice(truth):
    shown = [each for each in IDS[2:] if each != "ann-5"]

    assert found(truth, shown) == [("lost", 5), ("acknowledged_lost", 5)]


def test_a_subscriber_that_was_shown_nothing_lost_everything(truth):
    assert [kind for kind, _ in found(truth, [])].count("lost") == 6


def test_one_that_began_at_the_present_has_no_gaps_from_its_first_message_on(truth):
    assert found(truth, ["ann-4", "ann-6", "ann-7", "ann-8"], start=None) == [
        ("lost", 5),
        ("acknowledged_lost", 5),
    ]


@pytest.mark.parametrize("again", [3, 6, 8])
def test_a_message_that_came_twice_is_doubled(truth, again):
    assert found(truth, [*IDS[2:], f"ann-{again}"]) == [("doubled", again)]


def test_a_message_that_came_after_a_newer_one_is_misordered(truth):
    assert found(truth, ["ann-3", "ann-5", "ann-4", "ann-6", "ann-7", "ann-8"]) == [("misordered", 4)]


def test_a_message_from_before_the_cursor_is_misordered(truth):
    assert found(truth, ["ann-2", *IDS[2:]]) == [("misordered", 2)]


@pytest.mark.parametrize("stranger", ["bob-1", "2-ann-3", "nobodys"])
def test_a_message_of_another_conversation_version_or_of_none_is_foreign(truth, stranger):
    assert found(truth, [*IDS[2:5], stranger, *IDS[5:]]) == [("foreign", None)]


def test_a_defect_says_whose_it_is(truth):
    (defect,) = check(truth, [line(IDS[2:7])]).defects

    assert defect == Defect("lost", "subscriber", "ann", 8)
