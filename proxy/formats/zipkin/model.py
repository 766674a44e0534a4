"""Zipkin's v2 span model, read from JSON or protobuf and written as JSON.

Pure; conversions are elsewhere. Times are microseconds since the epoch, ids hex text. Unknown
fields are ignored and null means absent, as with Zipkin's own server; anything else that is not
of the model raises WireError. Source: zipkin-api `zipkin2-api.yaml`, `zipkin.proto`.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import DecodeError
from msgspec import Struct

from proxy.formats.bounds import Budget, check_entries, runs
from proxy.formats.descriptors import BOOL, BYTES, FIXED64, INT32, UINT64, Messages, classes
from proxy.otlp.json import whole_text
from proxy.otlp.json_cursor import WINDOW, Cursor, NotUtf8, as_utf8
from proxy.otlp.turns import finished
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
    trace_id: str | None = None  # which ids are none, is judged when it becomes OTLP
    id: str | None = None
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


def read_json(text: bytes) -> list[Span]:
    """Spans of a JSON array; raises WireError."""
    return decode(text, _DECODER, Span)


def decode(
    text: bytes, decoder: msgspec.json.Decoder[list[_Model]], kind: type[_Model]
) -> list[_Model]:
    """A JSON array; a large one is read a member at a time, so that nobody has to wait long."""
    try:
        if len(text) <= WINDOW:
            return decoder.decode(text)
    except (msgspec.ValidationError, RecursionError) as error:
        raise WireError(f"not a list of Zipkin spans: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # perhaps because of one text, which is not to cost all the others
    try:
        return _members(text, kind)
    except NotUtf8:
        return _members(finished(as_utf8(text)), kind)


def _members(text: bytes, kind: type[_Model]) -> list[_Model]:
    most = FREE + len(text) // LEAST
    is_escaped = b"\\ud" in text or b"\\uD" in text
    found: list[_Model] = []
    try:
        for value in Cursor(text).elements():
            if len(found) > most:
                raise WireError("too many spans for so few bytes")
            tree = _whole(value) if is_escaped else value
            found.append(msgspec.convert(tree, kind, strict=False))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WireError(f"not a list of Zipkin spans: {error}") from None
    return found


def _whole(tree: Any) -> Any:
    """The same without halves of surrogate pairs."""
    if isinstance(tree, dict):
        return {whole_text(key): _whole(value) for key, value in tree.items()}
    return list(map(_whole, tree)) if isinstance(tree, list) else whole_text(tree)


def write_json(spans: list[Span]) -> bytes:
    return msgspec.json.encode(spans)


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
    return Span(
        _id(span.trace_id, (8, 16)),
        _id(span.id, (8,)),
        _id(span.parent_id, (8,)),
        _text(span.name),
        KINDS[span.kind - 1] if 0 < span.kind <= len(KINDS) else None,
        span.timestamp or None,
        span.duration or None,
        _endpoint(span.local_endpoint) if span.HasField("local_endpoint") else None,
        _endpoint(span.remote_endpoint) if span.HasField("remote_endpoint") else None,
        [Annotation(a.timestamp, _text(a.value) or "") for a in span.annotations] or None,
        {_text(tag.key) or "": _text(tag.value) or "" for tag in span.tags} or None,
        span.debug or None,
        span.shared or None,
    )


def _id(raw: bytes, sizes: tuple[int, ...]) -> str | None:
    return raw.hex() if len(raw) in sizes else None


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
