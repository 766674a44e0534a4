"""A request as messages for Kafka: encoded, small enough, and of one trace each if wanted.

Pure. Source: the Collector's `kafkaexporter`: the value is a serialised Export…ServiceRequest
(otlp_proto) or its OTLP/JSON text (otlp_json), the key the trace id in hex.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxy.collector.tail.cut import Piece, cut
from proxy.otlp.json import request_to_json
from proxy.otlp.wire import WireError, split
from proxy.telemetry.protobuf import delimited

Encode = Callable[[str, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """`key` None = any partition."""

    key: bytes | None
    value: bytes
    items: int


@dataclass(frozen=True, slots=True)
class Format:
    """How requests become messages; `room` in bytes of a value."""

    as_json: bool
    by_trace: bool
    room: int


def messages(signal: str, payload: bytes, items: int, form: Format) -> list[Message]:
    """Those of one request; a single item that is too large makes a message that is.

    Raises WireError for bytes that are none, and for profiles that should be JSON.
    """
    if signal == "profiles":
        if form.as_json:
            raise WireError("profiles are opaque and cannot be written as JSON")
        return [Message(None, payload, items)]
    if signal == "traces" and form.by_trace:
        made = [
            message
            for trace_id, part, amount in by_trace(payload)
            for message in _fitting(signal, (part, amount), trace_id.hex().encode() or None, form)
        ]
    else:
        made = list(_fitting(signal, (payload, items), None, form))
    return _as_claimed(made, items)


def by_trace(payload: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """(trace id or b"", request, spans) of each trace in it, in the order of their first spans."""
    traces: dict[bytes, list[Piece]] = {}
    for piece in cut(payload):
        traces.setdefault(piece.trace_id, []).append(piece)
    for trace_id, pieces in traces.items():
        request = b"".join(
            delimited(1, piece.resource + delimited(2, piece.scope + piece.data))
            for piece in pieces
        )
        yield trace_id, request, sum(piece.spans for piece in pieces)


def _fitting(
    signal: str, request: tuple[bytes, int], key: bytes | None, form: Format
) -> Iterator[Message]:
    """The request as one message, or split until all fit."""
    payload, items = request
    value = request_to_json(signal, payload) if form.as_json else payload
    if len(value) <= form.room:
        yield Message(key, value, items)
        return
    # JSON is about three times as large; how much exactly is known now.
    limit = min(form.room, len(payload) * form.room // len(value), len(payload) - 1)
    parts = split(signal, payload, limit)
    if len(parts) <= 1:
        yield Message(key, value, items)
        return
    for part in parts:
        yield from _fitting(signal, part, key, form)


def _as_claimed(made: list[Message], items: int) -> list[Message]:
    """The sender's word on the number of items is kept: the books were opened with it."""
    if sum(message.items for message in made) == items or not made:
        return made
    left, fixed = items, []
    for message in made[:-1]:
        amount = min(message.items, left)
        left -= amount
        fixed.append(Message(message.key, message.value, amount))
    return [*fixed, Message(made[-1].key, made[-1].value, left)]
