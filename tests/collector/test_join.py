from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector.batch import Batch
from proxy.collector.join import cut, join
from proxy.otlp.envelope import Envelope
from proxy.otlp.wire import count
from tests.otlp import samples

ENVELOPE = Envelope({"service.name": "gate"})


def opened(spans: int, claimed: int | None = None) -> Batch:
    return Batch.open(
        "traces", samples.spans(spans), spans if claimed is None else claimed, ENVELOPE
    )


def sealed(spans: int) -> Batch:
    return Batch("traces", Envelope({"service.name": "app"}).request([samples.spans(spans)]), spans)


def test_one_envelope_is_written_once() -> None:
    whole = join("traces", [opened(2), sealed(3), opened(4), sealed(1)])
    assert whole.items == count("traces", whole.payload) == 10
    services = [
        resource.resource.attributes[0].value.string_value
        for resource in ExportTraceServiceRequest.FromString(whole.payload).resource_spans
    ]
    assert sorted(services) == ["app", "app", "gate"]


def test_joining_copies_nothing() -> None:
    batches = [opened(200), sealed(300), opened(100)]
    whole = join("traces", batches)
    pieces = list(whole.pieces)
    assert {id(b.opened()[0]) for b in batches if b.opened()} <= {id(piece) for piece in pieces}  # type: ignore[index]
    assert any(piece is batches[1].payload for piece in pieces)
    assert whole.size == sum(map(len, pieces)) == len(whole.payload)
    assert b"".join(pieces) == whole.payload == b"".join(whole.pieces)


def test_a_single_batch_is_not_touched() -> None:
    batch = sealed(3)
    assert join("traces", [batch]) is batch


@given(st.integers(0, 30), st.integers(0, 40), st.integers(1, 3000))
def test_claimed_items_are_kept_whatever_is_inside(real: int, claimed: int, limit: int) -> None:
    parts = cut(opened(real, claimed), limit)
    assert sum(part.items for part in parts) == claimed
    assert sum(count("traces", part.payload) for part in parts) == real


@given(st.integers(1, 60), st.integers(400, 3000))
def test_parts_are_within_the_limit(spans: int, limit: int) -> None:
    for batch in (opened(spans), sealed(spans)):
        parts = cut(batch, limit)
        assert sum(part.items for part in parts) == spans
        assert all(part.size <= limit or part.items == 1 for part in parts)
        assert all(count("traces", part.payload) == part.items for part in parts)
