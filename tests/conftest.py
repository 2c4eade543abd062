"""Profiles of the property tests: ``pytest --hypothesis-profile=deep`` for a long look."""

from hypothesis import HealthCheck, settings

_slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("usual", max_examples=400, deadline=None, suppress_health_check=_slow)
settings.register_profile("deep", max_examples=20_000, deadline=None, suppress_health_check=_slow)
settings.load_profile("usual")
