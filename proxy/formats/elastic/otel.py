"""OTLP as documents of Elasticsearch's "OTel-native" mapping: nothing renamed.

Pure. Data streams are `traces-*.otel-*` and so on, whose templates Elasticsearch brings along
of late. Source: the Collector's `elasticsearchexporter`, mapping mode `otel`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.formats.elastic.documents import (
    ROUTING,
    Document,
    Names,
    Stream,
    attributes,
    encode,
    filled,
    router,
    routing,
    timestamp,
)
from proxy.formats.elastic.points import Group, group
from proxy.formats.spans import duration_ns, when
from proxy.formats.values import as_json, as_text, plain

KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUSES = ("Unset", "Ok", "Error")


class OtelMapping:
    """Requests to documents; `refused` tells how many items of the last one have none."""

    def __init__(self, names: Names) -> None:
        self._route = router(names, ".otel")
        self.refused = 0

    def traces(self, request: Any) -> Iterator[Document]:
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                around = _Around(resource_spans, scope_spans, as_strings=False)
                for span in scope_spans.spans:
                    yield self._span(span, around)
                    for event in span.events:
                        yield self._event(event, span, around)

    def logs(self, request: Any) -> Iterator[Document]:
        for resource_logs in request.resource_logs:
            for scope_logs in resource_logs.scope_logs:
                around = _Around(resource_logs, scope_logs, as_strings=False)
                for record in scope_logs.log_records:
                    yield self._record(record, around)

    def metrics(self, request: Any) -> Iterator[Document]:
        self.refused = 0
        for resource_metrics in request.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                around = _Around(resource_metrics, scope_metrics, as_strings=True)
                groups, bare = group(scope_metrics.metrics, by_unit=True)
                self.refused += bare
                for each in groups:
                    yield self._points(each, around)

    def _span(self, span: Any, around: _Around) -> Document:
        stream = self._route("traces", around.routing(span.attributes))
        took = duration_ns(span)
        source = {
            "@timestamp": timestamp(when(span)),
            **_stream(stream),
            **_ids(span),
            **filled(
                {
                    "trace_state": span.trace_state,
                    "parent_span_id": span.parent_span_id.hex(),
                    "name": span.name,
                    "attributes": _own(span.attributes),
                    "dropped_attributes_count": span.dropped_attributes_count,
                    "dropped_events_count": span.dropped_events_count,
                    "dropped_links_count": span.dropped_links_count,
                }
            ),
            "kind": KINDS[span.kind] if 0 <= span.kind < len(KINDS) else KINDS[0],
            **({} if took is None else {"duration": took}),
            "links": [_link(link) for link in span.links],
            "status": _status(span.status),
            **around.fields,
        }
        return Document(stream.action, encode(source))

    def _event(self, event: Any, span: Any, around: _Around) -> Document:
        stream = self._route("logs", around.routing(event.attributes))
        own = _own(event.attributes)
        if event.name:
            own["event.name"] = event.name
        source = {
            "@timestamp": timestamp(event.time_unix_nano),
            **_stream(stream),
            **_ids(span),
            **filled(
                {
                    "event_name": event.name,
                    "attributes": own,
                    "dropped_attributes_count": event.dropped_attributes_count,
                }
            ),
            **around.fields,
        }
        return Document(stream.action, encode(source), items=0)

    def _record(self, record: Any, around: _Around) -> Document:
        stream = self._route("logs", around.routing(record.attributes))
        own = _own(record.attributes)
        source = {
            "@timestamp": timestamp(record.time_unix_nano or record.observed_time_unix_nano),
            "observed_timestamp": timestamp(record.observed_time_unix_nano),
            **_stream(stream),
            **_ids(record),
            **filled(
                {
                    "severity_text": record.severity_text,
                    "severity_number": record.severity_number,
                    "event_name": record.event_name or own.get("event.name", ""),
                    "attributes": own,
                    "dropped_attributes_count": record.dropped_attributes_count,
                    "body": _body(record.body),
                }
            ),
            **around.fields,
        }
        return Document(stream.action, encode(source))

    def _points(self, points: Group, around: _Around) -> Document:
        first = points.first
        stream = self._route("metrics", around.routing(first.attributes))
        source = {
            "@timestamp": timestamp(first.time_unix_nano),
            **_stream(stream),
            **filled(
                {
                    "unit": points.unit,
                    "attributes": _strings(_own(first.attributes)),
                    "start_timestamp": first.start_time_unix_nano
                    and timestamp(first.start_time_unix_nano),
                }
            ),
            **around.fields,
            "metrics": points.values,
            # Points of other metrics with the same time and attributes must not be taken for the
            # same document: elastic/elasticsearch#99123.
            "_metric_names_hash": f"{zlib.crc32(chr(0).join(sorted(points.values)).encode()):x}",
        }
        templates = {f"metrics.{name}": found for name, found in points.templates.items()}
        action = encode({"create": {"_index": stream.index, "dynamic_templates": templates}})
        return Document(action, encode(source), points.items)


class _Around:
    """Resource and scope, encoded once for all their items."""

    __slots__ = ("_routing", "fields")

    def __init__(self, resource_x: Any, scope_x: Any, *, as_strings: bool) -> None:
        resource, scope = resource_x.resource, scope_x.scope
        # Dimensions of a time series must be single values.
        shape = _strings if as_strings else _same
        self._routing = {**routing(resource.attributes), **routing(scope.attributes)}
        self.fields = {
            "resource": _raw(
                schema_url=resource_x.schema_url,
                attributes=shape(_own(resource.attributes)),
                dropped_attributes_count=resource.dropped_attributes_count,
            ),
            "scope": _raw(
                schema_url=scope_x.schema_url,
                name=scope.name,
                version=scope.version,
                attributes=shape(_own(scope.attributes)),
                dropped_attributes_count=scope.dropped_attributes_count,
            ),
        }

    def routing(self, pairs: Any) -> dict[str, Any]:
        """What chooses the stream, the nearest last."""
        own = routing(pairs)
        return {**self._routing, **own} if own else self._routing


def _raw(**fields: Any) -> msgspec.Raw:
    return msgspec.Raw(encode(filled(fields)))


def _own(pairs: Any) -> dict[str, Any]:
    """Attributes but those that choose the stream, which stand at the top of a document."""
    found = attributes(pairs)
    if not ROUTING.isdisjoint(found):
        found = {key: value for key, value in found.items() if key not in ROUTING}
    return found


def _same(found: dict[str, Any]) -> dict[str, Any]:
    return found


def _strings(found: dict[str, Any]) -> dict[str, Any]:
    return {
        key: as_json(value) if isinstance(value, dict | list) else value
        for key, value in found.items()
    }


def _stream(stream: Stream) -> dict[str, Any]:
    return {"data_stream": stream.fields} if stream.kind else {}


def _ids(item: Any) -> dict[str, str]:
    found = {}
    if item.trace_id:
        found["trace_id"] = item.trace_id.hex()
    if item.span_id:
        found["span_id"] = item.span_id.hex()
    return found


def _link(link: Any) -> dict[str, Any]:
    return filled(
        {
            "trace_id": link.trace_id.hex(),
            "span_id": link.span_id.hex(),
            "trace_state": link.trace_state,
            "attributes": _own(link.attributes),
            "dropped_attributes_count": link.dropped_attributes_count,
        }
    )


def _status(status: Any) -> dict[str, str]:
    code = STATUSES[status.code] if 0 <= status.code < len(STATUSES) else STATUSES[0]
    return {"code": code, "message": status.message} if status.message else {"code": code}


def _body(body: Any) -> dict[str, Any]:
    """Objects, and lists of objects, are structured; everything else is text."""
    kind = body.WhichOneof("value")
    if kind is None:
        return {}
    if kind not in ("kvlist_value", "array_value"):
        return {"text": as_text(body)}
    made = plain(body)
    if isinstance(made, list) and not all(isinstance(value, dict) for value in made):
        made = {"value": made}
    return {"structured": made}
