"""When another try begins beside the first."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.hedge import LEAST, Hedge

MS = 1_000_000


def test_a_time_is_that_time() -> None:
    hedge = Hedge(after=50 * MS)
    hedge.answered(MS)
    assert hedge.after() == 50 * MS


def test_nothing_begins_before_enough_is_known() -> None:
    hedge = Hedge(share=0.95)
    for _ in range(LEAST - 1):
        hedge.answered(MS)
        assert hedge.after() == 0
    hedge.answered(MS)
    assert hedge.after() > 0


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
def test_a_percentile_is_right_within_a_bucket(share: float) -> None:
    chance, hedge = random.Random(1), Hedge(share=share)
    times = [int(chance.expovariate(1 / (10 * MS))) for _ in range(1900)]
    for took in times:
        hedge.answered(took)
    exact = sorted(times)[int(share * len(times))]
    assert exact / 1.15 < hedge.after() < exact * 1.3


def test_it_follows_what_is() -> None:
    hedge = Hedge(share=0.95)
    for took in (MS, 40 * MS):
        for _ in range(20_000):
            hedge.answered(took)
            hedge.after()
        assert took <= hedge.after() < 1.2 * took


@given(st.lists(st.integers(0, 2**62), min_size=LEAST, max_size=3 * LEAST))
def test_whatever_times_there_are(times: list[int]) -> None:
    hedge = Hedge(share=0.95)
    for took in times:
        hedge.answered(took)
    assert 0 < hedge.after() < 150_000 * MS
