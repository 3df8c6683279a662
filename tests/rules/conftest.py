"""How hard Hypothesis looks: `HYPOTHESIS_PROFILE=thorough` looks fifty times as long."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Worlds are large draws, and settling one takes tens of milliseconds; neither is a fault of the test.
EXPECTED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

settings.register_profile("quick", max_examples=100, deadline=None, suppress_health_check=EXPECTED)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
