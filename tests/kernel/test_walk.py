"""The tree in C finds what its twin finds, in the same order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.kernel import walk
from tests.kernel import differ_walk
from tests.kernel.twins import twin

TWIN = twin("walk")

# few names, so that paths meet; more than one place compares without its table
NAMES = st.sampled_from(["a", "b", "ab", "", "é", "日本", "\udc80", *(f"n{i}" for i in range(12))])
SEGMENTS = st.lists(NAMES | st.none(), max_size=4)
PUT = st.lists(st.tuples(SEGMENTS, st.booleans()), max_size=40)
PATHS = st.lists(NAMES, max_size=5).map(lambda names: "".join(f"/{name}" for name in names))


def grown(module: Any, things: list[tuple[list[str | None], bool]]) -> Any:
    tree = module.Tree()
    for number, (segments, is_prefix) in enumerate(things):
        if segments or is_prefix:  # every path has a segment
            tree.put(segments, number, is_prefix)
    return tree


def found(tree: Any, path: str) -> list[int]:
    """What fits; `first` must be how it begins."""
    everything: list[int] = tree.all(path)
    first = tree.first(path)
    if first is not None:
        assert first == everything[: len(first)]
        assert bool(first) == bool(everything)
    return everything


@settings(max_examples=500)
@given(PUT, st.lists(PATHS | st.sampled_from(["", "*", "a/b", "//"]), max_size=12))
def test_both_find_the_same(things: list[tuple[list[str | None], bool]], paths: list[str]) -> None:
    compiled, plain = grown(walk, things), grown(TWIN, things)
    for path in paths:
        assert found(compiled, path) == found(plain, path)


@pytest.mark.parametrize("module", [walk, TWIN])
@pytest.mark.parametrize("number", [1, 4, 5, 16, 17, 1000])
def test_names_are_found_among_few_and_among_many(module: Any, number: int) -> None:
    tree = grown(module, [([f"name{i}", None], False) for i in range(number)])
    for i in range(number):
        assert tree.first(f"/name{i}/x") == [i]
    assert tree.first("/name/x") == tree.first(f"/name{number}/x") == []


@pytest.mark.parametrize("seed", range(20))
def test_random_trees_and_queues_agree(seed: int) -> None:
    differ_walk.once(seed)


@pytest.mark.parametrize("module", [walk, TWIN])
def test_a_deep_tree_can_be_forgotten(module: Any) -> None:
    for segment in ("a", None):
        tree = grown(module, [([segment] * 200_000, True)])
        assert tree.parts() or segment is None
        del tree
