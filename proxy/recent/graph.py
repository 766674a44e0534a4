"""Graph: the calls between services, counted as batches come, in bounded memory.

Traces are held until they are quiet, so that all of their spans are there; until then what is
known of them is shown, and not counted. When more spans are held than MOST_OPEN, every second trace
is left out, by its id, and what is counted counts double; and so on. Times are Unix ns.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

from proxy.kernel import spanscan
from proxy.recent.calls import Call, Piece, calls, has_orphans, piece
from proxy.recent.model import SERVER, text
from proxy.recent.ring import Store, Stored

SECOND = 1_000_000_000
QUIET = 6 * SECOND  # without new spans a trace is complete: SDKs export every 5 s
LATEST = 15 * SECOND  # the same where parents are missing, which end last
SHOWN = 2 * SECOND  # without new spans it is shown, though parents are missing
OFTEN = SECOND // 4  # between two looks at what is complete
WINDOW = 60 * SECOND  # that rates are of
SLOT = 5 * SECOND
FORGOTTEN = 3600 * SECOND  # edges without calls for that long are
MOST_EDGES = 2000
MOST_OPEN = 12_000  # spans in traces that are not quiet; about 4 MB
MOST_PIECES = 2000  # spans of one trace
MOST_THINNED = 20
MOST_BEHIND = 100_000  # spans; of what came since the last question, older ones are passed over
STEP = 1000  # spans between two steps

Steps = Generator[None, None, None]


@dataclass(slots=True)
class Counts:
    """Calls, failures, and how long they took: by powers of 2 ** (1 / 4) of µs."""

    calls: int = 0
    errors: int = 0
    took: dict[int, int] = field(default_factory=dict)

    def add(self, call: Call, weight: int) -> None:
        self.calls += weight
        self.errors += weight if call.failed else 0
        bucket = bucket_of(call.took)
        self.took[bucket] = self.took.get(bucket, 0) + weight

    def merge(self, other: Counts) -> None:
        self.calls += other.calls
        self.errors += other.errors
        for bucket, amount in other.took.items():
            self.took[bucket] = self.took.get(bucket, 0) + amount

    def quantile_ms(self, share: float) -> float:
        """0.5 for the median, within 9 %; 0 of nothing."""
        rest = share * sum(self.took.values())
        for bucket in sorted(self.took):
            rest -= self.took[bucket]
            if rest <= 0:
                return float(2 ** ((bucket + 0.5) / 4) / 1000)
        return 0.0


def bucket_of(took: int) -> int:
    """Which one a time in ns is in."""
    us = max(1, took // 1000)
    doubling = us.bit_length() - 1
    quarters = (us * us >> 2 * doubling, us**4 >> 4 * doubling)
    half = quarters[0] >= 2
    return doubling * 4 + 2 * half + (quarters[1] >= (8 if half else 2))


@dataclass(slots=True)
class Edge:
    """All calls from one service to another."""

    all: Counts = field(default_factory=Counts)
    slots: dict[int, Counts] = field(default_factory=dict)
    first: int = 0
    last: int = 0
    continued: int = 0  # of which the target had a span of its own
    through: int = 0  # by a gateway

    def add(self, call: Call, weight: int, at: int) -> None:
        slot = at // SLOT
        if slot not in self.slots:
            self.slots[slot] = Counts()
            for old in [old for old in self.slots if old < slot - WINDOW // SLOT]:
                del self.slots[old]
        self.slots[slot].add(call, weight)
        self.all.add(call, weight)
        self.first = self.first or at
        self.last = max(self.last, at)
        self.continued += weight if call.is_continued else 0
        self.through += weight if call.is_through else 0

    def recent(self, now: int) -> Counts:
        """Those since `begin(now)`."""
        recent = Counts()
        for slot, counts in self.slots.items():
            if slot * SLOT >= begin(now):
                recent.merge(counts)
        return recent


def begin(now: int) -> int:
    """From when on rates are counted: 55 to 60 s ago."""
    return (now // SLOT - WINDOW // SLOT + 1) * SLOT


@dataclass(slots=True)
class _Open:
    """A trace that is not complete yet."""

    at: int  # when spans of it came last
    since: int
    weight: int
    pieces: list[Piece] = field(default_factory=list)


Edges = dict[tuple[str, str], Edge]


class Graph:
    """What is kept between two questions."""

    def __init__(self, most: int = MOST_OPEN) -> None:
        self._most = most
        self.edges: Edges = {}
        self.gateways: dict[str, int] = {}  # when their spans came last
        self.roots: dict[str, int] = {}  # services with SERVER spans that have no parent
        self.since = 0  # when the first batch came that was counted
        self._number = 0
        self._open: dict[bytes, _Open] = {}
        self.held = 0
        self._settled = 0
        self._thinned = 0  # one of 2 ** that many traces is looked at

    def follow(self, store: Store, now: int) -> Steps:
        """Count what has come since the last time."""
        batches = store.batches(self._number)
        if batches and batches[0].number > self._number + 1:
            self._lose()
        behind = sum(stored.items for stored in batches)
        seen = 0
        for stored in batches:
            behind -= stored.items
            if stored.number <= self._number:
                continue  # another question has been quicker
            self._number = stored.number
            if stored.signal != "traces":
                continue
            if behind > MOST_BEHIND:
                self._lose()
                continue
            self.since = self.since or stored.at
            for whose, buf, rows in _runs(stored):
                self._take(whose, buf, rows, stored.at)
                seen += len(rows)
                if seen >= STEP:
                    seen = 0
                    yield
            yield from self._settle(stored.at)
        yield from self._settle(now)
        self._forget(now)

    def _lose(self) -> None:
        """Some batches were gone before they were seen: rates begin anew."""
        self.since = 0
        for edge in self.edges.values():
            edge.slots.clear()

    def shown(self, now: int) -> Generator[None, None, Edges]:
        """What is counted, and what is known of traces that are still open."""
        edges = {
            names: Edge(_copy(edge.all), {s: _copy(c) for s, c in edge.slots.items()},
                        edge.first, edge.last, edge.continued, edge.through)
            for names, edge in self.edges.items()
        }  # fmt: skip
        seen = 0
        for trace in list(self._open.values()):
            if now - trace.at < SHOWN and has_orphans(trace.pieces):
                continue
            for call in calls(trace.pieces):
                _count(edges, call, trace.weight, trace.at)
            seen += len(trace.pieces)
            if seen >= STEP:
                seen = 0
                yield
        return edges

    def _take(
        self, whose: tuple[str, str], buf: bytes, rows: Iterable[spanscan.Row], at: int
    ) -> None:
        service, scope = whose
        mask = (1 << self._thinned) - 1
        for row in rows:
            trace_id = row[0]
            trace = self._open.get(trace_id)
            if trace is None:
                if hash(trace_id) & mask:
                    continue
                trace = self._open[trace_id] = _Open(at, at, mask + 1)
            trace.at = at
            if len(trace.pieces) < MOST_PIECES:
                one = piece(service, scope, buf, row)
                trace.pieces.append(one)
                self.held += 1
                self._note(one, at)
        while self.held > self._most and self._thinned < MOST_THINNED:
            self._thin()

    def _note(self, one: Piece, at: int) -> None:
        if one.is_gateway:
            names = self.gateways
        elif one.kind == SERVER and not one.parent_id:
            names = self.roots
        else:
            return
        if one.service in names or len(names) < MOST_EDGES:
            names[one.service] = at

    def _thin(self) -> None:
        """Leave out every second trace; the others count for them."""
        self._thinned += 1
        bit = 1 << self._thinned - 1
        for trace_id in list(self._open):
            trace = self._open[trace_id]
            if hash(trace_id) & bit:
                self.held -= len(trace.pieces)
                del self._open[trace_id]
            else:
                trace.weight *= 2

    def _settle(self, now: int) -> Steps:
        """Count the traces that are complete."""
        if now - self._settled < OFTEN:
            return
        self._settled = now
        seen = 0
        for trace_id, trace in list(self._open.items()):
            if now - trace.at < QUIET or self._open.get(trace_id) is not trace:
                continue
            if now - trace.since < LATEST and has_orphans(trace.pieces):
                continue
            for call in calls(trace.pieces):
                _count(self.edges, call, trace.weight, trace.at)
            self.held -= len(trace.pieces)
            del self._open[trace_id]
            seen += len(trace.pieces)
            if seen >= STEP:
                seen = 0
                yield
        if self._thinned and self.held < self._most // 8:
            self._thinned -= 1

    def _forget(self, now: int) -> None:
        for names in [n for n, edge in self.edges.items() if now - edge.last > FORGOTTEN]:
            del self.edges[names]
        for known in (self.gateways, self.roots):
            for name in [name for name, at in known.items() if now - at > FORGOTTEN]:
                del known[name]


def _runs(stored: Stored) -> Iterator[tuple[tuple[str, str], bytes, list[spanscan.Row]]]:
    """Service and scope, the buffer, and rows in it: STEP at most."""
    for resource, scope, buf, begin, end in stored.parts():
        whose = (text(resource.get("service.name", "")), scope)
        found = spanscan.rows(buf, begin, end)
        for at in range(0, len(found), STEP):
            yield whose, buf, found[at : at + STEP]


def _copy(counts: Counts) -> Counts:
    return Counts(counts.calls, counts.errors, dict(counts.took))


def _count(edges: Edges, call: Call, weight: int, at: int) -> None:
    names = (call.source, call.target)
    edge = edges.get(names)
    if edge is None:
        if len(edges) >= MOST_EDGES:
            return
        edge = edges[names] = Edge()
    edge.add(call, weight, at)
