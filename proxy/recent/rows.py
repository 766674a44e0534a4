"""Rows: what a list of traces needs of each span, read where it lies (`kernel/spanscan`)."""

from __future__ import annotations

from typing import NamedTuple

from proxy.kernel import spanscan
from proxy.recent.decode import scopes
from proxy.recent.model import text


class Row(NamedTuple):
    """One span; `payload[begin:stop]` is its message. Times in Unix ns; `name` is UTF-8."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: bytes
    kind: int
    start: int
    end: int
    status: int
    begin: int
    stop: int


class Scoped(NamedTuple):
    """The rows of one ScopeSpans."""

    service: str
    rows: list[spanscan.Row]  # in the order of Row's fields


def scoped(payload: bytes) -> list[Scoped]:
    """Of all spans in an ExportTraceServiceRequest; half a µs a span where it is compiled."""
    return [
        Scoped(text(resource.get("service.name", "")), spanscan.rows(buf, begin, end))
        for resource, _, buf, begin, end in scopes(payload)
    ]


def rows(payload: bytes) -> list[Row]:
    """The same as rows with names, for who looks at few."""
    return [Row(*row) for part in scoped(payload) for row in part.rows]
