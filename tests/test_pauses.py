"""Pauses that are doubled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.pauses import doubled


def test_each_is_twice_as_long_until_the_longest() -> None:
    assert [doubled(10.0, times, 300.0) for times in range(7)] == [10, 20, 40, 80, 160, 300, 300]


@given(st.floats(0.001, 100.0), st.integers(-2, 10**12), st.floats(0.001, 1000.0))
def test_none_is_longer_than_the_longest(first: float, times: int, longest: float) -> None:
    assert 0 < doubled(first, times, longest) <= longest
