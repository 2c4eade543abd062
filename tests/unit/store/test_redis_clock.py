"""What is known of Redis's clock holds, whatever the ways to it and back took."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.redis_clock import RedisClock


@settings(max_examples=100)
@given(
    st.floats(-1e9, 1e9),
    st.lists(st.tuples(st.floats(0.001, 5), st.floats(0, 0.2), st.floats(0, 0.2)), min_size=1, max_size=20),
    st.floats(-60, 60),
)
def test_the_clock_of_redis_is_known_within_bounds_that_hold(
    offset: float, looks: list[tuple[float, float, float]], moment: float
):
    """Each look: how long after the last one, and how long its way there and back took."""
    clock, now = RedisClock(), 1000.0
    for pause, there, back in looks:
        sent = now + pause
        now = sent + there + back
        clock.observe(sent, now, sent + there + offset)

    here, rounding = now + moment, 1e-5
    assert clock.earliest_here(here + offset) <= here + rounding
    assert clock.latest_here(here + offset) >= here - rounding
    assert clock.earliest_there(here) <= here + offset + rounding
    assert clock.latest_there(here) >= here + offset - rounding


def test_a_clock_that_was_set_is_learned_anew():
    clock = RedisClock()
    clock.observe(10, 10.1, 1000.05)
    clock.observe(20, 20.1, 5000.05)

    assert clock.earliest_here(5000.05) == pytest.approx(20.0)
    assert clock.latest_here(5000.05) == pytest.approx(20.1)
