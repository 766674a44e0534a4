"""Spans as OTLP's JSON, for who downloads a trace, and for Jaeger's API of version 3.

Source: OTLP 1.x, "JSON Protobuf Encoding": ids in hex, 64-bit numbers as texts, names in camelCase,
enums as numbers.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from typing import Any

from proxy.recent.model import Event, Link, Span, Value

Json = dict[str, Any]


def traces_data(spans: Iterable[Span]) -> Json:
    """A TracesData: {"resourceSpans": […]}."""
    groups: dict[int, tuple[Mapping[str, Value], dict[str, list[Json]]]] = {}
    for span in spans:
        _, scopes = groups.setdefault(id(span.resource), (span.resource, {}))
        scopes.setdefault(span.scope, []).append(_span(span))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": pairs(resource)},
                "scopeSpans": [
                    {"scope": {"name": scope} if scope else {}, "spans": of_scope}
                    for scope, of_scope in scopes.items()
                ],
            }
            for resource, scopes in groups.values()
        ]
    }


def _span(span: Span) -> Json:
    made: Json = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "traceState": span.trace_state,
        "parentSpanId": span.parent_id.hex(),
        "flags": span.flags,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start),
        "endTimeUnixNano": str(span.end),
        "attributes": pairs(span.attributes),
        "events": [_event(event) for event in span.events],
        "links": [_link(link) for link in span.links],
        "status": {"message": span.message, "code": span.status},
    }
    if not span.message:
        del made["status"]["message"]
    return {key: value for key, value in made.items() if value not in ("", [], 0)}


def _event(event: Event) -> Json:
    return {
        "timeUnixNano": str(event.time),
        "name": event.name,
        "attributes": pairs(event.attributes),
    }


def _link(link: Link) -> Json:
    return {
        "traceId": link.trace_id.hex(),
        "spanId": link.span_id.hex(),
        "attributes": pairs(link.attributes),
    }


def pairs(attributes: Mapping[str, Value]) -> list[Json]:
    """KeyValues."""
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def any_value(value: Value) -> Json:
    """An AnyValue."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": _double(value)}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(one) for one in value]}}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": pairs(value)}}
    return {} if value is None else {"stringValue": str(value)}


def _double(value: float) -> float | str:
    """What JSON has no number for is a word, as protobuf's mapping says."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
