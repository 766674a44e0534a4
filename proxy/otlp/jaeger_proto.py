"""Jaeger's protobuf API: PostSpansRequest, and what is in it, to and from the model's values.

The classes are made from the table below, in a descriptor pool of their own, so that they never
meet generated ones in the same process. Strings are declared as bytes: the wire form is the same,
and Jaeger's own server does not refuse a request for a text that is no UTF-8.
Source: jaeger-idl `proto/api_v2/{model,collector}.proto`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from proxy.otlp.jaeger import Batch, Log, Process, Reference, Span, Tags, Value
from proxy.otlp.wire import WireError

POST_SPANS = "/jaeger.api_v2.CollectorService/PostSpans"

STRING, BOOL, INT64, FLOAT64, BINARY = range(5)  # ValueType

_BYTES = FieldDescriptorProto.TYPE_BYTES
_INT64 = FieldDescriptorProto.TYPE_INT64
_INT32 = FieldDescriptorProto.TYPE_INT32
_UINT32 = FieldDescriptorProto.TYPE_UINT32
_BOOL = FieldDescriptorProto.TYPE_BOOL
_DOUBLE = FieldDescriptorProto.TYPE_DOUBLE

# message -> (number, name, type); a text is a message's name, with "*" behind it if repeated.
# Timestamp and Duration have the same two fields. Enumerations are int32 on the wire.
_Fields = tuple[tuple[int, str, int | str], ...]
_MESSAGES: dict[str, _Fields] = {
    "Time": ((1, "seconds", _INT64), (2, "nanos", _INT32)),
    "KeyValue": (
        (1, "key", _BYTES),
        (2, "v_type", _INT32),
        (3, "v_str", _BYTES),
        (4, "v_bool", _BOOL),
        (5, "v_int64", _INT64),
        (6, "v_float64", _DOUBLE),
        (7, "v_binary", _BYTES),
    ),
    "Log": ((1, "timestamp", "Time"), (2, "fields", "KeyValue*")),
    "SpanRef": ((1, "trace_id", _BYTES), (2, "span_id", _BYTES), (3, "ref_type", _INT32)),
    "Process": ((1, "service_name", _BYTES), (2, "tags", "KeyValue*")),
    "Span": (
        (1, "trace_id", _BYTES),
        (2, "span_id", _BYTES),
        (3, "operation_name", _BYTES),
        (4, "references", "SpanRef*"),
        (5, "flags", _UINT32),
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


def _classes() -> dict[str, Any]:
    file = FileDescriptorProto(name="jaeger.proto", package="jaeger.api_v2", syntax="proto3")
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        for number, name, kind in fields:
            field = made.field.add(name=name, number=number, label=1)
            if isinstance(kind, int):
                field.type = kind  # type: ignore[assignment]
                continue
            if kind.endswith("*"):
                field.label = FieldDescriptorProto.LABEL_REPEATED
            inner = kind.rstrip("*")
            field.type = FieldDescriptorProto.TYPE_MESSAGE if inner else _BYTES
            if inner:
                field.type_name = f".jaeger.api_v2.{inner}"
    pool = DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {name: GetMessageClass(find(f"jaeger.api_v2.{name}")) for name in _MESSAGES}


_CLASSES = _classes()
PostSpansRequest: Any = _CLASSES["PostSpansRequest"]
ProcessMessage: Any = _CLASSES["Process"]
SpanMessage: Any = _CLASSES["Span"]


def read_request(payload: bytes) -> list[Batch]:
    """The batches of a PostSpansRequest, spans of one process together; raises WireError."""
    try:
        batch = PostSpansRequest.FromString(payload).batch
    except DecodeError as error:
        raise WireError(str(error)) from None
    groups: dict[bytes, Batch] = {}
    common = _group(groups, batch.process)
    for span in batch.spans:
        # A span's own process goes before that of its batch.
        group = _group(groups, span.process) if span.HasField("process") else common
        group[1].append(_span(span))
    return [group for group in groups.values() if group[1]]


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
    if kind == STRING:
        return _text(tag.v_str)
    if kind == INT64:
        return tag.v_int64  # type: ignore[no-any-return]
    if kind == BOOL:
        return tag.v_bool  # type: ignore[no-any-return]
    if kind == FLOAT64:
        return tag.v_float64  # type: ignore[no-any-return]
    if kind == BINARY:
        return tag.v_binary  # type: ignore[no-any-return]
    raise WireError(f"a tag of type {kind}")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _id(raw: bytes, size: int) -> bytes:
    """Padded at the left: 64-bit trace ids are sent in eight bytes by some."""
    if len(raw) > size:
        raise WireError(f"an id of {len(raw)} bytes")
    return raw.rjust(size, b"\0")


def _nanoseconds(time: Any) -> int:
    return time.seconds * 1_000_000_000 + time.nanos  # type: ignore[no-any-return]
