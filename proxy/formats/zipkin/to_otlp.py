"""Zipkin's model as an OTLP request.

Pure; the time at which a span without one was received is an argument. A shared span keeps its
id, which is that of the client's span: what is below it refers to that id, in requests that are
not seen together. It is marked, so that Zipkin gets it back as it was.
Source: OpenTelemetry specification "OpenTelemetry to Zipkin", and the collector's translation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.formats.values import add_all
from proxy.formats.zipkin.model import Endpoint, Span, Tag
from proxy.otlp.ids import Lost, fault, is_span_id, merge
from proxy.otlp.json import whole_text

KINDS = {"SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
INTERNAL, OK, ERROR = 1, 1, 2
NO_START = "otel.zipkin.absentField.startTime"  # the collector's name for it
SHARED, DEBUG = "zipkin.shared", "zipkin.debug"
LINK = "otlp.link."  # trace id|span id|tracestate|JSON attributes|dropped, as the collector writes

# Tags of a span that tell of its process, by the semantic conventions.
RESOURCE = (
    *("service.", "telemetry.", "host.", "process.", "os.", "k8s.", "container.", "cloud."),
    *("deployment.", "device.", "webengine."),
)

_LAST = 2**64 - 1
_MOST_LINKS = 128
_EVENT = re.compile(r'("(?:[^"\\]|\\.)*"): (\{.*\})', re.DOTALL)
_PIPED = re.compile(r"([^|]*)\|(\{.*\})\|(\d{1,9})", re.DOTALL)
_HEX = re.compile(r"[0-9a-fA-F]+")
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,18}\.[0-9]{1,18}")

Tags = dict[str, Any]


def to_otlp(
    spans: Iterable[Span], now: int, *, parse_tags: bool = False
) -> tuple[ExportTraceServiceRequest, int, Lost]:
    """(request, spans in it, spans left out because their ids are none); `now` in ns."""
    request = ExportTraceServiceRequest()
    resources: dict[tuple[tuple[str, Tag], ...], Any] = {}
    scopes: dict[tuple[int, str, str], Any] = {}
    taken = 0
    lost: Lost = {}
    for span in spans:
        trace_id, span_id = _id(span.trace_id, 16), _id(span.id, 8)
        if reason := fault(trace_id, span_id):
            merge(lost, {reason: 1})
            continue
        taken += 1
        tags = {key: value for key, value in (span.tags or {}).items() if value is not None}
        resource = _resource(request, resources, span, tags)
        scope = _scope(scopes, resource, tags)
        target = scope.spans.add(trace_id=trace_id, span_id=span_id, name=span.name or "")
        _fill(target, span, tags, now)
        add_all(target.attributes, _parsed(tags) if parse_tags else tags)
    return request, taken, lost


def _id(text: str | None, size: int) -> bytes:
    """Padded at the left, as Zipkin's own server does it; b"" for what is no id of that size."""
    if text is None or len(text) > 2 * size or not _HEX.fullmatch(text):
        return b""
    return bytes.fromhex(text.rjust(2 * size, "0"))


def _resource(request: Any, known: dict[Any, Any], span: Span, tags: Tags) -> Any:
    """The ResourceSpans of a span, whose tags that belong to the resource are taken out."""
    attributes = {key: tags.pop(key) for key in list(tags) if key.startswith(RESOURCE)}
    if span.local_endpoint is not None and span.local_endpoint.service_name:
        attributes["service.name"] = span.local_endpoint.service_name
    key = tuple(sorted(attributes.items(), key=lambda pair: pair[0]))
    found = known.get(key)
    if found is None:
        found = known[key] = request.resource_spans.add()
        add_all(found.resource.attributes, attributes)
    return found


def _scope(known: dict[Any, Any], resource: Any, tags: Tags) -> Any:
    older = [str(tags.pop(f"otel.library.{word}", "")) for word in ("name", "version")]
    name, version = (
        str(tags.pop(f"otel.scope.{word}", "")) or old
        for word, old in zip(("name", "version"), older, strict=True)
    )
    key = (id(resource), name, version)
    found = known.get(key)
    if found is None:
        found = known[key] = resource.scope_spans.add()
        found.scope.name, found.scope.version = name, version
    return found


def _fill(target: Any, span: Span, tags: Tags, now: int) -> None:
    parent = _id(span.parent_id, 8)
    if is_span_id(parent) and parent != target.span_id:
        target.parent_span_id = parent
    target.kind = KINDS.get((span.kind or "").upper(), 0)
    if not target.kind and tags.get("span.kind") == "internal":
        del tags["span.kind"]
        target.kind = INTERNAL
    target.trace_state = str(tags.pop("w3c.tracestate", ""))
    _set_times(target, span, tags, now)
    _set_counts(target, tags)
    _set_status(target.status, tags)
    _add_links(target, tags)
    for annotation in span.annotations or ():
        event = target.events.add(time_unix_nano=_time(annotation.timestamp * 1000))
        _fill_event(event, annotation.value)
    if span.local_endpoint is not None:
        _add_address(tags, "network.local", span.local_endpoint)
    if span.remote_endpoint is not None:
        _add_address(tags, "network.peer", span.remote_endpoint)
        if span.remote_endpoint.service_name:
            tags.setdefault("peer.service", span.remote_endpoint.service_name)
    if span.shared:
        tags[SHARED] = True
    if span.debug:
        tags[DEBUG] = True


def _set_times(target: Any, span: Span, tags: Tags, now: int) -> None:
    """A span without a start begins with its first annotation, or just now."""
    start = span.timestamp * 1000 if span.timestamp else 0
    if start <= 0:
        times = [annotation.timestamp * 1000 for annotation in span.annotations or ()]
        start = min(times, default=now)
        tags[NO_START] = True
    target.start_time_unix_nano = _time(start)
    target.end_time_unix_nano = _time(start + max(0, span.duration or 0) * 1000)


def _set_counts(target: Any, tags: Tags) -> None:
    for word in ("attributes", "events", "links"):
        text = str(tags.get(f"otel.dropped_{word}_count", ""))
        if text.isascii() and text.isdigit() and len(text) < 10:
            setattr(target, f"dropped_{word}_count", int(text))
            del tags[f"otel.dropped_{word}_count"]


def _set_status(status: Any, tags: Tags) -> None:
    """`error`, whatever its value, is an error to Zipkin; only OK said aloud goes before it."""
    said = str(tags.pop("otel.status_code", "")).upper().removeprefix("STATUS_CODE_")
    described = tags.pop("otel.status_description", "")
    error = tags.get("error")
    if said == "OK":
        status.code = OK
    elif said == "ERROR" or (error is not None and error is not False and error != "false"):
        status.code = ERROR
        tags.pop("error", None)
        plain = "" if error in (None, True, "true") else str(error)
        status.message = plain or str(described)


def _add_links(target: Any, tags: Tags) -> None:
    for number in range(_MOST_LINKS):
        text = tags.get(f"{LINK}{number}")
        if not isinstance(text, str):
            return
        trace, _, rest = text.partition("|")
        span, _, rest = rest.partition("|")
        state, _, rest = rest.partition("|")
        attributes, _, dropped = rest.rpartition("|")
        try:
            lost = int(dropped[:9] or 0)
            values = _object(attributes or "{}")
        except ValueError:
            return
        trace_id, span_id = _id(trace, 16), _id(span, 8)
        if fault(trace_id, span_id):
            continue  # it stays a tag, which harms nobody
        del tags[f"{LINK}{number}"]
        made = target.links.add(
            trace_id=trace_id, span_id=span_id, trace_state=state, dropped_attributes_count=lost
        )
        add_all(made.attributes, values)


def _fill_event(event: Any, value: str) -> None:
    """An annotation is a text; those of OpenTelemetry have attributes in it."""
    found = _EVENT.fullmatch(value)
    piped = None if found else _PIPED.fullmatch(value)
    try:
        if found:
            name, attributes = json.loads(found[1]), _object(found[2])
        elif piped:
            name, attributes = piped[1], _object(piped[2])
            event.dropped_attributes_count = int(piped[3])
        else:
            name, attributes = value, {}
    except ValueError:
        name, attributes = value, {}
    event.name = whole_text(name)
    add_all(event.attributes, attributes)


def _object(text: str) -> Tags:
    """Raises ValueError if it is no JSON object."""
    try:
        made = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(made, dict):
        raise ValueError("not an object")
    return made


def _add_address(tags: Tags, prefix: str, endpoint: Endpoint) -> None:
    address = endpoint.ipv4 or endpoint.ipv6
    if address:
        tags.setdefault(f"{prefix}.address", address)
    if endpoint.port:
        tags.setdefault(f"{prefix}.port", endpoint.port)


def _parsed(tags: Tags) -> Tags:
    return {key: _parse(value) for key, value in tags.items()}


def _parse(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value in ("true", "false"):
        return value == "true"
    if _NUMBER.fullmatch(value):
        return int(value)
    return float(value) if _DECIMAL.fullmatch(value) else value


def _time(nanoseconds: int) -> int:
    return min(max(0, nanoseconds), _LAST)
