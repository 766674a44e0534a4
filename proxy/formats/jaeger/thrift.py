"""Jaeger batches in Thrift, as its client libraries send them: bytes to the model.

Two containers: a bare Batch (HTTP, binary protocol) and the agent's emitBatch message (UDP, either
protocol). Unknown fields and fields of another type are skipped, as generated code does; a missing
required field is an error. Source: jaeger-idl `thrift/{jaeger,agent}.thrift`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from proxy.formats.jaeger.model import (
    CHILD_OF,
    NO_SPAN,
    Batch,
    Log,
    Process,
    Reference,
    Span,
    Value,
)
from proxy.formats.jaeger.thrift_protocols import (
    BOOL,
    CALL,
    DOUBLE,
    I32,
    I64,
    LIST,
    ONEWAY,
    STRING,
    STRUCT,
    Reader,
    skip,
)
from proxy.otlp.wire import WireError

_EMIT = b"emitBatch"

Read = Callable[[Reader], Any]


def read_batch(reader: Reader) -> Batch:
    """A bare Batch to the last byte; raises WireError."""
    batch = _batch(reader)
    _end(reader)
    return batch


def read_emit(reader: Reader) -> Batch:
    """The batch of an agent message; raises WireError."""
    name, kind = reader.message()
    if kind not in (CALL, ONEWAY) or name != _EMIT:
        raise WireError(f"not an emitBatch call: {name[:40]!r}")
    got = _struct(reader, {}, {1: _batch})
    _end(reader)
    return _required(got, "emitBatch", 1)[0]  # type: ignore[no-any-return]


def _end(reader: Reader) -> None:
    if reader.left:
        raise WireError(f"{reader.left} bytes too many")


def _struct(
    reader: Reader,
    scalars: Mapping[int, int],
    structs: Mapping[int, Read] = {},
    lists: Mapping[int, Read] = {},
) -> dict[int, Any]:
    """The wanted fields of a struct, by number."""
    got: dict[int, Any] = {}
    for number, kind in reader.fields():
        if scalars.get(number) == kind:
            got[number] = reader.scalar(kind)
        elif kind == LIST and number in lists:
            got[number] = _list(reader, lists[number])
        elif kind == STRUCT and number in structs:
            got[number] = structs[number](reader)
        else:
            skip(reader, kind)
    return got


def _list(reader: Reader, read: Read) -> list[Any]:
    kind, count = reader.sequence()
    if count and kind != STRUCT:
        raise WireError(f"a list of type {kind} instead of structs")
    return [read(reader) for _ in range(count)]


def _required(got: dict[int, Any], name: str, *numbers: int) -> list[Any]:
    try:
        return [got[number] for number in numbers]
    except KeyError as missing:
        raise WireError(f"{name} without its field {missing}") from None


def _batch(reader: Reader) -> Batch:
    got = _struct(reader, {}, {1: _process}, {2: _span})
    process, spans = _required(got, "Batch", 1, 2)
    return process, spans


_PROCESS = {1: STRING}


def _process(reader: Reader) -> Process:
    got = _struct(reader, _PROCESS, lists=_PROCESS_LISTS)
    return Process(_text(_required(got, "Process", 1)[0]), got.get(2, []))


_SPAN = {1: I64, 2: I64, 3: I64, 4: I64, 5: STRING, 7: I32, 8: I64, 9: I64}


def _span(reader: Reader) -> Span:
    got = _struct(reader, _SPAN, lists=_SPAN_LISTS)
    low, high, own, parent, name, flags, start, duration = _required(got, "Span", *_SPAN)
    trace_id = _id(high) + _id(low)
    references: list[Reference] = got.get(6, [])
    parent_id = _id(parent)
    if parent_id != NO_SPAN and not _is_among(references, trace_id, parent_id):
        references.insert(0, Reference(CHILD_OF, trace_id, parent_id))
    return Span(
        trace_id,
        _id(own),
        _text(name),
        start * 1000,
        duration * 1000,
        references,
        flags,
        got.get(10, []),
        got.get(11, []),
    )


def _is_among(references: list[Reference], trace_id: bytes, span_id: bytes) -> bool:
    return any(r.span_id == span_id and r.trace_id == trace_id for r in references)


_REFERENCE = {1: I32, 2: I64, 3: I64, 4: I64}


def _reference(reader: Reader) -> Reference:
    kind, low, high, span = _required(_struct(reader, _REFERENCE), "SpanRef", *_REFERENCE)
    return Reference(kind, _id(high) + _id(low), _id(span))


_LOG = {1: I64}


def _log(reader: Reader) -> Log:
    got = _struct(reader, _LOG, lists=_LOG_LISTS)
    time, fields = _required(got, "Log", 1, 2)
    return Log(time * 1000, fields)


_TAG = {1: STRING, 2: I32, 3: STRING, 4: DOUBLE, 5: BOOL, 6: I64, 7: STRING}
# TagType -> the field that has its value, and what is there if it was left out
_TAG_VALUES: dict[int, tuple[int, Value]] = {
    0: (3, b""),
    1: (4, 0.0),
    2: (5, False),
    3: (6, 0),
    4: (7, b""),
}


def _tag(reader: Reader) -> tuple[str, Value]:
    got = _struct(reader, _TAG)
    key, kind = _required(got, "Tag", 1, 2)
    if kind not in _TAG_VALUES:
        raise WireError(f"a tag of type {kind}")
    number, absent = _TAG_VALUES[kind]
    value = got.get(number, absent)
    return _text(key), _text(value) if kind == 0 else value


_PROCESS_LISTS: Mapping[int, Read] = {2: _tag}
_SPAN_LISTS: Mapping[int, Read] = {6: _reference, 10: _tag, 11: _log}
_LOG_LISTS: Mapping[int, Read] = {2: _tag}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _id(number: int) -> bytes:
    return (number & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")
