"""An endpoint turns after enough probes in a row, not before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.health import TRANSITIONS, Health, ProbedState


@pytest.mark.parametrize(
    ("rise", "fall", "probes", "turns"),
    [
        (2, 3, "---", [None, None, False]),
        (2, 3, "--+--", [None] * 5),
        (2, 3, "--+---", [None] * 5 + [False]),
        (2, 3, "---++", [None, None, False, None, True]),
        (2, 3, "---+-++", [None, None, False, None, None, None, True]),
        (1, 1, "-+-+", [False, True, False, True]),
        (1, 1, "++", [None, None]),
        (2, 1, "--", [False, None]),
    ],
)
def test_turns(rise: int, fall: int, probes: str, turns: list[bool | None]) -> None:
    health = Health(rise, fall)
    assert [health.probe(p == "+") for p in probes] == turns


def test_an_endpoint_may_begin_as_down() -> None:
    health = Health(2, 3, up=False)
    assert [health.probe(True), health.probe(True)] == [None, True]
    assert health.up


def test_every_state_knows_what_follows() -> None:
    assert set(TRANSITIONS) == set(ProbedState)


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.booleans(), max_size=40))
def test_it_agrees_with_counting_backwards(rise: int, fall: int, probes: list[bool]) -> None:
    health, up = Health(rise, fall), True
    turned = 0  # probes before this one decided already
    for i, ok in enumerate(probes, 1):
        needed = fall if up else rise
        against = probes[max(turned, i - needed) : i]
        turns = len(against) == needed and all(p is not up for p in against)
        if turns:
            up, turned = not up, i
        assert health.probe(ok) is (up if turns else None)
        assert health.up is up
