"""A trace in the JSON of Jaeger's UI (model/json): spans with tags and logs, and the processes that
recorded them.

Source: jaegertracing/jaeger model/json/model.go; OpenTelemetry specification "OpenTelemetry to
Jaeger" for what becomes a tag.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from proxy.otlp.ids import is_span_id, is_trace_id
from proxy.recent.model import KINDS, Span, Value
from proxy.recent.pieces import encoded, listed
from proxy.recent.show import cut, plain
from proxy.recent.view import Step

NO_SERVICE = "OTLPResourceNoServiceName"  # as Jaeger says

Json = dict[str, Any]

_STATUSES = ("", "OK", "ERROR")


def trace_as_json(spans: Sequence[Span]) -> Generator[Step, None, bytes]:
    """One of "data"; `spans` are of one trace, and not none."""
    trace_id = spans[0].trace_id.hex()
    processes = _Processes()
    written = yield from listed(_span(span, processes.name_of(span.resource)) for span in spans)
    return b'{"traceID":"%s","spans":%s,"processes":%s,"warnings":null}' % (
        trace_id.encode(),
        written,
        encoded(processes.known),
    )


class _Processes:
    """p1, p2, …: each resource once, though every batch has brought its own."""

    def __init__(self) -> None:
        self.known: dict[str, Json] = {}
        self._names: dict[bytes, str] = {}
        self._seen: dict[int, str] = {}  # by id; all of them live as long as their spans

    def name_of(self, resource: Mapping[str, Value]) -> str:
        name = self._seen.get(id(resource))
        if name is None:
            process = _process(resource)
            name = self._names.setdefault(encoded(process), f"p{len(self._names) + 1}")
            self.known[name] = process
            self._seen[id(resource)] = name
        return name


def _process(resource: Mapping[str, Value]) -> Json:
    service = resource.get("service.name") or NO_SERVICE
    tags = [tag(key, value) for key, value in resource.items() if key != "service.name"]
    return {"serviceName": cut(str(service)), "tags": tags}


def _span(span: Span, process: str) -> Json:
    return {
        "traceID": span.trace_id.hex(),
        "spanID": span.span_id.hex(),
        "operationName": cut(span.name),
        "references": list(_references(span)),
        "flags": span.flags & 0xFF,
        "startTime": span.start // 1000,
        "duration": max(0, span.end - span.start) // 1000,
        "tags": [*(tag(key, value) for key, value in span.attributes.items()), *_fields(span)],
        "logs": [
            {
                "timestamp": event.time // 1000,
                "fields": [
                    tag("event", event.name),
                    *(tag(key, value) for key, value in event.attributes.items()),
                ],
            }
            for event in span.events
        ],
        "processID": process,
        "warnings": None,
    }


def _references(span: Span) -> Iterator[Json]:
    others = [("CHILD_OF", span.trace_id, span.parent_id)]
    others += [("FOLLOWS_FROM", link.trace_id, link.span_id) for link in span.links]
    for kind, trace_id, span_id in others:
        if is_trace_id(trace_id) and is_span_id(span_id):
            yield {"refType": kind, "traceID": trace_id.hex(), "spanID": span_id.hex()}


def _fields(span: Span) -> Iterator[Json]:
    """What OTLP has as fields and Jaeger as tags."""
    if 0 < span.kind < len(KINDS):
        yield tag("span.kind", KINDS[span.kind])
    if 0 < span.status < len(_STATUSES):
        yield tag("otel.status_code", _STATUSES[span.status])
    if span.message:
        yield tag("otel.status_description", span.message)
    if span.failed and "error" not in span.attributes:
        yield tag("error", True)
    if span.scope:
        yield tag("otel.scope.name", span.scope)
    if span.trace_state:
        yield tag("w3c.tracestate", span.trace_state)


def tag(key: str, value: Value) -> Json:
    """A KeyValue; lists and maps are texts of JSON."""
    kind, told = _typed(value)
    return {"key": cut(key), "type": kind, "value": told}


def _typed(value: Value) -> tuple[str, Any]:
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, int):
        return "int64", value
    if isinstance(value, float) and math.isfinite(value):
        return "float64", value
    if isinstance(value, bytes):
        return "binary", cut(base64.b64encode(value).decode())
    if isinstance(value, list | dict):
        return "string", cut(json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")))
    return "string", "" if value is None else cut(str(value))
