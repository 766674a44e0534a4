"""Jaeger's protobuf API: PostSpansRequest, and what is in it, to and from the model's values.

Strings are declared as bytes: the wire form is the same, and Jaeger's own server does not refuse a
request for a text that is no UTF-8.
Source: jaeger-idl `proto/api_v2/{model,collector}.proto`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from proxy.formats.bounds import Budget, check_entries, runs
from proxy.formats.descriptors import BOOL, BYTES, DOUBLE, INT32, INT64, UINT32, Messages, classes
from proxy.formats.jaeger.model import Batch, Log, Process, Reference, Span, Tags, Value
from proxy.otlp.wire import WireError

_LEAST = 14  # bytes of a span: its own id and the shortest of a trace
POST_SPANS = "/jaeger.api_v2.CollectorService/PostSpans"

# ValueType
V_STRING, V_BOOL, V_INT64, V_FLOAT64, V_BINARY = range(5)

# Timestamp and Duration have the same two fields. Enumerations are int32 on the wire.
_MESSAGES: Messages = {
    "Time": ((1, "seconds", INT64), (2, "nanos", INT32)),
    "KeyValue": (
        (1, "key", BYTES),
        (2, "v_type", INT32),
        (3, "v_str", BYTES),
        (4, "v_bool", BOOL),
        (5, "v_int64", INT64),
        (6, "v_float64", DOUBLE),
        (7, "v_binary", BYTES),
    ),
    "Log": ((1, "timestamp", "Time"), (2, "fields", "KeyValue*")),
    "SpanRef": ((1, "trace_id", BYTES), (2, "span_id", BYTES), (3, "ref_type", INT32)),
    "Process": ((1, "service_name", BYTES), (2, "tags", "KeyValue*")),
    "Span": (
        (1, "trace_id", BYTES),
        (2, "span_id", BYTES),
        (3, "operation_name", BYTES),
        (4, "references", "SpanRef*"),
        (5, "flags", UINT32),
        (6, "start_time", "Time"),
        (7, "duration", "Time"),
        (8, "tags", "KeyValue*"),
        (9, "logs", "Log*"),
        (10, "process", "Process"),
        (12, "warnings", "*"),
    ),
    "Batch": ((1, "spans", "Span*"), (2, "process", "Process")),
    "PostSpansRequest": ((1, "batch", "Batch"),),
}


_CLASSES = classes("jaeger.api_v2", _MESSAGES)
PostSpansRequest: Any = _CLASSES["PostSpansRequest"]
ProcessMessage: Any = _CLASSES["Process"]
BatchMessage: Any = _CLASSES["Batch"]
SpanMessage: Any = _CLASSES["Span"]


def read_request(payload: bytes) -> list[Batch]:
    """The batches of a PostSpansRequest, spans of one process together; raises WireError."""
    check_entries(payload, (1, 1), _LEAST)
    budget = Budget(len(payload))
    groups: dict[bytes, Batch] = {}
    process = ProcessMessage()
    without: list[Span] = []  # a process of their own; the one of their batch may come after them
    for run in runs(payload, (1, 1)):
        budget.weigh(run, BatchMessage.DESCRIPTOR)
        batch = _decoded(run)
        process.MergeFrom(batch.process)
        budget.spend(len(batch.process.tags))
        for span in batch.spans:
            _spend(budget, span)
            own = span.HasField("process")
            (_group(groups, span.process)[1] if own else without).append(_span(span))
    common = _group(groups, process)
    common[1][:0] = without
    others = [group for group in groups.values() if group is not common]
    return [group for group in (common, *others) if group[1]]


def _decoded(run: bytes) -> Any:
    try:
        return BatchMessage.FromString(run)
    except DecodeError as error:
        raise WireError(str(error)) from None


def _spend(budget: Budget, span: Any) -> None:
    budget.spend(len(span.tags) + len(span.references) + len(span.warnings))
    budget.spend(len(span.logs) + sum(len(log.fields) for log in span.logs))
    budget.spend(len(span.process.tags))


def _group(groups: dict[bytes, Batch], process: Any) -> Batch:
    key = process.SerializeToString()
    group = groups.get(key)
    if group is None:
        group = groups[key] = (Process(_text(process.service_name), _tags(process.tags)), [])
    return group


def _span(span: Any) -> Span:
    return Span(
        _id(span.trace_id, 16),
        _id(span.span_id, 8),
        _text(span.operation_name),
        _nanoseconds(span.start_time),
        _nanoseconds(span.duration),
        [Reference(r.ref_type, _id(r.trace_id, 16), _id(r.span_id, 8)) for r in span.references],
        span.flags,
        _tags(span.tags),
        [Log(_nanoseconds(log.timestamp), _tags(log.fields)) for log in span.logs],
        [_text(warning) for warning in span.warnings],
    )


def _tags(tags: Any) -> Tags:
    return [(_text(tag.key), _value(tag)) for tag in tags]


def _value(tag: Any) -> Value:
    kind = tag.v_type
    if kind == V_STRING:
        return _text(tag.v_str)
    if kind == V_INT64:
        return tag.v_int64  # type: ignore[no-any-return]
    if kind == V_BOOL:
        return tag.v_bool  # type: ignore[no-any-return]
    if kind == V_FLOAT64:
        return tag.v_float64  # type: ignore[no-any-return]
    if kind == V_BINARY:
        return tag.v_binary  # type: ignore[no-any-return]
    raise WireError(f"a tag of type {kind}")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _id(raw: bytes, size: int) -> bytes:
    """Padded at the left: 64-bit trace ids are sent in eight bytes by some. Others are as they
    came, for whoever judges of ids."""
    return raw.rjust(size, b"\0") if len(raw) in (0, 8) else raw


def _nanoseconds(time: Any) -> int:
    return time.seconds * 1_000_000_000 + time.nanos  # type: ignore[no-any-return]
