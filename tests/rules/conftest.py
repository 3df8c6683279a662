"""How hard Hypothesis looks: `pytest --hypothesis-profile thorough` looks fifty times as long."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Worlds are large draws, and a settlement of one takes tens of milliseconds; neither is a fault of the test.
EXPECTED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

settings.register_profile("quick", max_examples=60, deadline=None, suppress_health_check=EXPECTED)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=3000)
settings.load_profile("quick")
