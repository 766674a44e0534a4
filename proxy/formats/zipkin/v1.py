"""Zipkin's v1 JSON as spans of v2, for clients that never learnt the newer form.

Pure. In v1 kind, times and endpoints hide in annotations: `cs` and `cr` are a client's start and
end, `sr` and `ss` a server's, `ms` and `mr` a message's; the binary annotation `sa` names whom a
client called, `ca` who called a server, `ma` the broker. One span may hold both sides of a call,
which v2 has as two spans of one id. Source: zipkin-api `zipkin-api.yaml`, and the rules of
Zipkin's V1SpanConverter that the OpenTelemetry specification refers to.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct, field

from proxy.formats.zipkin.model import Annotation, Endpoint, Span, Tag, decode

# value -> (kind, whether it is the start)
_CORE = {
    "cs": ("CLIENT", True),
    "cr": ("CLIENT", False),
    "sr": ("SERVER", True),
    "ss": ("SERVER", False),
    "ms": ("PRODUCER", True),
    "mr": ("CONSUMER", True),
}
_PEERS = {"CLIENT": "sa", "SERVER": "ca", "PRODUCER": "ma", "CONSUMER": "ma"}


class _Annotation(Struct):
    timestamp: int
    value: str
    endpoint: Endpoint | None = None


class _Binary(Struct):
    key: str
    value: Tag = None
    endpoint: Endpoint | None = None


class _Old(Struct, rename="camel"):
    trace_id: str | None = None
    id: str | None = None
    name: str | None = None
    parent_id: str | None = None
    timestamp: int | None = None
    duration: int | None = None
    annotations: list[_Annotation] | None = None
    binary_annotations: list[_Binary] | None = None
    debug: bool | None = None


class _Side(Struct):
    """What the core annotations of one kind say."""

    start: int | None = None
    end: int | None = None
    endpoint: Endpoint | None = None
    tags: dict[str, Tag] = field(default_factory=dict)


_DECODER = msgspec.json.Decoder(list[_Old], strict=False)


def read_json(text: bytes) -> list[Span]:
    """Spans of a JSON array of v1; raises WireError."""
    old = decode(text, _DECODER, _Old)
    return [span for one in old for span in _spans(one)]


def _spans(old: _Old) -> Iterator[Span]:
    sides = _sides(old)
    peers = _sort_binary(old, sides)
    notes = [
        Annotation(a.timestamp, a.value) for a in old.annotations or () if a.value not in _CORE
    ]
    for number, (kind, side) in enumerate(sides.items()):
        is_first = number == 0
        start = old.timestamp if is_first and old.timestamp else side.start
        yield Span(
            old.trace_id,
            old.id,
            old.parent_id,
            old.name,
            kind or None,
            start,
            (old.duration if is_first else None) or _between(side),
            side.endpoint,
            peers.get(_PEERS.get(kind, "")),
            notes if is_first else None,
            side.tags,
            old.debug,
            # A server that did not start the span has no time of its own in it.
            (kind == "SERVER" and not (is_first and old.timestamp)) or None,
        )


def _sides(old: _Old) -> dict[str, _Side]:
    """By kind, a client before its server; a local span has one side without a kind."""
    found: dict[str, _Side] = {}
    for annotation in old.annotations or ():
        core = _CORE.get(annotation.value)
        if core is None:
            continue
        kind, is_start = core
        side = found.setdefault(kind, _Side())
        side.endpoint = side.endpoint or annotation.endpoint
        if is_start:
            side.start = annotation.timestamp
        else:
            side.end = annotation.timestamp
    if not found:
        endpoints = [
            a.endpoint for a in (*(old.annotations or ()), *(old.binary_annotations or ()))
        ]
        found[""] = _Side(endpoint=next((e for e in endpoints if e is not None), None))
    return dict(sorted(found.items()))


def _sort_binary(old: _Old, sides: dict[str, _Side]) -> dict[str, Endpoint]:
    """Put tags to the side whose service gave them; returns the endpoints of others by key."""
    peers: dict[str, Endpoint] = {}
    first = next(iter(sides.values()))
    for binary in old.binary_annotations or ():
        if binary.key in _PEERS.values() and binary.endpoint is not None:
            peers[binary.key] = binary.endpoint
        elif binary.key != "lc" or binary.value:  # names a local component, often nothing
            same = [s for s in sides.values() if s.endpoint == binary.endpoint]
            (same[0] if same else first).tags[binary.key] = binary.value
    return peers


def _between(side: _Side) -> int | None:
    if side.start is None or side.end is None or side.end < side.start:
        return None
    return side.end - side.start
