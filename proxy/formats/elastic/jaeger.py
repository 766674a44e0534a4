"""Spans as Jaeger stores them in Elasticsearch: daily indices of spans, and of the services that
Jaeger's UI offers for choice.

Pure. Source: jaeger `internal/storage/v1/elasticsearch` (`spanstore/dbmodel`, mappings
`jaeger-span`, `jaeger-service`); tags as OpenTelemetry's "Mapping to non-OTLP formats" has them.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from proxy.formats.elastic.documents import Document, Names, encode
from proxy.formats.elastic.documents import timestamp as iso
from proxy.formats.spans import duration_ns, when
from proxy.formats.values import as_text

Tag = dict[str, str]

NO_SERVICE = "unknown_service"
_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_STATUS = ("", "OK", "ERROR")
_ERROR = 2
_TYPES = {
    "string_value": "string",
    "bool_value": "bool",
    "int_value": "int64",
    "double_value": "float64",
    "bytes_value": "binary",
}


class JaegerMapping:
    """Spans to documents. `known` are the services that are stored already."""

    def __init__(self, names: Names, known: Container[tuple[str, ...]] = ()) -> None:
        self._prefix = names.prefix
        self._known = known
        self.refused = 0

    def traces(self, request: Any) -> Iterator[Document]:
        said: set[tuple[str, ...]] = set()
        for resource_spans in request.resource_spans:
            process = _process(resource_spans.resource)
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    day = iso(when(span))[:10]
                    yield self._span(span, day, process, scope_spans.scope)
                    pair = (day, process["serviceName"], span.name)
                    if pair not in said and pair not in self._known:
                        said.add(pair)
                        yield self._service(pair)

    def _span(self, span: Any, day: str, process: Any, scope: Any) -> Document:
        trace_id = span.trace_id.hex()
        start, took = when(span) // 1000, duration_ns(span)
        source = {
            "traceID": trace_id,
            "spanID": span.span_id.hex(),
            "flags": span.flags & 1,
            "operationName": span.name,
            "references": list(_references(span, trace_id)),
            "startTime": start,
            "startTimeMillis": start // 1000,
            **({} if took is None else {"duration": took // 1000}),
            "tags": [*_tags(span.attributes), *_more_tags(span, scope)],
            "logs": [_log(event) for event in span.events],
            "process": process,
        }
        action = encode({"index": {"_index": f"{self._prefix}jaeger-span-{day}"}})
        return Document(action, encode(source))

    def _service(self, pair: tuple[str, ...]) -> Document:
        """With an id that follows from what it says, so that it is stored once a day."""
        day, service, operation = pair
        where = {"_index": f"{self._prefix}jaeger-service-{day}", "_id": fnv1a(service + operation)}
        source = {"serviceName": service, "operationName": operation}
        return Document(encode({"index": where}), encode(source), items=0, pair=pair)


def fnv1a(text: str) -> str:
    """FNV-1a of 64 bits in hex, as Jaeger's own writer makes ids of services."""
    found = 0xCBF29CE484222325
    for byte in text.encode("utf-8", "replace"):
        found = (found ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{found:x}"


def _process(resource: Any) -> dict[str, Any]:
    service = ""
    others = []
    for pair in resource.attributes:
        if pair.key == "service.name":
            service = as_text(pair.value)
        else:
            others.append(pair)
    return {"serviceName": service or NO_SERVICE, "tags": list(_tags(others))}


def _references(span: Any, trace_id: str) -> Iterator[dict[str, str]]:
    if span.parent_span_id:
        yield _reference("CHILD_OF", trace_id, span.parent_span_id.hex())
    for link in span.links:
        yield _reference("FOLLOWS_FROM", link.trace_id.hex(), link.span_id.hex())


def _reference(kind: str, trace_id: str, span_id: str) -> dict[str, str]:
    return {"refType": kind, "traceID": trace_id, "spanID": span_id}


def _tags(pairs: Any) -> Iterator[Tag]:
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        if kind == "bytes_value":
            value = pair.value.bytes_value.hex()
        else:
            value = as_text(pair.value)
        yield {"key": pair.key, "type": _TYPES.get(kind, "string"), "value": value}


def _more_tags(span: Any, scope: Any) -> Iterator[Tag]:
    """What OTLP has as fields and Jaeger as tags."""
    code = span.status.code if 0 <= span.status.code < len(_STATUS) else 0
    texts = {
        "otel.scope.name": scope.name,
        "otel.scope.version": scope.version,
        "span.kind": _KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else "",
        "w3c.tracestate": span.trace_state,
        "otel.status_code": _STATUS[code],
        "otel.status_description": span.status.message if code == _ERROR else "",
    }
    for key, value in texts.items():
        if value:
            yield {"key": key, "type": "string", "value": value}
    if code == _ERROR:
        yield {"key": "error", "type": "bool", "value": "true"}


def _log(event: Any) -> dict[str, Any]:
    fields = list(_tags(event.attributes))
    if event.name:
        fields.insert(0, {"key": "event", "type": "string", "value": event.name})
    return {"timestamp": event.time_unix_nano // 1000, "fields": fields}
