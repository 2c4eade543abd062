"""The breaker and the budget, by rules that hold whatever calls do, and with a clock of their own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.welkin.breaker import (
    FEWEST_FAILURES,
    IN_A_ROW,
    MOST_SUBJECTS,
    PAUSES,
    PROBE_SECONDS,
    WINDOW_SECONDS,
    Breaker,
    BreakerState,
    Ticket,
)
from gateway.welkin.budget import AT_LEAST, RetryBudget
from gateway.welkin.throttle import LONGEST_SECONDS, Throttle


class Clock:
    """A clock that goes on when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ends(breaker: Breaker, *, ok: bool | None, times: int = 1, subject: str | None = None) -> None:
    for _ in range(times):
        ticket = breaker.enter()
        assert ticket is not None
        breaker.leave(ticket, ok=ok, subject=subject)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


@pytest.fixture
def opened(breaker: Breaker) -> Breaker:
    ends(breaker, ok=False, times=FEWEST_FAILURES)
    assert breaker.state is BreakerState.OPEN
    return breaker


def test_a_few_failures_among_many_answers_open_nothing(breaker: Breaker) -> None:
    for _ in range(100):
        ends(breaker, ok=True, times=2)
        ends(breaker, ok=False)

    assert breaker.state is BreakerState.CLOSED


def test_a_long_row_of_failures_opens_whatever_went_before(breaker: Breaker) -> None:
    ends(breaker, ok=True, times=1000)

    ends(breaker, ok=False, times=IN_A_ROW)

    assert breaker.state is BreakerState.OPEN


def test_failures_that_lie_back_do_not_count(breaker: Breaker, clock: Clock) -> None:
    for _ in range(FEWEST_FAILURES * 3):
        ends(breaker, ok=False)
        clock.now += 4

    assert breaker.state is BreakerState.CLOSED


def test_calls_that_nobody_waited_for_say_nothing(breaker: Breaker) -> None:
    ends(breaker, ok=None, times=1000)

    assert breaker.state is BreakerState.CLOSED


def test_one_probe_goes_out_after_each_pause_and_the_pauses_grow(opened: Breaker, clock: Clock) -> None:
    for pause in (*PAUSES, PAUSES[-1]):
        clock.now += pause - 0.01
        assert opened.enter() is None
        clock.now += 0.02
        probe = opened.enter()
        assert probe is not None
        assert opened.enter() is None
        opened.leave(probe, ok=False)


def test_a_probe_that_succeeds_closes_and_the_next_outage_begins_with_a_short_pause(
    opened: Breaker, clock: Clock
) -> None:
    clock.now += PAUSES[0]

    ends(opened, ok=True)

    assert opened.state is BreakerState.CLOSED
    ends(opened, ok=False, times=FEWEST_FAILURES)
    clock.now += PAUSES[0]
    assert opened.enter() is not None


def test_a_probe_that_hangs_makes_way_for_the_next_and_may_still_close(opened: Breaker, clock: Clock) -> None:
    clock.now += PAUSES[0]
    hanging = opened.enter()
    clock.now += PROBE_SECONDS

    second = opened.enter()

    assert hanging is not None
    assert second is not None
    opened.leave(hanging, ok=True)
    assert opened.state is BreakerState.CLOSED
    opened.leave(second, ok=False)
    assert opened.state is BreakerState.CLOSED, "what it says is older than the success"


def test_a_probe_whose_caller_left_makes_way_at_once(opened: Breaker, clock: Clock) -> None:
    clock.now += PAUSES[0]

    ends(opened, ok=None)

    assert opened.enter() is not None


def test_failures_of_one_subject_count_once_in_a_while(breaker: Breaker, clock: Clock) -> None:
    for _ in range(IN_A_ROW * 3):
        ends(breaker, ok=False, subject="sick", times=50)
        clock.now += WINDOW_SECONDS

    assert breaker.state is BreakerState.CLOSED
    ends(breaker, ok=False, subject="sick")
    ends(breaker, ok=False, times=FEWEST_FAILURES - 1)
    assert breaker.state is BreakerState.OPEN, "together with others it is a failure like theirs"


def test_a_few_subjects_that_fail_at_once_open(breaker: Breaker) -> None:
    for number in range(FEWEST_FAILURES - 1):
        ends(breaker, ok=False, subject=f"s{number}", times=10)
        assert breaker.state is BreakerState.CLOSED

    ends(breaker, ok=False, subject="one more")

    assert breaker.state is BreakerState.OPEN


def test_a_long_row_of_subjects_that_fail_opens_whatever_went_before(breaker: Breaker) -> None:
    ends(breaker, ok=True, times=1000)

    for number in range(IN_A_ROW):
        ends(breaker, ok=False, subject=f"s{number}")

    assert breaker.state is BreakerState.OPEN


def test_a_probe_of_one_subject_counts_once_and_then_makes_way(opened: Breaker, clock: Clock) -> None:
    clock.now += PAUSES[0]
    ends(opened, ok=False, subject="sick")
    assert opened.enter() is None
    clock.now += PAUSES[1]

    ends(opened, ok=False, subject="sick", times=3)

    ends(opened, ok=True)
    assert opened.state is BreakerState.CLOSED


def test_another_subject_of_a_probe_is_a_failure_and_a_new_outage_counts_all_of_them_anew(
    opened: Breaker, clock: Clock
) -> None:
    for number, pause in enumerate(PAUSES):
        clock.now += pause
        ends(opened, ok=False, subject=f"s{number}")
        assert opened.enter() is None
    clock.now += PAUSES[-1]
    ends(opened, ok=True)

    for number in range(FEWEST_FAILURES):
        ends(opened, ok=False, subject=f"s{number}")

    assert opened.state is BreakerState.OPEN


def test_subjects_without_number_take_no_memory_without_end(breaker: Breaker, clock: Clock) -> None:
    for number in range(MOST_SUBJECTS * 3):
        ends(breaker, ok=True, times=2)
        ends(breaker, ok=False, subject=f"s{number}")
        clock.now += 0.001

    assert breaker.state is BreakerState.CLOSED
    assert len(breaker._counted) == MOST_SUBJECTS
    clock.now += WINDOW_SECONDS
    ends(breaker, ok=False, subject="last")
    assert len(breaker._counted) == 1


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.01, 0.6, 3.0, 9.9, 10.0]), st.sampled_from([True, False, None])),
        max_size=200,
    )
)
def test_one_subject_alone_never_opens(calls: list[tuple[float, bool | None]]) -> None:
    """However often it fails, between whatever successes, and however long that goes on."""
    clock = Clock()
    breaker = Breaker(clock)
    for seconds, ok in calls:
        clock.now += seconds
        ends(breaker, ok=ok, subject="sick")

        assert breaker.state is BreakerState.CLOSED


class Outages(RuleBasedStateMachine):
    """Calls begin, end and hang in any order, while Welkin comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(self.clock)
        self.under_way: list[Ticket] = []

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 3.0, 20.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def a_call_asks_for_leave(self) -> None:
        before = self.breaker.state
        ticket = self.breaker.enter()
        assert (ticket is not None) or before is not BreakerState.CLOSED
        if ticket is not None:
            self.under_way.append(ticket)

    @precondition(lambda self: self.under_way)
    @rule(
        data=st.data(),
        ok=st.sampled_from([True, False, False, None]),
        subject=st.sampled_from([None, None, "a", "b"]),
    )
    def a_call_ends(self, data: st.DataObject, ok: bool | None, subject: str | None) -> None:  # noqa: FBT001 - drawn
        ticket = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        stood, before = self.breaker.stands(ticket), self.breaker.state
        told = self.breaker.leave(ticket, ok=ok, subject=subject)
        assert told is ok or (told is None and ok is False and subject is not None)
        if not stood or told is None:
            assert (self.breaker.state is BreakerState.CLOSED) == (before is BreakerState.CLOSED)
        if stood and ok and before is not BreakerState.CLOSED:
            assert self.breaker.state is BreakerState.CLOSED

    @invariant()
    def welkin_is_never_left_alone_for_long(self) -> None:
        """Once it is back, a call that comes five seconds later goes out."""
        later = Breaker(lambda: self.clock.now + 5)
        for name in ("_closed", "_next_probe", "_era"):
            setattr(later, name, getattr(self.breaker, name))
        assert later.enter() is not None


TestOutages = Outages.TestCase
TestOutages.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_retries_are_a_fifth_of_the_calls_and_three_at_least(clock: Clock) -> None:
    budget = RetryBudget(clock)
    calls = retries = 0
    for _ in range(1000):
        budget.called()
        calls += 1
        retries += sum(budget.spend() for _ in range(3))
        clock.now += 0.02

    assert AT_LEAST <= retries <= 0.2 * calls


def test_an_instance_that_is_hardly_used_may_try_again_three_times(clock: Clock) -> None:
    budget = RetryBudget(clock)
    budget.called()

    assert [budget.spend() for _ in range(5)] == [True, True, True, False, False]
    clock.now += 11
    assert budget.spend()


def test_a_pause_that_welkin_asks_for_is_kept_and_ends(clock: Clock) -> None:
    throttle = Throttle(clock)
    throttle.slow_down(2)
    assert throttle.wait == pytest.approx(2)

    throttle.slow_down(1)

    assert throttle.wait == pytest.approx(2), "a later answer takes nothing back"
    clock.now += 2.01
    assert throttle.wait is None


def test_a_pause_of_an_hour_is_told_but_not_kept_for_an_hour(clock: Clock) -> None:
    throttle = Throttle(clock)
    throttle.slow_down(3600)

    clock.now += LONGEST_SECONDS - 1
    assert throttle.wait == pytest.approx(3541)
    clock.now += 2
    assert throttle.wait is None
    throttle.slow_down(1)
    assert throttle.wait == pytest.approx(1)
