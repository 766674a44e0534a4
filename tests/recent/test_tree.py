"""A trace as it is drawn: in order, whatever its ids say, and what the time was spent on."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.recent.model import Span
from proxy.recent.tree import Node, grown


def span(own: int, parent: int = 0, start: int = 0, end: int = 10) -> Span:
    return Span(b"t" * 16, bytes([own]), bytes([parent]) if parent else b"", start=start, end=end)


def drawn(*spans: Span) -> list[tuple[int, int]]:
    """Ids and depths."""
    return [(node.span.span_id[0], node.depth) for node in grown(spans)]


def critical(*spans: Span) -> dict[int, list[tuple[int, int]]]:
    return {node.span.span_id[0]: node.critical for node in grown(spans)}


def test_depth_first_and_siblings_by_start() -> None:
    spans = [span(1), span(4, 1, start=5), span(3, 2, start=2), span(2, 1, start=1), span(5, 4, 6)]
    assert drawn(*spans) == [(1, 0), (2, 1), (3, 2), (4, 1), (5, 2)]


def test_what_hangs_on_nothing_is_a_root() -> None:
    assert drawn(span(2, 9, start=1), span(1)) == [(1, 0), (2, 0)]
    assert drawn(span(1, 1)) == [(1, 0)]
    assert drawn() == []


def test_circles_are_drawn_too() -> None:
    assert drawn(span(1), span(2, 3), span(3, 2)) == [(1, 0), (2, 0), (3, 1)]


def test_a_deep_trace_does_not_recurse() -> None:
    ids = [number.to_bytes(4, "big") for number in range(9001)]
    spans = [Span(b"t" * 16, own, parent, end=9) for own, parent in pairwise(ids)]
    nodes = grown(spans)
    assert max(node.depth for node in nodes) == 8999


def test_the_critical_path_is_what_was_waited_for() -> None:
    found = critical(
        span(1, end=100),
        span(2, 1, start=10, end=40),  # then nobody waited for 3, which ended within it
        span(3, 1, start=15, end=30),
        span(4, 1, start=50, end=90),
        span(5, 4, start=60, end=80),
    )
    assert found == {
        1: [(0, 10), (40, 50), (90, 100)],
        2: [(10, 40)],
        3: [],
        4: [(50, 60), (80, 90)],
        5: [(60, 80)],
    }


def test_clocks_that_differ_lead_to_nothing_outside_of_the_trace() -> None:
    found = critical(span(1, start=50, end=100), span(2, 1, start=0, end=70), span(3, 2, 0, 60))
    assert found == {1: [(70, 100)], 2: [(60, 70)], 3: [(50, 60)]}


SPANS = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 12), st.integers(0, 50), st.integers(0, 50)),
    max_size=12,
    unique_by=lambda one: one[0],
)


@given(SPANS)
def test_every_span_is_drawn_once_and_the_path_covers_the_last_root(
    rows: list[tuple[int, int, int, int]],
) -> None:
    spans = [span(own, parent, start, start + took) for own, parent, start, took in rows]
    nodes = grown(spans)
    assert sorted(node.span.span_id for node in nodes) == sorted(one.span_id for one in spans)
    ids = {one.span_id for one in spans}
    roots = [n for n in nodes if n.span.parent_id not in ids or n.span.parent_id == n.span.span_id]
    pieces = sorted(piece for node in nodes for piece in node.critical)
    if not roots:
        assert pieces == []
        return
    last = max(node.span.end for node in roots)
    covered = sum(end - begin for begin, end in pieces)
    assert all(one[1] <= other[0] for one, other in pairwise(pieces))
    assert not pieces or pieces[-1][1] == last
    assert covered == (last - pieces[0][0] if pieces else 0)


@given(SPANS)
def test_parents_are_drawn_before_their_children(rows: list[tuple[int, int, int, int]]) -> None:
    nodes = grown([span(own, parent, start, start + took) for own, parent, start, took in rows])
    depth_of: dict[bytes, Node] = {}
    for node in nodes:
        if node.depth:
            assert depth_of[node.span.parent_id].depth == node.depth - 1
        depth_of[node.span.span_id] = node
