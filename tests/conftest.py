"""Settings of Hypothesis for all tests.

A busy machine is no mistake of a test's: nothing here has a deadline, and drawing may be slow. In
CI the examples are the same each time, so that it tells of the change and not of luck; everywhere
else they are new ones.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "spangate",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("spangate")
