"""OTLP as documents in the Elastic Common Schema, which older dashboards of Kibana know.

Pure. Attributes that ECS calls otherwise are renamed, the others stand at the top as they are; a
span has the fields by which Kibana's APM tells transactions from spans. Sources: the Collector's
`elasticsearchexporter`, mapping mode `ecs` (resources, logs, metrics); ECS 8 field reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.formats.elastic.documents import (
    ROUTING,
    Document,
    Names,
    Stream,
    attributes,
    encode,
    filled,
    router,
    timestamp,
)
from proxy.formats.elastic.points import Group, group
from proxy.formats.spans import duration_ns, when
from proxy.formats.values import as_text

Fields = dict[str, Any]

RESOURCE: Mapping[str, str] = {  # "" = told by agent.name and agent.version
    "service.instance.id": "service.node.name",
    "deployment.environment": "service.environment",
    "deployment.environment.name": "service.environment",
    "telemetry.sdk.name": "",
    "telemetry.sdk.language": "",
    "telemetry.sdk.version": "",
    "telemetry.distro.name": "",
    "telemetry.distro.version": "",
    "cloud.platform": "cloud.service.name",
    "container.image.tags": "container.image.tag",
    "host.name": "host.hostname",
    "host.arch": "host.architecture",
    "process.executable.path": "process.executable",
    "process.runtime.name": "service.runtime.name",
    "process.runtime.version": "service.runtime.version",
    "os.name": "host.os.name",
    "os.type": "host.os.platform",
    "os.description": "host.os.full",
    "os.version": "host.os.version",
    "k8s.deployment.name": "kubernetes.deployment.name",
    "k8s.namespace.name": "kubernetes.namespace",
    "k8s.node.name": "kubernetes.node.name",
    "k8s.pod.name": "kubernetes.pod.name",
    "k8s.pod.uid": "kubernetes.pod.uid",
}
RECORD: Mapping[str, str] = {
    "event.name": "event.action",
    "exception.message": "error.message",
    "exception.stacktrace": "error.stack_trace",
    "exception.type": "error.type",
    "exception.escaped": "event.error.exception.handled",
}
_OS = {"linux": "linux", "windows": "windows", "darwin": "macos"} | dict.fromkeys(
    ("aix", "hpux", "solaris"), "unix"
)
_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_SERVER, _CONSUMER = 2, 5
_ERROR = 2


class EcsMapping:
    """Requests to documents; `refused` tells how many items of the last one have none."""

    def __init__(self, names: Names) -> None:
        self._route = router(names, "")
        self.refused = 0

    def traces(self, request: Any) -> Iterator[Document]:
        for resource_spans in request.resource_spans:
            common = _resource(resource_spans.resource)
            for scope_spans in resource_spans.scope_spans:
                around = {**common, **attributes(scope_spans.scope.attributes)}
                for span in scope_spans.spans:
                    yield self._made("traces", around, span.attributes, _span(span))
                    for event in span.events:
                        yield self._made(
                            "logs", around, event.attributes, _event(event, span), items=0
                        )

    def logs(self, request: Any) -> Iterator[Document]:
        for resource_logs in request.resource_logs:
            common = _resource(resource_logs.resource)
            for scope_logs in resource_logs.scope_logs:
                around = {**common, **attributes(scope_logs.scope.attributes)}
                for record in scope_logs.log_records:
                    yield self._made("logs", around, record.attributes, _record(record))

    def metrics(self, request: Any) -> Iterator[Document]:
        self.refused = 0
        for resource_metrics in request.resource_metrics:
            common = _resource(resource_metrics.resource)
            for scope_metrics in resource_metrics.scope_metrics:
                around = {**common, **attributes(scope_metrics.scope.attributes)}
                groups, bare = group(scope_metrics.metrics, by_unit=False)
                self.refused += bare
                for each in groups:
                    yield self._points(each, around)

    def _made(
        self, kind: str, around: Fields, pairs: Any, own: Fields, *, items: int = 1
    ) -> Document:
        renamed = {RECORD.get(key, key): value for key, value in attributes(pairs).items()}
        merged = {**around, **renamed}
        stream = self._route(kind, merged)
        return Document(stream.action, _source(merged, own, stream), items)

    def _points(self, points: Group, around: Fields) -> Document:
        merged = {**around, **attributes(points.first.attributes)}
        stream = self._route("metrics", merged)
        own = {"@timestamp": timestamp(points.first.time_unix_nano), **points.values}
        templates = {
            name: "summary_metrics" if found == "summary" else found
            for name, found in points.templates.items()
        }
        action = encode({"create": {"_index": stream.index, "dynamic_templates": templates}})
        return Document(action, _source(merged, own, stream), points.items)


def _source(merged: Fields, own: Fields, stream: Stream) -> bytes:
    fields = {key: value for key, value in merged.items() if key not in ROUTING and key}
    fields.update(own)
    if stream.kind:
        fields.update({f"data_stream.{key}": value for key, value in stream.fields.items()})
    return encode(_parted(fields))


def _parted(fields: Fields) -> Fields:
    """No field is a value and an object at once: `a` beside `a.b` becomes `a.value`."""
    parents = {key[:i] for key in fields for i in range(len(key)) if key[i] == "."}
    if parents.isdisjoint(fields):
        return fields
    return {
        f"{key}.value" if key in parents and f"{key}.value" not in fields else key: value
        for key, value in fields.items()
        if key not in parents or f"{key}.value" not in fields
    }


def _resource(resource: Any) -> Fields:
    found = attributes(resource.attributes)
    made = {}
    for key, value in found.items():
        name = RESOURCE.get(key, key)
        if name:
            made[name] = value
    if "host.name" in found:
        made["host.name"] = found["host.name"]
    made["agent.name"] = _agent(found)
    version = found.get("telemetry.distro.version") or found.get("telemetry.sdk.version")
    if version:
        made["agent.version"] = version
    kind = {"Android": "android", "iOS": "ios"}.get(found.get("os.name", "")) or _OS.get(
        found.get("os.type", "")
    )
    if kind:
        made["host.os.type"] = kind
    return made


def _agent(found: Fields) -> str:
    """otlp/python, opentelemetry/java/elastic"""
    name = str(found.get("telemetry.sdk.name") or "otlp")
    language = str(found.get("telemetry.sdk.language") or "")
    distro = str(found.get("telemetry.distro.name") or "")
    if distro:
        return f"{name}/{language or 'unknown'}/{distro}"
    return f"{name}/{language}" if language else name


def _span(span: Any) -> Fields:
    made = filled(
        {
            "trace.id": span.trace_id.hex(),
            "span.id": span.span_id.hex(),
            "span.name": span.name,
            "parent.id": span.parent_span_id.hex(),
            "span.kind": _KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else "",
            "span.links": [_link(link) for link in span.links] or None,
        }
    )
    made["@timestamp"] = timestamp(when(span))
    made["timestamp.us"] = when(span) // 1000
    made["event.outcome"] = "failure" if span.status.code == _ERROR else "success"
    if not span.parent_span_id or span.kind in (_SERVER, _CONSUMER):
        made["processor.event"] = kind = "transaction"
        made["transaction.id"] = span.span_id.hex()
        made["transaction.name"] = span.name
        made["transaction.type"] = "messaging" if span.kind == _CONSUMER else "request"
    else:
        made["processor.event"] = kind = "span"
    if (took := duration_ns(span)) is not None:
        made["event.duration"] = took
        made[f"{kind}.duration.us"] = took // 1000
    return made


def _link(link: Any) -> Fields:
    return {"trace": {"id": link.trace_id.hex()}, "span": {"id": link.span_id.hex()}}


def _event(event: Any, span: Any) -> Fields:
    failed = any(pair.key.startswith("exception.") for pair in event.attributes)
    return {
        "@timestamp": timestamp(event.time_unix_nano),
        "trace.id": span.trace_id.hex(),
        "span.id": span.span_id.hex(),
        "event.action": event.name,
        "message": event.name,
        "processor.event": "error" if failed else "log",
    }


def _record(record: Any) -> Fields:
    return {
        "@timestamp": timestamp(record.time_unix_nano or record.observed_time_unix_nano),
        **filled(
            {
                "trace.id": record.trace_id.hex(),
                "span.id": record.span_id.hex(),
                "event.severity": record.severity_number,
                "event.action": record.event_name,
                "log.level": record.severity_text,
                "message": as_text(record.body),
            }
        ),
    }
