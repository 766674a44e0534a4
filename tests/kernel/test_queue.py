"""The queue in C gives the turns that its twin gives."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.kernel import queue
from tests.kernel.twins import twin

TWIN = twin("queue")
THINGS = st.integers(0, 9)
WEIGHTS = st.integers(1, 5)
STEPS = st.one_of(
    st.tuples(st.just("turn")),
    st.tuples(st.just("put"), THINGS, WEIGHTS),
    st.tuples(st.just("drop"), THINGS),
)


@settings(max_examples=500)
@given(st.dictionaries(THINGS, WEIGHTS), st.lists(STEPS, max_size=200))
def test_both_give_the_same_turns(begin: dict[int, int], steps: list[tuple[Any, ...]]) -> None:
    both = [m.Queue([(t, 1 / w) for t, w in begin.items()]) for m in (queue, TWIN)]
    for what, *arguments in steps:
        if what == "turn":
            assert both[0].turn() == both[1].turn()
        else:
            for one in both:
                one.put(arguments[0], 1 / arguments[1]) if what == "put" else one.drop(*arguments)
        assert len(both[0]) == len(both[1])
        assert both[0].void() == both[1].void()


@pytest.mark.parametrize("module", [queue, TWIN])
def test_turns_are_as_the_steps_say(module: Any) -> None:
    one = module.Queue([("a", 1.0), ("b", 1 / 3)])
    assert Counter(one.turn() for _ in range(400)) == {"a": 100, "b": 300}


@pytest.mark.parametrize("module", [queue, TWIN])
def test_nobody_has_a_turn_where_nobody_is(module: Any) -> None:
    one = module.Queue([])
    assert one.turn() is None
    one.drop("a")
    one.put("a", 1.0)
    assert one.turn() == "a"
    one.drop("a")
    assert one.turn() is None and len(one) == one.void() == 0


@pytest.mark.parametrize("module", [queue, TWIN])
def test_what_was_dropped_is_let_go(module: Any) -> None:
    class Thing:
        alive = 0

        def __init__(self) -> None:
            Thing.alive += 1

        def __del__(self) -> None:
            Thing.alive -= 1

    one = module.Queue([])
    for _ in range(100):
        thing = Thing()
        one.put(thing, 1.0)
        one.drop(thing)
        del thing
        one.turn()  # passes over the place that is void
    assert Thing.alive == 0
