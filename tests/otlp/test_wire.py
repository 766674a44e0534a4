from __future__ import annotations

import contextlib

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from proxy.otlp import wire
from proxy.otlp.envelope import Envelope
from proxy.telemetry.protobuf import delimited
from tests.otlp import samples


def traces(shape: list[list[int]]) -> ExportTraceServiceRequest:
    """One resource for each list, one scope with so many spans for each number."""
    request = ExportTraceServiceRequest()
    number = 0
    for r, scopes in enumerate(shape):
        resource = request.resource_spans.add(schema_url="https://schema/r")
        resource.resource.attributes.add(key="r").value.int_value = r
        for s, spans in enumerate(scopes):
            scope = resource.scope_spans.add(schema_url="https://schema/s")
            scope.scope.name = f"scope {s}"
            for _ in range(spans):
                scope.spans.append(samples.span(number))
                number += 1
    return request


def flat(payload: bytes) -> list[tuple[bytes, str, str, bytes]]:
    """Every span with all that encloses it."""
    request = ExportTraceServiceRequest.FromString(payload)
    return [
        (
            resource.resource.SerializeToString() + resource.schema_url.encode(),
            scope.scope.name,
            scope.schema_url,
            span.SerializeToString(deterministic=True),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def points(payload: bytes) -> list[tuple[str, str, int]]:
    request = ExportMetricsServiceRequest.FromString(payload)
    return [
        (metric.name, metric.unit, point.as_int)
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.sum.data_points
    ]


SHAPES = st.lists(st.lists(st.integers(0, 6), max_size=3), max_size=4)


@given(SHAPES)
def test_counts_spans(shape: list[list[int]]) -> None:
    payload = traces(shape).SerializeToString()
    assert wire.count("traces", payload) == sum(map(sum, shape))


@pytest.mark.parametrize("kind", ["gauge", "sum", "histogram", "exponential_histogram", "summary"])
def test_counts_data_points_of_every_kind(kind: str) -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    for _ in range(3):
        getattr(metric, kind).data_points.add()
    assert wire.count("metrics", request.SerializeToString()) == 3


@given(SHAPES, st.integers(1, 2000))
def test_split_keeps_every_span_and_what_encloses_it(shape: list[list[int]], limit: int) -> None:
    payload = traces(shape).SerializeToString()
    parts = wire.split("traces", payload, limit)
    assert [row for part, _ in parts for row in flat(part)] == flat(payload)
    for part, items in parts:
        assert items == len(flat(part)) > 0
        assert len(part) <= limit or items == 1


def test_split_cuts_one_metric_between_its_points() -> None:
    payload = samples.metrics(500, names=2)
    parts = wire.split("metrics", payload, 1000)
    assert [row for part, _ in parts for row in points(part)] == points(payload)
    assert len(parts) > 10
    assert all(len(part) <= 1000 and items == len(points(part)) for part, items in parts)


def test_split_keeps_unknown_fields() -> None:
    request = traces([[2]])
    inside = request.resource_spans[0].SerializeToString()
    payload = delimited(1, inside + delimited(99, b"from the future"))
    for part, _ in wire.split("traces", payload, 150):
        assert b"from the future" in part


def test_split_leaves_empty_envelopes_out() -> None:
    assert wire.split("traces", traces([[0], []]).SerializeToString(), 10) == []


@given(st.integers(0, 40), st.integers(1, 500))
def test_split_entries(count: int, limit: int) -> None:
    entries = samples.spans(count)
    parts = wire.split_entries(entries, limit)
    assert b"".join(part for part, _ in parts) == entries
    assert sum(items for _, items in parts) == count
    assert all(len(part) <= limit or items == 1 for part, items in parts)


@given(st.binary(max_size=200))
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
@example(b"\x00\x00")
@example(b"\x0b\x0c")
def test_any_bytes_scan_or_raise_wire_error(data: bytes) -> None:
    for signal in ("traces", "metrics", "logs"):
        try:
            count = wire.count(signal, data)
        except wire.WireError:
            with pytest.raises(wire.WireError):
                wire.split(signal, data, 10)
            continue
        assert sum(items for _, items in wire.split(signal, data, 10)) == count
    for read in (wire.partial_success, lambda d: wire.split_entries(d, 10)):
        with contextlib.suppress(wire.WireError):
            read(data)


@given(SHAPES.filter(lambda s: sum(map(sum, s)) > 0), st.data())
def test_garbled_requests_never_count_other_than_protobuf(
    shape: list[list[int]], data: st.DataObject
) -> None:
    payload = bytearray(traces(shape).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(payload[: data.draw(st.integers(0, len(payload)))])
    try:
        count = wire.count("traces", cut)
    except wire.WireError:
        return
    try:
        decoded = len(flat(cut))
    except (DecodeError, UnicodeDecodeError):
        return  # protobuf looks into the items too
    assert count == decoded


@pytest.mark.parametrize("size", range(1, 60))
def test_every_cut_of_a_request_is_refused_or_shorter(size: int) -> None:
    payload = traces([[2], [1]]).SerializeToString()
    cut = payload[: size * len(payload) // 60]
    try:
        assert wire.count("traces", cut) < 3
    except wire.WireError as error:
        assert str(error)


def test_partial_success() -> None:
    response = ExportTraceServiceResponse()
    assert wire.partial_success(response.SerializeToString()) == (0, "")
    response.partial_success.rejected_spans = 7
    response.partial_success.error_message = "quota"
    assert wire.partial_success(response.SerializeToString()) == (7, "quota")
    response.partial_success.rejected_spans = -1
    assert wire.partial_success(response.SerializeToString()) == (0, "quota")


def test_envelope_wraps_entries_in_one_resource_and_scope() -> None:
    envelope = Envelope({"service.name": "gate", "process.pid": 7})
    payload = envelope.request([samples.spans(2), samples.spans(3, first=2)])
    request = ExportTraceServiceRequest.FromString(payload)
    assert len(request.resource_spans) == 1
    resource = request.resource_spans[0]
    values = {a.key: a.value for a in resource.resource.attributes}
    assert values["service.name"].string_value == "gate"
    assert values["process.pid"].int_value == 7
    assert resource.schema_url.startswith("https://opentelemetry.io/schemas/")
    assert len(resource.scope_spans) == 1
    assert resource.scope_spans[0].scope.name == "spangate"
    assert list(resource.scope_spans[0].spans) == [samples.span(n) for n in range(5)]
    assert len(payload) <= envelope.overhead + len(samples.spans(5))
