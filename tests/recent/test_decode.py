"""Spans and records are read as protobuf reads them, and any bytes are read or left out."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.kernel import spanscan
from proxy.otlp.messages import REQUESTS
from proxy.recent.decode import DEPTH, records, scopes, spans
from proxy.recent.model import Record, Span
from tests.kernel import otlp_samples


def value(told: Any, depth: int = 0) -> Any:
    """An AnyValue as protobuf reads it."""
    kind = told.WhichOneof("value")
    if kind in (None, "string_value_strindex"):  # that is for profiles
        return None
    if kind == "array_value":
        return [value(one, depth + 1) for one in told.array_value.values] if depth < DEPTH else None
    if kind == "kvlist_value":
        return attributes(told.kvlist_value.values, depth + 1) if depth < DEPTH else None
    return getattr(told, kind)


def attributes(pairs: Any, depth: int = 0) -> dict[str, Any]:
    return {pair.key: value(pair.value, depth) for pair in pairs}


def same(one: Any, other: Any) -> bool:
    """With types, and a NaN that equals itself."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and list(one) == list(other)
            and all(same(one[key], other[key]) for key in one)
        )
    if isinstance(one, list):
        return (
            isinstance(other, list)
            and len(one) == len(other)
            and all(same(mine, its) for mine, its in zip(one, other, strict=True))
        )
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


def check_span(read: Span, told: Any, resource: Any, scope: str) -> None:
    assert (read.trace_id, read.span_id, read.parent_id, read.name) == (
        told.trace_id,
        told.span_id,
        told.parent_span_id,
        told.name,
    )
    assert (read.start, read.end) == (told.start_time_unix_nano, told.end_time_unix_nano)
    assert (read.kind, read.status) == (told.kind % 2**32, told.status.code % 2**32)
    assert (read.message, read.trace_state) == (told.status.message, told.trace_state)
    assert read.flags == told.flags
    assert same(read.attributes, attributes(told.attributes))
    assert same(read.resource, attributes(resource.attributes))
    assert read.scope == scope
    for event, said in zip(read.events, told.events, strict=True):
        assert (event.time, event.name) == (said.time_unix_nano, said.name)
        assert same(event.attributes, attributes(said.attributes))
    for link, linked in zip(read.links, told.links, strict=True):
        ids = (link.trace_id, link.span_id, link.trace_state)
        assert ids == (linked.trace_id, linked.span_id, linked.trace_state)
        assert same(link.attributes, attributes(linked.attributes))


def check_record(read: Record, told: Any, resource: Any, scope: str) -> None:
    assert read.time == (told.time_unix_nano or told.observed_time_unix_nano)
    assert (read.severity, read.severity_text) == (told.severity_number % 2**32, told.severity_text)
    assert same(read.body, value(told.body))
    assert same(read.attributes, attributes(told.attributes))
    assert (read.trace_id, read.span_id) == (told.trace_id, told.span_id)
    assert (read.flags, read.scope) == (told.flags, scope)
    assert same(read.resource, attributes(resource.attributes))


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_spans_are_what_protobuf_reads(seed: int) -> None:
    request = otlp_samples.request("traces", Random(seed))
    payload = request.SerializeToString()
    told = [
        (span, one.resource, scope.scope.name)
        for one in request.resource_spans
        for scope in one.scope_spans
        for span in scope.spans
    ]
    read = spans(payload)
    for span, said in zip(read, told, strict=True):
        check_span(span, *said)
    rows = [
        row for _, _, buf, begin, end in scopes(payload) for row in spanscan.rows(buf, begin, end)
    ]
    for row, (span, _, _) in zip(rows, told, strict=True):
        assert row[:2] == (span.trace_id, span.span_id)
        assert (row[4], row[7]) == (span.kind % 2**32, span.status.code % 2**32)
    some = {span.trace_id for span in read[::2]}
    assert [one.span_id for one in spans(payload, some)] == [
        one.span_id for one in read if one.trace_id in some
    ]


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_records_are_what_protobuf_reads(seed: int) -> None:
    request = otlp_samples.request("logs", Random(seed))
    payload = request.SerializeToString()
    told = [
        (record, one.resource, scope.scope.name)
        for one in request.resource_logs
        for scope in one.scope_logs
        for record in scope.log_records
    ]
    read = records(payload)
    for record, said in zip(read, told, strict=True):
        check_record(record, *said)
    some = {record.trace_id for record in read[::2]}
    assert len(records(payload, some)) == sum(one.trace_id in some for one in read)


@given(st.binary(max_size=300))
@example(b"\x0a\x04\x12\x02\x12\x00")
@example(b"\x0a\x0d\x12\x0b\x12\x09\x4a\x07\x12\x05\x21")
def test_any_bytes(payload: bytes) -> None:
    for read in (spans, records):
        assert isinstance(read(payload), list)  # type: ignore[operator]
        assert read(payload, {b""}) is not None  # type: ignore[operator]


@given(st.integers(0, 2**32))
def test_garbled_requests(seed: int) -> None:
    random = Random(seed)
    for signal, read in (("traces", spans), ("logs", records)):
        whole = otlp_samples.request(signal, random).SerializeToString()
        for _ in range(5):
            read(otlp_samples.garbled(whole, random))  # type: ignore[operator]


#: A field of a span with another wire type than its own is none of it.
MISTYPED = [
    b"\x09" + b"t" * 8,  # trace_id as fixed64
    b"\x28\x05",  # name as a varint
    b"\x32\x01\x02",  # kind as bytes
    b"\x38\x07",  # start as a varint
    b"\x3a\x03abc",  # start as bytes
    b"\x48\x01",  # attributes as a varint
    b"\x58\x01",  # events
    b"\x68\x01",  # links
    b"\x78\x01",  # status
    b"\x82\x01\x01a",  # flags as bytes
    b"\x4a\x08\x0a\x01a\x12\x03\x08\x01\x01",  # a value's text as a varint, then cut off
    b"\x4a\x07\x0a\x01a\x12\x02\x1d\x01",  # a value's number as fixed32, cut off
    b"\x4a\x0e\x0a\x01a\x12\x09\x19\x01\x02\x03\x04\x05\x06\x07\x08",  # int_value as fixed64
]


@pytest.mark.parametrize("field", MISTYPED)
def test_fields_of_another_type_are_left_out(field: bytes) -> None:
    body = b"\x12\x08" + b"s" * 8 + field
    span = b"\x12" + bytes([len(body)]) + body
    scope = b"\x12" + bytes([len(span)]) + span
    payload = b"\x0a" + bytes([len(scope)]) + scope
    (read,) = spans(payload)
    values = read.attributes.pop("a", None)
    assert values is None
    assert read == Span(b"", b"s" * 8)


def test_values_in_values_without_end() -> None:
    request = REQUESTS["traces"]()
    told = request.resource_spans.add().scope_spans.add().spans.add().attributes.add(key="a").value
    for _ in range(60):
        told = told.array_value.values.add()
    told.string_value = "deep"
    found: Any = spans(request.SerializeToString())[0].attributes["a"]
    depth = 0
    while isinstance(found, list):
        (found,) = found
        depth += 1
    assert (found, depth) == (None, DEPTH)


def test_a_key_that_comes_twice_and_a_field_that_does() -> None:
    request = REQUESTS["traces"]()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="first")
    for number in (1, 2):
        span.attributes.add(key="a").value.int_value = number
    (read,) = spans(request.SerializeToString())
    assert read.attributes == {"a": 2}
    assert read.service == ""
    assert not read.failed


def test_what_is_no_utf8_is_told_as_far_as_it_can_be() -> None:
    request = REQUESTS["traces"]()
    request.resource_spans.add().scope_spans.add().spans.add(name="????")
    payload = request.SerializeToString().replace(b"????", b"a\xff\xfeb")
    assert spans(payload)[0].name == "a\ufffd\ufffdb"
