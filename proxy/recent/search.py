"""Search: the traces that fit a query, found in the bytes of the batches.

One pass over all spans, half a µs each for what is compiled and as much for the rest; attributes
are looked for as bytes, as OTLP has them, and nothing is decoded but the roots of what was found.
It goes in steps, of a batch or STEP spans each, so that nobody's loop is held by it.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.kernel import spanscan

if TYPE_CHECKING:
    from proxy.kernel.spanscan import Row
from proxy.recent.match import Match
from proxy.recent.model import CLIENT, ERROR, Span, text
from proxy.recent.query import Query
from proxy.recent.ring import Store, Stored

STEP = 2000  # spans between two steps: about 2 ms

Steps = Generator[None, None, "Found"]

_ROOT = {
    b"spangate.route": 0, b"http.route": 1, b"http.request.method": 2, b"url.path": 3,
    b"http.response.status_code": 4,
}  # fmt: skip
_ATTRIBUTES = 9  # field of a span


@dataclass(slots=True)
class Summary:
    """One trace, as a list shows it; times in Unix ns."""

    trace_id: bytes
    start: int = 0
    end: int = 0
    spans: int = 0
    errors: int = 0
    name: str = ""
    service: str = ""
    route: str = ""
    method: str = ""
    path: str = ""
    status: int | None = None  # of HTTP
    services: dict[str, int] = field(default_factory=dict)  # spans of each that recorded some
    failures: dict[str, int] = field(default_factory=dict)  # those of them that failed


@dataclass(slots=True)
class Found:
    """What a search has found: the latest first."""

    traces: list[Summary]
    more: bool  # than were asked for
    spans: int  # that were looked at
    all: int  # traces that were looked at
    oldest: int | None  # Unix ns


# length of the parent's id, start, whether it is a CLIENT span; then the span and where it is
_Root = tuple[int, int, bool, "Row", str, bytes]


class _Trace:
    """What is known of one trace while the search goes on."""

    __slots__ = ("end", "errors", "failures", "fits", "root", "services", "spans", "start")

    def __init__(self) -> None:
        self.start = self.end = self.spans = self.errors = 0
        self.fits = 0  # which conditions some span of it has fulfilled, as bits
        self.root: _Root | None = None  # the least of them
        self.services: dict[str, int] = {}
        self.failures: dict[str, int] = {}


def search(store: Store, query: Query) -> Steps:
    """A generator: its steps yield None, and it returns what was Found."""
    match = Match(query)
    traces: dict[bytes, _Trace] = {}
    looked = since = 0
    for stored in _batches(store):
        for service, buf, rows in _scoped(stored):
            for at in range(0, len(rows), STEP):
                part = rows[at : at + STEP]
                _gather(traces, match, service, buf, part)
                looked += len(part)
                since += len(part)
                if since >= STEP:
                    since = 0
                    yield
    fitting = [
        (trace.start, trace_id)
        for trace_id, trace in traces.items()
        if match.takes(trace_id, trace)
    ]
    latest = heapq.nlargest(query.limit, fitting)
    oldest = min((trace.start for trace in traces.values()), default=None)
    found = [_summary(trace_id, traces[trace_id]) for _, trace_id in latest]
    return Found(found, len(fitting) > len(found), looked, len(traces), oldest)


def trace_of(store: Store, trace_id: bytes) -> list[Span]:
    """All spans of one trace by start, each once; empty if nothing is there of it."""
    found: dict[bytes, Span] = {}
    for stored in _batches(store):
        if trace_id in stored.data:  # 0.5 ms a MiB
            for span in stored.spans((trace_id,)):
                found.setdefault(span.span_id, span)
    return sorted(found.values(), key=lambda span: (span.start, span.end))


def payload_of(store: Store, trace_id: bytes) -> bytes:
    """The same as they came: a serialised ExportTraceServiceRequest; b"" if nothing is there."""
    wanted = {trace_id: None}
    parts = [
        only.payload
        for stored in _batches(store)
        if trace_id in stored.data and (only := stored.only(wanted)) is not None
    ]
    return b"".join(parts)


def _batches(store: Store, signal: str = "traces") -> Iterator[Stored]:
    for stored in (*store.kept(), *store.batches()):
        if stored.signal == signal:
            yield stored


def _scoped(stored: Stored) -> Iterator[tuple[str, bytes, Sequence[Row]]]:
    for resource, _, buf, begin, end in stored.parts():
        service = text(resource.get("service.name", ""))
        yield service, buf, spanscan.rows(buf, begin, end)


def _gather(
    traces: dict[bytes, _Trace], match: Match, service: str, buf: bytes, rows: Sequence[Row]
) -> None:
    looks = match.looks
    for row in rows:
        trace_id, _, parent, _, kind, start, end, status, _, _ = row
        trace = traces.get(trace_id)
        if trace is None:
            trace = traces[trace_id] = _Trace()
            trace.start = start
        trace.spans += 1
        if start < trace.start:
            trace.start = start
        if end > trace.end:
            trace.end = end
        if status == ERROR:
            trace.errors += 1
            trace.failures[service] = trace.failures.get(service, 0) + 1
        trace.services[service] = trace.services.get(service, 0) + 1
        # The root is what has no parent, else what came first; a SERVER before its CLIENT.
        if not parent or trace.root is None or trace.root[0]:
            root = (len(parent), start, kind == CLIENT, row, service, buf)
            if trace.root is None or root[:3] < trace.root[:3]:
                trace.root = root
        if looks:
            trace.fits |= match.bits(service, buf, row)


def _summary(trace_id: bytes, trace: _Trace) -> Summary:
    summary = Summary(trace_id, trace.start, trace.end, trace.spans, trace.errors)
    summary.services, summary.failures = trace.services, trace.failures
    if trace.root is not None:
        _, _, _, row, service, buf = trace.root
        summary.name, summary.service = row[3].decode("utf-8", "replace"), service
        picked = spanscan.pick(buf, row[8], row[9], _ATTRIBUTES, _ROOT)
        name, template, method, path, status = picked
        summary.route = _words(name) or _words(template)
        summary.method, summary.path = _words(method), _words(path)
        summary.status = status if isinstance(status, int) else None
    return summary


def _words(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
