"""An OTLP request as Jaeger's PostSpansRequests: the way back of jaeger_to_otlp.

Pure. One request holds spans of several resources, each span with a process of its own then, so
that a batch is delivered or not as a whole; it is cut only where it would exceed what a gRPC
server takes by default. Source: OpenTelemetry specification "Mapping to non-OTLP formats".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxy.formats.jaeger.model import CHILD_OF, FOLLOWS_FROM, SAMPLED
from proxy.formats.jaeger.proto import (
    V_BINARY,
    V_BOOL,
    V_FLOAT64,
    V_INT64,
    V_STRING,
    ProcessMessage,
    SpanMessage,
)
from proxy.formats.jaeger.to_otlp import ERROR, KINDS, NO_SERVICE, OK, REF_NAMES, REF_TYPE, WARNINGS
from proxy.formats.spans import duration_ns, when
from proxy.formats.values import as_text
from proxy.telemetry.protobuf import delimited

LARGEST = 4 * 1024 * 1024 - 64 * 1024  # gRPC servers take 4 MiB by default
_KIND_NAMES = {number: name.encode() for name, number in KINDS.items()}
_STATUS_NAMES = {OK: b"OK", ERROR: b"ERROR"}
_BILLION = 1_000_000_000


def from_otlp(request: Any, largest: int = LARGEST) -> Iterator[tuple[bytes, int]]:
    """Serialised PostSpansRequests, each with the number of its spans."""
    common = _common(request)
    after = delimited(2, common.SerializeToString()) if common is not None else b""
    room = largest - len(after)
    entries: list[bytes] = []
    size = 0
    for entry in _entries(request, common is None):
        if entries and size + len(entry) > room:
            yield delimited(1, b"".join(entries) + after), len(entries)
            entries, size = [], 0
        entries.append(entry)
        size += len(entry)
    if entries:
        yield delimited(1, b"".join(entries) + after), len(entries)


def _entries(request: Any, has_own_process: bool) -> Iterator[bytes]:
    """Spans as entries of Batch.spans."""
    for resource_spans in request.resource_spans:
        process = _process(resource_spans.resource) if has_own_process else None
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                made = SpanMessage()
                _fill_span(made, span, scope_spans.scope)
                if process is not None:
                    made.process.CopyFrom(process)
                yield delimited(1, made.SerializeToString())


def _common(request: Any) -> Any:
    """The process of all spans, if it is one."""
    if len(request.resource_spans) == 1:
        return _process(request.resource_spans[0].resource)
    return None


def _process(resource: Any) -> Any:
    process = ProcessMessage()
    service = ""
    for attribute in resource.attributes:
        if attribute.key == "service.name":
            service = as_text(attribute.value)
        else:
            _add_tag(process.tags, attribute.key, attribute.value)
    _add_count(process.tags, "otel.dropped_attributes_count", resource.dropped_attributes_count)
    process.service_name = (service or NO_SERVICE).encode()
    return process


def _fill_span(target: Any, span: Any, scope: Any) -> None:
    target.trace_id = span.trace_id
    target.span_id = span.span_id
    target.operation_name = span.name.encode()
    target.flags = span.flags & SAMPLED
    _set_time(target.start_time, when(span))
    _set_time(target.duration, duration_ns(span) or 0)
    for attribute in span.attributes:
        if attribute.key == WARNINGS:
            values = attribute.value.array_value.values
            target.warnings.extend(as_text(value).encode() for value in values)
        else:
            _add_tag(target.tags, attribute.key, attribute.value)
    _add_fields(target.tags, span, scope)
    if span.parent_span_id:
        target.references.add(
            trace_id=span.trace_id, span_id=span.parent_span_id, ref_type=CHILD_OF
        )
    for link in span.links:
        target.references.add(
            trace_id=link.trace_id, span_id=link.span_id, ref_type=_ref_type(link)
        )
    for event in span.events:
        _fill_log(target.logs.add(), event)


def _add_fields(tags: Any, span: Any, scope: Any) -> None:
    """What OTLP has as fields and Jaeger as tags."""
    _add_text(tags, "otel.scope.name", scope.name.encode())
    _add_text(tags, "otel.scope.version", scope.version.encode())
    _add_text(tags, "span.kind", _KIND_NAMES.get(span.kind, b""))
    _add_text(tags, "w3c.tracestate", span.trace_state.encode())
    code = span.status.code
    _add_text(tags, "otel.status_code", _STATUS_NAMES.get(code, b""))
    if code == ERROR:
        tags.add(key=b"error", v_type=V_BOOL, v_bool=True)
        _add_text(tags, "otel.status_description", span.status.message.encode())
    _add_count(tags, "otel.dropped_attributes_count", span.dropped_attributes_count)
    _add_count(tags, "otel.dropped_events_count", span.dropped_events_count)
    _add_count(tags, "otel.dropped_links_count", span.dropped_links_count)


def _ref_type(link: Any) -> int:
    for attribute in link.attributes:
        if attribute.key == REF_TYPE and attribute.value.string_value == REF_NAMES[CHILD_OF]:
            return CHILD_OF
    return FOLLOWS_FROM


def _fill_log(log: Any, event: Any) -> None:
    _set_time(log.timestamp, event.time_unix_nano)
    _add_text(log.fields, "event", event.name.encode())
    for attribute in event.attributes:
        _add_tag(log.fields, attribute.key, attribute.value)
    _add_count(log.fields, "otel.dropped_attributes_count", event.dropped_attributes_count)


def _set_time(target: Any, nanoseconds: int) -> None:
    target.seconds, target.nanos = divmod(nanoseconds, _BILLION)


def _add_text(tags: Any, key: str, value: bytes) -> None:
    if value:
        tags.add(key=key.encode(), v_type=V_STRING, v_str=value)


def _add_count(tags: Any, key: str, value: int) -> None:
    if value:
        tags.add(key=key.encode(), v_type=V_INT64, v_int64=value)


def _add_tag(tags: Any, key: str, value: Any) -> None:
    name = key.encode()
    kind = value.WhichOneof("value")
    if kind == "string_value":
        tags.add(key=name, v_type=V_STRING, v_str=value.string_value.encode())
    elif kind == "int_value":
        tags.add(key=name, v_type=V_INT64, v_int64=value.int_value)
    elif kind == "bool_value":
        tags.add(key=name, v_type=V_BOOL, v_bool=value.bool_value)
    elif kind == "double_value":
        tags.add(key=name, v_type=V_FLOAT64, v_float64=value.double_value)
    elif kind == "bytes_value":
        tags.add(key=name, v_type=V_BINARY, v_binary=value.bytes_value)
    else:
        tags.add(key=name, v_type=V_STRING, v_str=as_text(value).encode())
