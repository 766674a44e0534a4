"""Jaeger's model as an OTLP request: what OpenTelemetry says about mapping one to the other.

Pure. What Jaeger has as tags and OTLP as fields (kind, status, scope, tracestate, dropped counts)
becomes fields; everything else stays an attribute. Source: OpenTelemetry specification "Mapping to
non-OTLP formats" and the collector's Jaeger translation, whose names are kept; where it drops
something without need (warnings, `message` as the name of an event) we do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.formats.jaeger.model import (
    CHILD_OF,
    SAMPLED,
    Batch,
    Log,
    Process,
    Reference,
    Span,
    Value,
)
from proxy.formats.values import add_all
from proxy.otlp.ids import Lost, fault, is_span_id, merge

NO_SERVICE = "OTLPResourceNoServiceName"  # the collector's word for a resource without one
WARNINGS = "@jaeger@warnings"  # as Jaeger 2 calls them itself
REF_TYPE = "opentracing.ref_type"
REF_NAMES = {CHILD_OF: "child_of"}  # all others: "follows_from"

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
OK, ERROR = 1, 2

_LAST = 2**64 - 1

Attributes = dict[str, Value]


def to_otlp(batches: Iterable[Batch]) -> tuple[ExportTraceServiceRequest, int, Lost]:
    """(request, spans in it, spans left out because their ids are none)."""
    request = ExportTraceServiceRequest()
    taken = 0
    lost: Lost = {}
    for process, spans in batches:
        resource_spans = request.resource_spans.add()
        _fill_resource(resource_spans.resource, process)
        scopes: dict[tuple[str, str], Any] = {}
        for span in spans:
            if reason := fault(span.trace_id, span.span_id):
                merge(lost, {reason: 1})
                continue
            taken += 1
            tags = dict(span.tags)
            key = _scope(tags)
            scope = scopes.get(key)
            if scope is None:
                scope = scopes[key] = resource_spans.scope_spans.add()
                scope.scope.name, scope.scope.version = key
            _fill_span(scope.spans.add(), span, tags)
    return request, taken, lost


def _fill_resource(resource: Any, process: Process) -> None:
    tags: Attributes = {}
    if process.service and process.service != NO_SERVICE:
        tags["service.name"] = process.service
    tags = {**tags, **dict(process.tags), **tags}
    if "hostname" in tags and "host.name" not in tags:
        tags["host.name"] = tags.pop("hostname")
    resource.dropped_attributes_count = _count(tags, "otel.dropped_attributes_count")
    add_all(resource.attributes, tags)


def _scope(tags: Attributes) -> tuple[str, str]:
    """Name and version, whose tags are taken out; `otel.library` is the older name."""
    names = [str(tags.pop(f"otel.{word}.name", "")) for word in ("scope", "library")]
    versions = [str(tags.pop(f"otel.{word}.version", "")) for word in ("scope", "library")]
    return names[0] or names[1], versions[0] or versions[1]


def _fill_span(target: Any, span: Span, tags: Attributes) -> None:
    target.trace_id = span.trace_id
    target.span_id = span.span_id
    target.name = span.name
    target.flags = span.flags & SAMPLED
    target.start_time_unix_nano = _time(span.start)
    target.end_time_unix_nano = _time(span.start + max(0, span.duration))
    kind = tags.get("span.kind")
    if isinstance(kind, str) and kind in KINDS:
        target.kind = KINDS[kind]
        del tags["span.kind"]
    target.trace_state = str(tags.pop("w3c.tracestate", ""))
    target.dropped_attributes_count = _count(tags, "otel.dropped_attributes_count")
    target.dropped_events_count = _count(tags, "otel.dropped_events_count")
    target.dropped_links_count = _count(tags, "otel.dropped_links_count")
    _set_status(target, tags)
    parent = _parent(span)
    if parent is not None:
        target.parent_span_id = parent.span_id
    for reference in span.references:
        if reference is parent and reference.kind == CHILD_OF:
            continue
        if not fault(reference.trace_id, reference.span_id):
            _add_link(target.links.add(), reference)
    for log in span.logs:
        _fill_event(target.events.add(), log)
    add_all(target.attributes, tags)
    if span.warnings:
        values = target.attributes.add(key=WARNINGS).value.array_value.values
        for warning in span.warnings:
            values.add(string_value=warning)


def _parent(span: Span) -> Reference | None:
    """The first CHILD_OF in the same trace, else the first FOLLOWS_FROM in it."""
    inside = [r for r in span.references if r.trace_id == span.trace_id and is_span_id(r.span_id)]
    return next((r for r in inside if r.kind == CHILD_OF), inside[0] if inside else None)


def _add_link(link: Any, reference: Reference) -> None:
    link.trace_id = reference.trace_id
    link.span_id = reference.span_id
    name = REF_NAMES.get(reference.kind, "follows_from")
    link.attributes.add(key=REF_TYPE).value.string_value = name


def _fill_event(event: Any, log: Log) -> None:
    """Old SDKs have an event's name in `message`, which otherwise is an ordinary field."""
    fields = dict(log.fields)
    event.time_unix_nano = _time(log.time)
    for key in ("event", "message"):
        if isinstance(fields.get(key), str):
            event.name = fields.pop(key)
            break
    event.dropped_attributes_count = _count(fields, "otel.dropped_attributes_count")
    add_all(event.attributes, fields)


def _set_status(target: Any, tags: Attributes) -> None:
    """`error` goes before `otel.status_code`, and that before an HTTP status."""
    code = 0
    said = str(tags.pop("otel.status_code", "")).upper()
    if tags.get("error") is True or tags.get("error") == "true":
        del tags["error"]
        code = ERROR
    elif said:
        code = {"OK": OK, "ERROR": ERROR}.get(said, 0)
    else:
        code = _http_status(target.kind, tags.get("http.status_code"))
    if code:
        target.status.code = code
    if code == ERROR:
        message = tags.pop("otel.status_description", None) or tags.get("http.status_message", "")
        target.status.message = str(message)


def _http_status(kind: int, value: Value | None) -> int:
    """5xx is an error, and 4xx for those who asked (HTTP semantic conventions)."""
    try:
        number = int(value) if isinstance(value, int | str) else 0
    except ValueError:
        return 0
    client_error = 400 <= number < 500 and kind == KINDS["client"]
    return ERROR if client_error or number >= 500 else 0


def _count(tags: Attributes, key: str) -> int:
    value = tags.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        return 0
    del tags[key]
    return value


def _time(nanoseconds: int) -> int:
    return min(max(0, nanoseconds), _LAST)
