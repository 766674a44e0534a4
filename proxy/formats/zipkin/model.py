"""Zipkin's v2 span model, read from JSON or protobuf and written as JSON.

Pure; conversions are elsewhere. Times are microseconds since the epoch, ids hex text. Unknown
fields are ignored and null means absent, as with Zipkin's own server; anything else that is not
of the model raises WireError. Source: zipkin-api `zipkin2-api.yaml`, `zipkin.proto`.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import DecodeError
from msgspec import Struct

from proxy.formats.bounds import Budget, check_entries, runs
from proxy.formats.descriptors import BOOL, BYTES, FIXED64, INT32, UINT64, Messages, classes
from proxy.otlp.json_cursor import WINDOW, Cursor
from proxy.otlp.wire import WireError

KINDS = ("CLIENT", "SERVER", "PRODUCER", "CONSUMER")  # protobuf numbers them from 1

# Numbers and booleans are no tags by the API, but Zipkin's server takes them.
Tag = str | int | float | bool | None


# None can be part of a circle (gc=False): a collection that walks 200,000 spans takes 60 ms.
class Endpoint(Struct, rename="camel", omit_defaults=True, gc=False):
    service_name: str | None = None
    ipv4: str | None = None
    ipv6: str | None = None
    port: int | None = None


class Annotation(Struct, gc=False):
    timestamp: int
    value: str


class Span(Struct, rename="camel", omit_defaults=True, gc=False):
    trace_id: str
    id: str
    parent_id: str | None = None
    name: str | None = None
    kind: str | None = None
    timestamp: int | None = None
    duration: int | None = None
    local_endpoint: Endpoint | None = None
    remote_endpoint: Endpoint | None = None
    annotations: list[Annotation] | None = None
    tags: dict[str, Tag] | None = None
    debug: bool | None = None
    shared: bool | None = None


FREE, LEAST = 1000, 40  # the smallest span with ids and times has 46 bytes

_Model = TypeVar("_Model")
_DECODER = msgspec.json.Decoder(list[Span], strict=False)
_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")
_SPAN_ID = re.compile(r"[0-9a-fA-F]{1,16}")


def read_json(text: bytes) -> list[Span]:
    """Spans of a JSON array; raises WireError."""
    spans = decode(text, _DECODER, Span)
    for span in spans:
        check(span)
    return spans


def decode(
    text: bytes, decoder: msgspec.json.Decoder[list[_Model]], kind: type[_Model]
) -> list[_Model]:
    """A JSON array; a large one is read a member at a time, so that nobody has to wait long."""
    try:
        if len(text) <= WINDOW:
            return decoder.decode(text)
        most = FREE + len(text) // LEAST
        found: list[_Model] = []
        for value in Cursor(text).elements():
            if len(found) > most:
                raise WireError("too many spans for so few bytes")
            found.append(msgspec.convert(value, kind, strict=False))
        return found
    except WireError:
        raise
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(f"not a list of Zipkin spans: {error}") from None


def write_json(spans: list[Span]) -> bytes:
    return msgspec.json.encode(spans)


def check(span: Span) -> None:
    """What the types do not say."""
    if not _TRACE_ID.fullmatch(span.trace_id):
        raise WireError(f"traceId {span.trace_id[:40]!r} is not 16 or 32 hex digits")
    for name, value in (("id", span.id), ("parentId", span.parent_id)):
        if value is not None and not _SPAN_ID.fullmatch(value):
            raise WireError(f"{name} {value[:40]!r} is not 16 hex digits")
    if span.kind is not None and span.kind not in KINDS:
        raise WireError(f"kind {span.kind[:40]!r} is none of {', '.join(KINDS)}")


_MESSAGES: Messages = {
    "Endpoint": (
        (1, "service_name", BYTES),
        (2, "ipv4", BYTES),
        (3, "ipv6", BYTES),
        (4, "port", INT32),
    ),
    "Annotation": ((1, "timestamp", FIXED64), (2, "value", BYTES)),
    "Tag": ((1, "key", BYTES), (2, "value", BYTES)),  # an entry of a map
    "Span": (
        (1, "trace_id", BYTES),
        (2, "parent_id", BYTES),
        (3, "id", BYTES),
        (4, "kind", INT32),
        (5, "name", BYTES),
        (6, "timestamp", FIXED64),
        (7, "duration", UINT64),
        (8, "local_endpoint", "Endpoint"),
        (9, "remote_endpoint", "Endpoint"),
        (10, "annotations", "Annotation*"),
        (11, "tags", "Tag*"),
        (12, "debug", BOOL),
        (13, "shared", BOOL),
    ),
    "ListOfSpans": ((1, "spans", "Span*"),),
}
_LEAST = 20  # bytes of a span: its own id and the shorter form of a trace's
ListOfSpans: Any = classes("zipkin.proto3", _MESSAGES)["ListOfSpans"]


def read_proto(payload: bytes) -> list[Span]:
    """Spans of a ListOfSpans; raises WireError."""
    check_entries(payload, (1,), _LEAST)
    budget = Budget(len(payload))
    found: list[Span] = []
    most = FREE + len(payload) // LEAST
    for run in runs(payload, (1,)):
        budget.weigh(run, ListOfSpans.DESCRIPTOR)
        try:
            spans = ListOfSpans.FromString(run).spans
        except DecodeError as error:
            raise WireError(str(error)) from None
        found += [_span(span, budget) for span in spans]
        if len(found) > most:
            raise WireError("too many spans for so few bytes")
    return found


def _span(span: Any, budget: Budget) -> Span:
    budget.spend(len(span.tags) + len(span.annotations))
    if not 0 <= span.kind <= len(KINDS):
        raise WireError(f"a span of kind {span.kind}")
    for name, value, sizes in (
        ("trace_id", span.trace_id, (8, 16)),
        ("id", span.id, (8,)),
        ("parent_id", span.parent_id, (0, 8)),
    ):
        if len(value) not in sizes:
            raise WireError(f"{name} of {len(value)} bytes")
    return Span(
        span.trace_id.hex(),
        span.id.hex(),
        span.parent_id.hex() or None,
        _text(span.name),
        KINDS[span.kind - 1] if span.kind else None,
        span.timestamp or None,
        span.duration or None,
        _endpoint(span.local_endpoint) if span.HasField("local_endpoint") else None,
        _endpoint(span.remote_endpoint) if span.HasField("remote_endpoint") else None,
        [Annotation(a.timestamp, _text(a.value) or "") for a in span.annotations] or None,
        {_text(tag.key) or "": _text(tag.value) or "" for tag in span.tags} or None,
        span.debug or None,
        span.shared or None,
    )


def _endpoint(endpoint: Any) -> Endpoint:
    return Endpoint(
        _text(endpoint.service_name),
        _address(endpoint.ipv4, 4),
        _address(endpoint.ipv6, 16),
        endpoint.port or None,
    )


def _address(raw: bytes, size: int) -> str | None:
    if not raw:
        return None
    if len(raw) != size:
        raise WireError(f"an address of {len(raw)} bytes")
    return str(ip_address(raw))


def _text(raw: bytes) -> str | None:
    return raw.decode("utf-8", "replace") or None
