"""Search: the traces that fit a query, found in the bytes of the batches.

One pass over all spans, half a µs each for what is compiled and as much for the rest; attributes
are looked for as bytes, as OTLP has them, and nothing is decoded but the roots of what was found.
It goes in steps, of a batch or STEP spans each, so that nobody's loop is held by it.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from proxy.kernel import spanscan

if TYPE_CHECKING:
    from proxy.kernel.spanscan import Row
from proxy.recent.match import Match
from proxy.recent.model import CLIENT, ERROR, Record, Span, Value, text
from proxy.recent.query import Query
from proxy.recent.ring import Store, Stored
from proxy.recent.view import Run, Step, Wait, at_hand, runs_of

LOOKED = 8 << 20  # bytes between two steps, where a trace is looked for by its id
STEP = 2000  # spans between two steps: about 2 ms
SKEW = 5_000_000_000  # ns that the clocks of others may be ahead, for what is on disk
LATE = 3_600_000_000_000  # ns that a span may come after the beginning of its trace
MOST_OPEN = 10_000  # traces that are waited for to be whole: 13 MB; some are taken as they are

Steps = Generator[Step, None, "Found"]

_ROOT = {
    b"spangate.route": 0, b"http.route": 1, b"http.request.method": 2, b"url.path": 3,
    b"http.response.status_code": 4, b"url.template": 5, b"url.full": 6,
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

    def cut(self) -> None:
        """Keep no more of a batch than is of use."""
        if self.root is not None and len(self.root[5]) > self.root[3][9] - self.root[3][8]:
            length, start, is_client, row, service, buf = self.root
            cut = buf[row[8] : row[9]]
            self.root = length, start, is_client, (*row[:8], 0, len(cut)), service, cut


class Matcher(Protocol):
    """Which traces are wanted; `Match` is one, of a Query, and `selection.Selection` another."""

    looks: bool  # at spans; else only traces are asked for

    def bits(self, resource: Mapping[str, Value], buf: bytes, row: Row) -> int:
        """What this span fulfils; a trace has the bits of all of its spans."""

    def takes(self, trace_id: bytes, trace: Any) -> bool:
        """Whether that one fits, of which all spans were looked at."""


def search(store: Store, query: Query, match: Matcher | None = None) -> Steps:
    """A generator: its steps yield None, or what has to be waited for, and it returns what was
    Found. What is on disk is read from the latest on, until it cannot matter any more."""
    seeking = _Seeking(query, Match(query) if match is None else match)
    for stored in (*store.kept(), *store.batches()):
        yield from seeking.take(stored)
    for run in sorted(runs_of(store), key=lambda run: run.last, reverse=True):
        if run.last + SKEW < query.since or run.first - LATE > query.until:
            continue
        seeking.settle(run.last + SKEW)
        seeking.cut()
        if seeking.has_all(run.last + SKEW):
            seeking.more = True
            break
        yield from _read(run, seeking)
    return seeking.found()


def trace_of(store: Store, trace_id: bytes) -> list[Span]:
    """All spans of one trace by start, each once; empty if nothing is there of it.

    Of those on disk, what was asked for by `recall`.
    """
    found: dict[bytes, Span] = {}
    for stored in at_hand(store):
        if trace_id in stored.data:  # 0.5 ms a MiB
            for span in stored.spans((trace_id,)):
                found.setdefault(span.span_id, span)
    return sorted(found.values(), key=lambda span: (span.start, span.end))


def records_of(store: Store, trace_id: bytes) -> list[Record]:
    """The log records of that trace."""
    return [
        record
        for stored in at_hand(store)
        if stored.signal == "logs" and trace_id in stored.data
        for record in stored.records((trace_id,))
    ]


def payload_of(store: Store, trace_id: bytes) -> Generator[Step, None, bytes]:
    """The same as they came: a serialised ExportTraceServiceRequest; b"" if nothing is there.

    In steps: a MiB is looked through in half a ms.
    """
    wanted = {trace_id: None}
    parts: list[bytes] = []
    looked = 0
    for stored in at_hand(store):
        if stored.signal != "traces":
            continue
        if trace_id in stored.data and (only := stored.only(wanted)) is not None:
            parts.append(only.payload)
        looked += stored.size
        if looked > LOOKED:
            looked = 0
            yield
    return b"".join(parts)


class _Seeking:
    """A search as it goes on."""

    __slots__ = ("_all", "_best", "_fitting", "_looked", "_match", "_oldest", "_query", "_since",
                 "_traces", "more")  # fmt: skip

    def __init__(self, query: Query, match: Matcher) -> None:
        self.more = False
        self._query = query
        self._match = match
        self._traces: dict[bytes, _Trace] = {}  # of which there may be more
        self._best: dict[bytes, Summary] = {}  # the latest of those that fit
        self._fitting = self._all = self._looked = self._since = 0
        self._oldest: int | None = None

    def has_all(self, after: int) -> bool:
        """Whether there are enough of them that began after that time."""
        return len(self._best) >= self._query.limit and self._last().start > after

    def take(self, stored: Stored) -> Generator[Step, None, None]:
        """Look at all of its spans."""
        if stored.signal != "traces":
            return
        for resource, buf, rows in _scoped(stored):
            for at in range(0, len(rows), STEP):
                part = rows[at : at + STEP]
                _gather(self._traces, self._match, resource, buf, part)
                self._looked += len(part)
                self._since += len(part)
                if self._since >= STEP:
                    self._since = 0
                    yield

    def settle(self, after: int) -> None:
        """Nothing comes any more of traces that begin after that time: which of them fit?"""
        if len(self._traces) > MOST_OPEN:  # the later half of them is whole, most likely
            starts = sorted(trace.start for trace in self._traces.values())
            after = min(after, starts[len(starts) // 2] - 1)
        over = [(trace_id, t) for trace_id, t in self._traces.items() if t.start > after]
        fitting = []
        for trace_id, trace in over:
            del self._traces[trace_id]
            if self._match.takes(trace_id, trace) and trace_id not in self._best:
                fitting.append((trace.start, trace_id, trace))
        self._fitting += len(fitting)
        self._all += len(over)
        for start, trace_id, trace in heapq.nlargest(self._query.limit, fitting):
            if self._is_among(start):
                self._best[trace_id] = _summary(trace_id, trace)
        self._oldest = min((t.start for _, t in over), default=self._oldest)

    def cut(self) -> None:
        """Let go of batches: what is needed of them is copied."""
        for trace in self._traces.values():
            trace.cut()

    def found(self) -> Found:
        self.settle(-1)
        latest = sorted(self._best.values(), key=lambda s: (s.start, s.trace_id), reverse=True)
        more = self.more or self._fitting > len(latest)
        return Found(latest, more, self._looked, self._all, self._oldest)

    def _is_among(self, start: int) -> bool:
        """Whether a trace that began then is one of the latest; makes room for it."""
        if len(self._best) < self._query.limit:
            return True
        last = self._last()
        if start <= last.start:
            return False
        del self._best[last.trace_id]
        return True

    def _last(self) -> Summary:
        return min(self._best.values(), key=lambda summary: summary.start)


def _read(run: Run, seeking: _Seeking) -> Generator[Step, None, None]:
    """The next piece is fetched while one is looked at."""
    coming: Wait | None = run.fetch(0)
    while coming is not None:
        yield coming
        batches, after = coming.result()
        coming = run.fetch(after) if after else None
        for stored in batches:
            yield from seeking.take(stored)


def _scoped(stored: Stored) -> Iterator[tuple[Mapping[str, Value], bytes, Sequence[Row]]]:
    for resource, _, buf, begin, end in stored.parts():
        yield resource, buf, spanscan.rows(buf, begin, end)


def _gather(
    traces: dict[bytes, _Trace],
    match: Matcher,
    resource: Mapping[str, Value],
    buf: bytes,
    rows: Sequence[Row],
) -> None:
    looks = match.looks
    service = text(resource.get("service.name", ""))
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
            trace.fits |= match.bits(resource, buf, row)


def _summary(trace_id: bytes, trace: _Trace) -> Summary:
    summary = Summary(trace_id, trace.start, trace.end, trace.spans, trace.errors)
    summary.services, summary.failures = trace.services, trace.failures
    if trace.root is not None:
        _, _, _, row, service, buf = trace.root
        summary.name, summary.service = row[3].decode("utf-8", "replace"), service
        picked = spanscan.pick(buf, row[8], row[9], _ATTRIBUTES, _ROOT)
        name, template, method, path, status, called, url = picked
        # A sidecar's calls begin with a CLIENT span, which has the one and the other of these.
        summary.route = _words(name) or _words(template) or _words(called)
        summary.method, summary.path = _words(method), _words(path) or _path(_words(url))
        summary.status = status if isinstance(status, int) else None
    return summary


def _path(url: str) -> str:
    """That of a URL; whoever has sent the span may have written anything."""
    rest = url.partition("://")[2].partition("#")[0].partition("?")[0]
    _, slash, path = rest.partition("/")
    return slash + path


def _words(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
