from __future__ import annotations

import time

from proxy.kernel import clock


def test_they_are_the_systems_clocks() -> None:
    before = time.monotonic_ns(), time.time_ns()
    found = clock.monotonic_ns(), clock.time_ns()
    after = time.monotonic_ns(), time.time_ns()
    assert before[0] <= found[0] <= after[0]
    assert before[1] <= found[1] <= after[1]
