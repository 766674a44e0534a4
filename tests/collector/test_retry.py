from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.collector.retry import Backoff

BACKOFF = Backoff(initial=1.0, max=30.0, elapsed=300.0)


def middle() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("attempt", "pause"), [(1, 1.0), (2, 1.5), (3, 2.25), (9, 25.6289), (10, 30.0), (5000, 30.0)]
)
def test_pauses_grow_to_a_maximum(attempt: int, pause: float) -> None:
    assert BACKOFF.pause(attempt, None, 0, middle) == pytest.approx(pause, rel=1e-4)


def test_pauses_differ_by_half_in_both_directions() -> None:
    assert BACKOFF.pause(1, None, 0, lambda: 0.0) == 0.5
    assert BACKOFF.pause(1, None, 0, lambda: 1.0) == 1.5


def test_never_earlier_than_asked_and_not_all_in_the_same_instant() -> None:
    assert BACKOFF.pause(1, 20.0, 0, lambda: 0.0) == 20.0
    assert BACKOFF.pause(1, 20.0, 0, lambda: 1.0) == 20.5
    assert BACKOFF.pause(20, 2.0, 0, middle) == 30.0


@pytest.mark.parametrize(
    ("spent", "asked", "goes_on"),
    [(0, None, True), (298.0, None, True), (299.5, None, False), (0, 299.0, True), (0, 400, False)],
)
def test_gives_up_when_the_next_try_would_come_too_late(
    spent: float, asked: float | None, goes_on: bool
) -> None:
    assert (BACKOFF.pause(1, asked, spent, middle) is not None) == goes_on


@given(
    st.integers(1, 10**9),
    st.none() | st.floats(0, 1e9),
    st.floats(0, 1e9),
    st.floats(0, 1, exclude_max=True),
)
def test_without_an_end_it_never_gives_up(
    attempt: int, asked: float | None, spent: float, chance: float
) -> None:
    pause = Backoff(1.0, 30.0, 0.0).pause(attempt, asked, spent, lambda: chance)
    assert pause is not None
    assert pause >= min(asked or 0, 3600)
    assert pause <= 3700
