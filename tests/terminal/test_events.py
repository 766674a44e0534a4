from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.terminal import events
from proxy.terminal.events import Event, Events

STREAM = (
    b": hello\n\n"
    b'event: request\nid: 1\ndata: {"a": 1}\n\n'
    b"data: one\r\ndata:two\r\n\r\n"
    b'event: dropped\ndata: {"count": 3}\n\n'
    b"event: nothing\n\n"
    b"data: not complete\n"
)
TOLD = [
    Event("request", '{"a": 1}'),
    Event("message", "one\ntwo"),
    Event("dropped", '{"count": 3}'),
]


@given(st.lists(st.integers(0, len(STREAM))))
def test_however_it_is_cut_it_says_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    reader = Events()
    pieces = [STREAM[a:b] for a, b in pairwise(edges)]
    assert [event for piece in pieces for event in reader.feed(piece)] == TOLD


@given(st.lists(st.binary(), max_size=20))
def test_anything_can_come(pieces: list[bytes]) -> None:
    reader = Events()
    for piece in pieces:
        assert all(isinstance(event.data, str) for event in reader.feed(piece))


def test_a_line_without_end_is_passed_by() -> None:
    reader = Events()
    piece = b"x" * 65536
    for _ in range(events.MOST // len(piece) + 2):
        assert reader.feed(piece) == []
    assert reader.feed(b"y\ndata: after\n\n") == [Event("message", "after")]
