"""A world of services behind a gateway, on paper: what the gateway would record of them.

Time passes only as it is told. A client is a timeline of its own, so that several of them make
requests at once; what they ask for takes as long whoever else asks.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace
from random import Random

from proxy.recent.doctor import Doctor
from proxy.recent.findings import Finding
from proxy.recent.model import CLIENT, INTERNAL, SERVER, Record, Span

MS = 1_000_000
SECOND = 1000 * MS
BEGAN = 1_790_000_000 * SECOND
NO_CONTEXT: Context


@dataclass(frozen=True)
class Context:
    """What a request brings."""

    trace: bytes = b""
    parent: bytes = b""
    sampled: bool = True
    state: str = ""
    baggage: bool = False
    request_id: str = ""
    result: str = ""
    format: str = ""
    agent: str = ""


NO_CONTEXT = Context()


@dataclass
class Service:
    """`way` is how it treats the context; `calls` whom it calls, one after the other."""

    way: str = "copies"
    calls: list[str] = field(default_factory=list)
    works: int = 3 * MS  # before, between and after its calls
    ahead: int = 0  # of its clock
    passes_id: bool = False
    address: str = "127.0.0.1"
    exports: bool = True


@dataclass
class Stored:
    """A batch as the ring has it."""

    number: int
    at: int
    kept: list[Span]
    noted: list[Record]

    @property
    def items(self) -> int:
        return len(self.kept) + len(self.noted)

    def spans(self, only: Container[bytes] | None = None) -> list[Span]:
        return [s for s in self.kept if only is None or s.trace_id in only]

    def records(self, only: Container[bytes] | None = None) -> list[Record]:
        return [r for r in self.noted if only is None or r.trace_id in only]


class World:
    """Services by name, each behind a route and an upstream of its name."""

    def __init__(self, services: dict[str, Service], seed: int = 1) -> None:
        self.services = services
        self.random = Random(seed)
        self.spans: list[Span] = []
        self.records: list[Record] = []

    def request(self, at: int, name: str, context: Context, peer: str = "127.0.0.1") -> int:
        """A request for that service; when it is answered."""
        service = self.services[name]
        trace = context.trace or self.random.randbytes(16)
        server, client = self.random.randbytes(8), self.random.randbytes(8)
        made = (self.random.randbytes(8) + server).hex()
        inner = replace(
            context, trace=trace, parent=client, request_id=context.request_id or made,
            result="", format="", agent="",
        )  # fmt: skip
        sent = at + self._jitter(MS // 5)
        answered = self._serve(sent, name, service, inner)
        end = answered + self._jitter(MS // 5)
        about: dict[str, object] = {"spangate.route": name, "network.peer.address": peer}
        about |= {"spangate.trace_context.result": context.result} if context.result else {}
        about |= {"spangate.trace_context.format": context.format} if context.format else {}
        about |= {"spangate.baggage": True} if context.baggage else {}
        about |= {"spangate.request_id": context.request_id} if context.request_id else {}
        about |= {"user_agent.original": context.agent} if context.agent else {}
        if context.sampled:
            about["spangate.phase.overhead_ms"] = 0.1
            self._span(trace, server, context.parent, SERVER, at, end, about, context.state)
            tried = {"spangate.upstream": name, "network.peer.address": service.address}
            self._span(trace, client, server, CLIENT, sent, answered, tried, context.state)
        else:
            about |= {"spangate.upstream": name, "spangate.duration_ms": (end - at) / MS}
            if context.parent:
                about["spangate.parent_span_id"] = context.parent.hex()
                about["spangate.trace_context.sampled"] = False
            self.records.append(Record(at, 9, attributes=about, trace_id=trace, span_id=server))
        return end

    def _serve(self, at: int, name: str, service: Service, given: Context) -> int:
        now = at + self._jitter(service.works)
        own = self.random.randbytes(8)
        for called in service.calls:
            said = passed_on(service, given, own, self.random)
            now = self.request(now, called, said, service.address) + self._jitter(service.works)
        if service.way in ("traces", "restarts") and service.exports and given.sampled:
            ahead, parent = service.ahead, given.parent if service.way == "traces" else b""
            trace = given.trace if service.way == "traces" else own + own
            kept = Span(trace, own, parent, name, SERVER, at + ahead, now + ahead)
            kept.resource = {"service.name": name}
            self.spans.append(kept)
            inner = Span(trace, self.random.randbytes(8), own, "work", INTERNAL, at, at + 1)
            self.spans.append(inner)
        return now

    def _span(
        self, trace: bytes, own: bytes, parent: bytes, kind: int, at: int, end: int,
        about: dict[str, object], state: str,
    ) -> None:  # fmt: skip
        made = Span(trace, own, parent, "GET /", kind, at, end, trace_state=state, flags=1)
        made.attributes = about
        self.spans.append(made)

    def _jitter(self, about: int) -> int:
        return int(about * (0.7 + 0.6 * self.random.random())) + 1

    def findings(self, doctor: Doctor | None = None, *, later: int = 60 * SECOND) -> list[Finding]:
        """What a doctor says when it is asked so much later, and has seen all of it at once."""
        doctor = doctor or Doctor()
        ends = [s.end for s in self.spans] + [r.time for r in self.records] + [BEGAN]
        now = max(ends) + later
        for _ in doctor.feed([Stored(1, now - later, self.spans, self.records)]):
            pass
        steps = doctor.examine(now)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return list(end.value)


def passed_on(service: Service, given: Context, own: bytes, random: Random) -> Context:
    """What a service of that way sends along."""
    kept = given if service.passes_id else replace(given, request_id="")
    lost = Context(agent=kept.agent, request_id=kept.request_id)
    trace, parent = given.trace, given.parent
    return {
        "copies": kept,
        "traces": replace(kept, parent=own),
        "drops": lost,
        "restarts": replace(lost, trace=own + own, parent=own),
        "corrupts": replace(lost, result="invalid"),
        "clears": replace(kept, sampled=False),
        "sets": replace(kept, sampled=True),
        "stateless": replace(kept, state=""),
        "unladen": replace(kept, baggage=False),
        "b3": replace(kept, format="b3", parent=own),
        "b3 unread": replace(lost, format="b3"),
        "halves": replace(kept, trace=bytes(8) + trace[8:], parent=own),
        "renames": replace(kept, trace=random.randbytes(16), parent=parent),
    }[service.way]


def rounds(world: World, names: list[str], number: int, context: Context = NO_CONTEXT) -> None:
    """One client that asks for each in turn, so many times, and pauses in between."""
    now = BEGAN
    for _ in range(number):
        for name in names:
            now = world.request(now, name, context) + world._jitter(20 * MS)


def crowd(world: World, names: list[str], clients: int, number: int) -> None:
    """So many clients at once, each of which asks for one after the other, without a pause."""
    for client in range(clients):
        now = BEGAN + client * MS // 3
        for _ in range(number):
            now = world.request(now, world.random.choice(names), NO_CONTEXT) + MS // 10
