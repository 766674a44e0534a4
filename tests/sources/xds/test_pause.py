"""When a stream that broke is opened again: later each time, and by many not at once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("grpc", reason="grpcio is not installed")

from proxy.sources.xds.client import FIRST_PAUSE, LONGEST_PAUSE, SPREAD, pause

SIDECARS = 3000


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_it_is_bounded(attempt: int, chance: float) -> None:
    assert 0 < pause(attempt, chance) <= LONGEST_PAUSE


def test_it_is_longer_each_time_until_it_is_the_longest() -> None:
    found = [pause(attempt, 0.0) for attempt in range(8)]
    assert found == [SPREAD, *(FIRST_PAUSE * 2**n for n in range(1, 6)), *[LONGEST_PAUSE] * 2]


@pytest.mark.parametrize(("attempt", "least"), [(0, 1.0), (1, 0.5), (2, 1.0), (6, 15.0)])
def test_those_that_lost_it_together_do_not_come_back_together(attempt: int, least: float) -> None:
    times = [pause(attempt, n / SIDECARS) for n in range(SIDECARS)]
    assert max(times) - min(times) > 0.99 * least
    tenths = Counter(int(10 * at / least) for at in times)
    assert max(tenths.values()) <= SIDECARS / 10 + 1
