from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from proxy.collector.tail.cut import cut
from proxy.collector.tail.frames import Frames
from proxy.collector.tail.waiting import Waiting
from proxy.otlp.wire import WireError
from proxy.telemetry.protobuf import delimited
from tests.collector.tail_kit import batch, joined, span


def test_neighbours_of_a_trace_are_one_piece() -> None:
    pieces = cut(batch([span(1, 1), span(1, 2, parent=1), span(2, 3), span(1, 4)]).payload)
    assert [(p.trace_id[-1], p.spans, p.root) for p in pieces] == [
        (1, 2, True),
        (2, 1, True),
        (1, 1, True),
    ]


@pytest.mark.parametrize(
    ("made", "root"),
    [
        (span(1), True),
        (span(1, parent=7), False),
        (span(1, trace_state="a=b"), True),
        (span(1, parent=7, trace_state="a=b"), False),
    ],
)
def test_roots_are_known_by_having_no_parent(made: object, root: bool) -> None:
    assert [p.root for p in cut(batch([made]).payload)] == [root]  # type: ignore[list-item]


def test_fields_in_another_order_are_read_too() -> None:
    body = (
        delimited(5, b"name")
        + delimited(4, b"")
        + delimited(2, bytes(7) + b"\1")
        + delimited(1, bytes(15) + b"\5")
    )
    request = delimited(1, delimited(2, delimited(2, body)))
    (piece,) = cut(request)
    assert (piece.trace_id[-1], piece.root, piece.spans) == (5, True, 1)


@pytest.mark.parametrize("trace_id", [b"", bytes(16), b"short", bytes(17)])
def test_an_invalid_trace_id_is_told_as_none(trace_id: bytes) -> None:
    made = span(1)
    made.trace_id = trace_id
    assert [p.trace_id for p in cut(batch([made]).payload)] == [b""]


def test_a_span_that_is_none_spoils_only_itself() -> None:
    request = batch([span(1)]).payload + delimited(1, delimited(2, delimited(2, b"\xff\xff")))
    assert [p.trace_id for p in cut(request)] == [span(1).trace_id, b""]


@given(st.binary(max_size=200))
def test_any_bytes_are_cut_or_refused(data: bytes) -> None:
    with contextlib.suppress(WireError):
        cut(data)


@given(st.binary(max_size=60))
def test_any_span_is_cut(data: bytes) -> None:
    pieces = cut(delimited(1, delimited(2, delimited(2, data))))
    assert [piece.spans for piece in pieces] == [1]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2), st.booleans()), max_size=30))
def test_everything_of_a_request_is_in_its_pieces(rows: list[tuple[int, int, bool]]) -> None:
    requests = [
        batch([span(trace, n, parent=parent, kind=3)], service="a" if odd else "b")
        for n, (trace, parent, odd) in enumerate(rows, 1)
    ]
    whole = ExportTraceServiceRequest.FromString(joined(*requests).payload)
    frames = Frames()
    again = ExportTraceServiceRequest()
    for piece in cut(joined(*requests).payload):
        frame = frames.take(piece.resource, piece.scope)
        again.MergeFromString(frame.request([piece.data]))
        assert len(ScopeSpans.FromString(piece.data).spans) == piece.spans
    assert again == whole
    assert len(frames) <= 2


def test_waiting_counts_in_and_out() -> None:
    waiting = Waiting(5.0, 1.0)
    pieces = cut(
        joined(*[batch([span(n % 7 + 1, n)], service=f"s{n % 3}") for n in range(1, 50)]).payload
    )
    for n, piece in enumerate(pieces):
        waiting.add(piece, n / 100)
    assert (len(waiting), waiting.spans) == (7, 49)
    assert len(waiting.frames) == 3
    while (pending := waiting.pop_due(100.0)) is not None:
        waiting.forget(pending.parts)
    assert (len(waiting), waiting.spans, waiting.memory, len(waiting.frames)) == (0, 0, 0, 0)


def test_a_root_makes_a_trace_due_earlier() -> None:
    waiting = Waiting(30.0, 2.0)
    for piece in cut(batch([span(1, 2, parent=1), span(2, 3, parent=9)]).payload):
        waiting.add(piece, 0.0)
    assert waiting.next_due() == 30.0
    for piece in cut(batch([span(1)]).payload):
        waiting.add(piece, 5.0)
    assert waiting.next_due() == 7.0
    assert waiting.pop_due(6.9) is None
    due = waiting.pop_due(7.0)
    assert due is not None and due.trace_id[-1] == 1
    assert waiting.next_due() == 30.0
