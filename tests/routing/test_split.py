"""Upstreams get the shares that their weights say."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.split import Split


def test_one_upstream_gets_everything() -> None:
    assert [Split({"a": 7}).pick(r) for r in (0.0, 0.5, 0.999)] == ["a"] * 3


@pytest.mark.parametrize(
    ("r", "name"), [(0.0, "stable"), (0.8999, "stable"), (0.9, "canary"), (0.9999, "canary")]
)
def test_the_boundary_lies_at_the_weight(r: float, name: str) -> None:
    assert Split({"stable": 90, "canary": 10}).pick(r) == name


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 50), min_size=1, max_size=6))
def test_evenly_spread_numbers_meet_the_weights_exactly(weights: dict[str, int]) -> None:
    split, total = Split(weights), sum(weights.values())
    assert Counter(split.pick((i + 0.5) / total) for i in range(total)) == weights
    assert split.pick(1 - 2**-53) == list(weights)[-1]


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": 1, "b": -1}])
def test_weights_that_mean_nothing_are_refused(weights: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Split(weights)
