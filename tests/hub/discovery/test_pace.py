"""When DNS is asked again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.discovery.pace import Pace

CHANCES = st.floats(0, 1)


@given(st.floats(0, 1e9), CHANCES)
def test_never_after_the_ttl_nor_out_of_bounds(ttl: float, chance: float) -> None:
    pause = Pace().after(ttl, chance)
    assert 1 <= pause <= 300
    assert pause <= max(ttl, 1.1)
    assert pause >= 0.9 * min(ttl, 300)


@pytest.mark.parametrize(
    "ttl, chance, pause", [(0, 0, 1), (0, 1, 1.1), (60, 0, 60), (60, 1, 54), (1e6, 0, 300)]
)
def test_by_example(ttl: float, chance: float, pause: float) -> None:
    assert Pace().after(ttl, chance) == pytest.approx(pause)


def test_pauses_after_failures_double_up_to_half_a_minute() -> None:
    assert [Pace().again(n, 0) for n in (1, 2, 3, 4, 5, 6, 1000)] == [1, 2, 4, 8, 16, 30, 30]
