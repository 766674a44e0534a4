"""Jaeger's span model, as both of its wire forms say it; nothing is converted here.

Times are nanoseconds since the epoch, ids big-endian bytes of full length. Source: jaeger-idl
`proto/api_v2/model.proto` and `thrift/jaeger.thrift`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Value = str | bool | int | float | bytes
Tags = list[tuple[str, Value]]

CHILD_OF, FOLLOWS_FROM = 0, 1  # SpanRefType

SAMPLED = 1  # Span.flags

NO_TRACE = bytes(16)
NO_SPAN = bytes(8)


@dataclass(slots=True)
class Reference:
    kind: int
    trace_id: bytes
    span_id: bytes


@dataclass(slots=True)
class Log:
    time: int
    fields: Tags


@dataclass(slots=True)
class Process:
    """Who made the spans: a resource."""

    service: str
    tags: Tags = field(default_factory=list)


@dataclass(slots=True)
class Span:
    trace_id: bytes
    span_id: bytes
    name: str
    start: int
    duration: int
    references: list[Reference] = field(default_factory=list)
    flags: int = 0
    tags: Tags = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


# Spans of one process.
Batch = tuple[Process, list[Span]]
