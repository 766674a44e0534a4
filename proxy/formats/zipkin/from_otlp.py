"""An OTLP request as Zipkin's spans: the way back of zipkin_to_otlp.

Pure. Source: OpenTelemetry specification "OpenTelemetry to Zipkin" (kinds, status, ranking of
remote endpoints, events), and the collector's translation for what it leaves open (links, resource
attributes, tracestate), so that either reads what the other wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, ip_address
from typing import Any

from proxy.formats.spans import duration_ns
from proxy.formats.values import as_json, as_text, plain
from proxy.formats.zipkin.model import Annotation, Endpoint, Span, Tag
from proxy.formats.zipkin.to_otlp import DEBUG, ERROR, INTERNAL, KINDS, LINK, NO_START, OK, SHARED

_KIND_NAMES = {number: name for name, number in KINDS.items()}
_STATUS_NAMES = {OK: "OK", ERROR: "ERROR"}
_NO_SERVICE = "unknown_service"  # OpenTelemetry's default

# Who is at the other end: the attribute that names it, and the one with the port beside it.
_PEERS = (
    ("peer.service", ""),
    ("server.address", "server.port"),
    ("net.peer.name", "net.peer.port"),
    ("network.peer.address", "network.peer.port"),
    ("server.socket.domain", "server.socket.port"),
    ("server.socket.address", "server.socket.port"),
    ("net.sock.peer.name", "net.sock.peer.port"),
    ("net.sock.peer.addr", "net.sock.peer.port"),
    ("peer.hostname", ""),
    ("peer.address", ""),
    ("db.name", ""),
)
# On a SERVER span the other end is the client, and server.address its own.
_CLIENTS = tuple(
    row
    for row in _PEERS
    if row[0] in ("peer.service", "network.peer.address", "net.sock.peer.addr")
)
_SERVER = KINDS["SERVER"]
_SOCKETS = (
    ("network.peer.address", "network.peer.port"),
    ("net.sock.peer.addr", "net.sock.peer.port"),
)

Tags = dict[str, Tag]


def from_otlp(request: Any) -> list[Span]:
    """All spans of an ExportTraceServiceRequest."""
    return list(_spans(request))


def _spans(request: Any) -> Iterator[Span]:
    for resource_spans in request.resource_spans:
        common = {a.key: as_text(a.value) for a in resource_spans.resource.attributes}
        service = common.pop("service.name", "") or _NO_SERVICE
        for scope_spans in resource_spans.scope_spans:
            scope = _scope(scope_spans.scope)
            for span in scope_spans.spans:
                yield _span(span, service, {**common, **scope})


def _scope(scope: Any) -> dict[str, str]:
    pairs = (("otel.scope.name", scope.name), ("otel.scope.version", scope.version))
    return {key: value for key, value in pairs if value}


def _span(span: Any, service: str, common: Mapping[str, str]) -> Span:
    own = {a.key: as_text(a.value) for a in span.attributes}
    shared, debug = own.pop(SHARED, "") == "true", own.pop(DEBUG, "") == "true"
    has_start = own.pop(NO_START, "") != "true"
    tags: Tags = {**common, **own}
    _add_fields(tags, span)
    start, took = span.start_time_unix_nano, duration_ns(span)
    return Span(
        trace_id=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        name=span.name or None,
        kind=_KIND_NAMES.get(span.kind),
        timestamp=start // 1000 if has_start and start else None,
        duration=max(1, took // 1000) if took or (took is not None and has_start) else None,
        local_endpoint=_local(service, own),
        remote_endpoint=_remote(own, _CLIENTS if span.kind == _SERVER else _PEERS),
        annotations=[_annotation(event) for event in span.events] or None,
        tags=tags or None,
        debug=debug or None,
        shared=shared or None,
    )


def _add_fields(tags: Tags, span: Any) -> None:
    """What OTLP has as fields and Zipkin as tags."""
    if span.kind == INTERNAL:
        tags["span.kind"] = "internal"
    if span.trace_state:
        tags["w3c.tracestate"] = span.trace_state
    code = span.status.code
    if code in _STATUS_NAMES:
        tags["otel.status_code"] = _STATUS_NAMES[code]
    # To Zipkin a span with such a tag has failed, whatever the value.
    if code == ERROR:
        tags["error"] = span.status.message
    elif tags.get("error") == "false" or code == OK:
        tags.pop("error", None)
    for word in ("attributes", "events", "links"):
        dropped = getattr(span, f"dropped_{word}_count")
        if dropped:
            tags[f"otel.dropped_{word}_count"] = str(dropped)
    for number, link in enumerate(span.links):
        tags[f"{LINK}{number}"] = _link(link)


def _link(link: Any) -> str:
    attributes = as_json({a.key: plain(a.value) for a in link.attributes})
    ids = f"{link.trace_id.hex()}|{link.span_id.hex()}|{link.trace_state}"
    return f"{ids}|{attributes}|{link.dropped_attributes_count}"


def _annotation(event: Any) -> Annotation:
    value = event.name
    if event.attributes:
        attributes = {a.key: plain(a.value) for a in event.attributes}
        value = f"{as_json(event.name)}: {as_json(attributes)}"
    return Annotation(event.time_unix_nano // 1000, value)


def _local(service: str, own: Mapping[str, str]) -> Endpoint:
    endpoint = Endpoint(service_name=service)
    _set_address(endpoint, own.get("network.local.address", ""))
    endpoint.port = _port(own.get("network.local.port", ""))
    return endpoint


def _remote(own: Mapping[str, str], ranking: tuple[tuple[str, str], ...]) -> Endpoint | None:
    found = next((row for row in ranking if own.get(row[0])), None)
    if found is None:
        return None
    name, port = found
    endpoint = Endpoint(port=_port(own.get(port, "")))
    if not _set_address(endpoint, own[name]):
        endpoint.service_name = own[name]
        _add_socket(endpoint, own)
    return endpoint


def _add_socket(endpoint: Endpoint, own: Mapping[str, str]) -> None:
    """Beside a name, the address that is known of the same peer."""
    for name, port in _SOCKETS:
        if _set_address(endpoint, own.get(name, "")):
            endpoint.port = endpoint.port or _port(own.get(port, ""))
            return


def _set_address(endpoint: Endpoint, text: str) -> bool:
    """Whether `text` is an address."""
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        endpoint.ipv4 = str(address)
    else:
        endpoint.ipv6 = str(address)
    return True


def _port(text: str) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= 5:
        return int(text) or None
    return None
