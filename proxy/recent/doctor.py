"""Doctor: which services drop, restart or corrupt trace context, from what the gateway recorded.

`feed` takes new batches, `examine` looks at all that is kept and gives findings; both in steps of
a few milliseconds. Nothing is decided from a single request, and nothing from what chance explains
as well. Knows no HTTP and no clock: `now` is an argument.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Generator, Iterable
from statistics import median
from typing import Protocol

from proxy.recent import findings as kinds
from proxy.recent import symptoms
from proxy.recent.alone import Around, Blame, blames, brackets, busy_shares
from proxy.recent.callers import Callers
from proxy.recent.findings import Finding
from proxy.recent.model import Record, Span
from proxy.recent.verdicts import Tally, by_time, told
from proxy.recent.visits import Call, Calls

STEP = 100  # spans decoded in a step, 10 to 15 µs each
MOST_SPANS = 60_000  # decoded in one feed; of more only some traces
WINDOW = 900_000_000_000  # ns: what is looked at
SETTLED = 2_000_000_000  # ns after which the spans of a request are all there
ARRIVED = 10_000_000_000  # ns after which a service's own spans should have come
HINTS = 40  # unsampled requests in a second, beyond which there may have been more
KEPT = 600_000_000_000  # ns for which a finding is told after it was last seen


class Batch(Protocol):
    """What is fed, as the ring has it."""

    number: int
    items: int
    at: int  # Unix ns

    def spans(self, only: Container[bytes] | None = None) -> list[Span]: ...
    def records(self, only: Container[bytes] | None = None) -> list[Record]: ...


class Part:
    """The share of all trace ids that is looked at: one of `of`, by their last bytes."""

    def __init__(self, of: int) -> None:
        self.of = of

    def __contains__(self, trace_id: object) -> bool:
        return isinstance(trace_id, bytes) and int.from_bytes(trace_id[-3:], "big") % self.of == 0


class Doctor:
    """`w3c_sent`: services are sent W3C headers and no B3. `receives`: applications can send
    their spans to this collector."""

    def __init__(self, *, w3c_sent: bool = True, receives: bool = False) -> None:
        self.w3c_sent = w3c_sent
        self.receives = receives
        self.spans = 0  # that were looked at
        self.services: list[str] = []
        self._calls = Calls()
        self._cursor = 0
        self._whole_since = 0  # Unix ns: from then on no batch is missing
        self._partly_until = 0  # until then only a part of the traces was looked at
        self._known: dict[tuple[str, str], tuple[Finding, int]] = {}

    @property
    def cursor(self) -> int:
        """The number of the last batch that was taken."""
        return self._cursor

    def feed(self, batches: Iterable[Batch]) -> Generator[None, None, None]:
        """Take these, oldest first, with numbers above `cursor`."""
        fresh = [stored for stored in batches if stored.number > self._cursor]
        if not fresh:
            return
        if fresh[0].number > self._cursor + 1:
            self._whole_since = fresh[0].at
        share = 1
        while sum(stored.items for stored in fresh) // share > MOST_SPANS:
            share *= 2
        if share > 1:
            self._partly_until = fresh[-1].at
        for stored in fresh:
            yield from self._take(stored, Part(share) if share > 1 else None)
            self._cursor = stored.number
        self._calls.make_room()

    def _take(self, stored: Batch, part: Part | None) -> Generator[None, None, None]:
        yield
        for number, span in enumerate(stored.spans(part)):
            self._calls.span(span)
            self.spans += 1
            if number % STEP == STEP - 1:
                yield
        for number, record in enumerate(stored.records(part)):
            self._calls.record(record)
            if number % STEP == STEP - 1:
                yield

    def examine(self, now: int) -> Generator[None, None, list[Finding]]:
        """What is wrong, as far as is known at `now` (Unix ns)."""
        self._calls.forget(now - WINDOW)
        callers = Callers(self._calls)
        yield from callers.find()
        tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
        yield from self._in_traces(callers, tallies, now)
        yield from self._skews(tallies)
        yield from self._alone(callers, tallies, now)
        for (service, kind), tally in tallies.items():
            finding = told(service, kind.rstrip(symptoms.AGAIN), tally)
            if finding is not None:
                self._known[service, finding.kind] = (finding, now)
        self._known = {p: (f, at) for p, (f, at) in self._known.items() if at > now - KEPT}
        return [finding for finding, _ in self._known.values()]

    def _in_traces(
        self, callers: Callers, tallies: dict[tuple[str, str], Tally], now: int
    ) -> Generator[None, None, None]:
        for number, made in enumerate(callers.made.values()):
            if number % 64 == 0:
                yield
            service = made.during.upstream
            if made.is_elsewhere:
                if made.during.withheld != "all":
                    tallies[service, symptoms.elsewhere(made, callers)].add(made, True)
                continue
            for kind, shows in symptoms.of_call(made, self.w3c_sent):
                tallies[service, kind].add(made, shows)
            if made.given.sampled and made.how != "parent" and self._is_missed(made.call, now):
                tallies[service, kinds.MISSING].add(made, made.lost)

    def _is_missed(self, call: Call, now: int) -> bool:
        """Whether the spans above it would be here by now."""
        could = self.receives or self._calls.own > 0
        whole = call.start - SETTLED > self._whole_since
        return could and whole and call.sampled and call.end < now - ARRIVED

    def _skews(self, tallies: dict[tuple[str, str], Tally]) -> Generator[None, None, None]:
        ahead: dict[str, list[int]] = defaultdict(list)
        for number, trace in enumerate(self._calls.traces.values()):
            if number % 128 == 0:
                yield
            for upstream, offset, trace_id in symptoms.skews(trace) if trace.own else ():
                tally = tallies[upstream, kinds.SKEW]
                tally.total += 1
                if offset:
                    tally.bad += 1
                    tally.evidence(trace_id)
                    ahead[upstream].append(offset)
        for upstream, offsets in ahead.items():
            tallies[upstream, kinds.SKEW].offset = int(median(offsets))

    def _alone(
        self, callers: Callers, tallies: dict[tuple[str, str], Tally], now: int
    ) -> Generator[None, None, None]:
        tries = [one for trace in self._calls.traces.values() for _, one in trace.tries()]
        yield
        busy = busy_shares(tries)
        self.services = sorted(busy)
        yield
        around: Around = yield from brackets(callers.roots)
        unseen = self._unseen(now)
        around = [pair for pair in around if pair[0].start // 1_000_000_000 not in unseen]
        around = [pair for pair in around if pair[0].start > self._partly_until]
        for kind, mine in self._pools(callers, now).items():
            found: list[Blame] = yield from blames(callers, busy, around, mine)
            for blame in found:
                if kind != kinds.MISSING or all(given.sampled for given in blame.given):
                    by_time(tallies[blame.upstream, kind], blame)

    def _pools(self, callers: Callers, now: int) -> dict[str, dict[int, Call]]:
        """Orphans by their symptom and `id()`."""
        pools: dict[str, dict[int, Call]] = defaultdict(dict)
        for call in callers.orphans:
            kind = symptoms.of_orphan(call, callers)
            if kind != kinds.MISSING or self._is_missed(call, now):
                pools[kind][id(call)] = call
        return pools

    def _unseen(self, now: int) -> set[int]:
        """The seconds in which requests may have left neither span nor record, or not yet."""
        count: dict[int, int] = defaultdict(int)
        for trace in self._calls.traces.values():
            for call in trace.calls:
                if not call.sampled:
                    count[call.end // 1_000_000_000] += 1
        last = (now - SETTLED) // 1_000_000_000
        crowded = {
            second + near for second, n in count.items() if n >= HINTS for near in (-1, 0, 1)
        }
        return crowded | set(range(last + 1, last + 5))
