"""Profiles of the property tests: ``pytest --hypothesis-profile=deep`` for a long look at new examples.

The usual profile tries the same examples every time, so that a change fails by its own fault alone.
"""

from hypothesis import HealthCheck, settings

_slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "usual", max_examples=400, deadline=None, suppress_health_check=_slow, derandomize=True
)
settings.register_profile("deep", max_examples=20_000, deadline=None, suppress_health_check=_slow)
settings.load_profile("usual")
