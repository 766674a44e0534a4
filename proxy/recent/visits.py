"""Visits: the requests of which spans and records tell, and what services' own spans say beside.

A Call is one request through the gateway, a Try one of its attempts against an upstream. What is
kept is bounded: the oldest traces go first. Everything in them is strangers' input and only
compared, never trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from proxy.recent.model import CLIENT, SERVER, Record, Span

MOST_CALLS = 20_000
MOST_OWN = 40_000
_REMOTE = 0x200  # Span.flags: the parent is of another process


@dataclass(slots=True, eq=False)
class Try:
    """An attempt; of a request that was not sampled the whole request, without an id."""

    upstream: str
    span_id: bytes
    start: int
    end: int
    peer: str = ""  # address of the endpoint
    withheld: str = ""  # what of the context was not sent: "tracestate", "all"
    state: str = ""


@dataclass(slots=True, eq=False)
class Call:
    """A request. `parent_id` is b"" if no valid context came."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    start: int
    end: int
    route: str
    sampled: bool
    said: bool | None = None  # the sampled flag that came
    state: str = ""  # tracestate
    result: str = ""  # "invalid": what came was no context
    format: str = ""  # "b3", "b3multi"; "" = W3C or nothing
    baggage: bool | None = None  # None: none came; whether it was passed on
    request_id: str = ""  # that came with it
    peer: str = ""
    agent: str = ""
    linked: bool = False  # a context came from somebody who is not trusted
    tries: list[Try] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Own:
    """A span that a service has exported itself."""

    span_id: bytes
    parent_id: bytes
    kind: int
    start: int
    end: int
    service: str


@dataclass(slots=True, eq=False)
class Trace:
    """What is known of one."""

    calls: list[Call] = field(default_factory=list)
    own: dict[bytes, Own] = field(default_factory=dict)

    def end(self) -> int:
        """When the last of it ended."""
        ends = [call.end for call in self.calls] + [own.end for own in self.own.values()]
        return max(ends, default=0)

    def tries(self) -> Iterator[tuple[Call, Try]]:
        for call in self.calls:
            for one in call.tries:
                yield call, one


class Calls:
    """By trace, the newest."""

    def __init__(self) -> None:
        self.traces: dict[bytes, Trace] = {}
        self.calls = self.own = 0
        self._by_id: dict[bytes, Call] = {}  # by the SERVER span's id
        self._early: dict[bytes, list[Try]] = {}  # tries whose request has not come yet

    def span(self, span: Span) -> None:
        """Take a span, the gateway's or a service's."""
        if len(span.trace_id) != 16 or len(span.span_id) != 8:
            return
        if span.kind == SERVER and "spangate.phase.overhead_ms" in span.attributes:
            self._call(_call_of(span))
        elif span.kind == CLIENT and "spangate.upstream" in span.attributes:
            if span.attributes.get("spangate.mirror") is not True:
                self._try(span)
        elif "spangate.upstream" not in span.attributes:
            trace = self._trace(span.trace_id)
            if span.span_id not in trace.own:
                self.own += 1
            trace.own[span.span_id] = Own(
                span.span_id, span.parent_id, span.kind, span.start, span.end, span.service
            )

    def record(self, record: Record) -> None:
        """Take an access record, if it is of a request that was not sampled."""
        told = record.attributes
        if record.flags & 1 or len(record.trace_id) != 16 or "spangate.duration_ms" not in told:
            return
        if record.span_id not in self._by_id:
            self._call(_call_of_record(record))

    def by_id(self, span_id: bytes) -> Call | None:
        """The request with that SERVER span."""
        return self._by_id.get(span_id)

    def forget(self, before: int) -> None:
        """Forget the oldest traces as far as they ended before that (Unix ns)."""
        while self.traces:
            trace = self.traces[next(iter(self.traces))]
            if trace.end() >= before:
                break
            self._forget_first()

    def _forget_first(self) -> None:
        trace = self.traces.pop(next(iter(self.traces)))
        self.calls -= len(trace.calls)
        self.own -= len(trace.own)
        for call in trace.calls:
            self._by_id.pop(call.span_id, None)

    def make_room(self) -> None:
        """Forget the oldest traces beyond what is kept."""
        while (self.calls > MOST_CALLS or self.own > MOST_OWN) and self.traces:
            self._forget_first()
        while len(self._early) > MOST_CALLS:
            del self._early[next(iter(self._early))]

    def _trace(self, trace_id: bytes) -> Trace:
        trace = self.traces.get(trace_id)
        if trace is None:
            trace = self.traces[trace_id] = Trace()
        return trace

    def _call(self, call: Call) -> None:
        if call.span_id in self._by_id:
            return
        call.tries += self._early.pop(call.span_id, [])
        self._by_id[call.span_id] = call
        self._trace(call.trace_id).calls.append(call)
        self.calls += 1

    def _try(self, span: Span) -> None:
        told = span.attributes
        # A sidecar's upstreams have names of their own.
        service = _text(told, "peer.service") or _text(told, "spangate.upstream")
        one = Try(
            service, span.span_id, span.start, span.end,
            _text(told, "network.peer.address"), _text(told, "spangate.trace_context.withheld"),
            span.trace_state,
        )  # fmt: skip
        call = self._by_id.get(span.parent_id)
        if not span.parent_id or span.flags & _REMOTE:
            # An application's own request, by its sidecar: no other span tells of it.
            self._early[span.span_id] = [one]
            self._call(_call_of(span))
        elif call is None:
            self._early.setdefault(span.parent_id, []).append(one)
        elif all(known.span_id != one.span_id for known in call.tries):
            call.tries.append(one)


def _call_of(span: Span) -> Call:
    told = span.attributes
    baggage = told.get("spangate.baggage")
    said = False if told.get("spangate.trace_context.sampled") is False else None
    # What an application sends by its sidecar is of no route, but to somebody.
    place = _text(told, "spangate.route") or _text(told, "peer.service")
    return Call(
        span.trace_id, span.span_id, span.parent_id, span.start, span.end,
        place, True,
        said=True if said is None and span.parent_id else said,
        state=span.trace_state,
        result=_text(told, "spangate.trace_context.result"),
        format=_text(told, "spangate.trace_context.format"),
        baggage=baggage if isinstance(baggage, bool) else None,
        request_id=_text(told, "spangate.request_id"),
        # The address in a CLIENT span is that of whom the application has called.
        peer="" if span.kind == CLIENT else _text(told, "network.peer.address"),
        agent=_text(told, "user_agent.original"),
        linked=bool(span.links),
    )  # fmt: skip


def _call_of_record(record: Record) -> Call:
    told = record.attributes
    took = told.get("spangate.duration_ms")
    start = record.time
    end = start + int(took * 1e6 if isinstance(took, int | float) and took >= 0 else 0)
    said = told.get("spangate.trace_context.sampled")
    upstream, given = _text(told, "spangate.upstream"), _text(told, "spangate.request_id")
    return Call(
        record.trace_id, record.span_id, _id(_text(told, "spangate.parent_span_id")), start, end,
        _text(told, "spangate.route"), False,
        said=said if isinstance(said, bool) else None,
        result=_text(told, "spangate.trace_context.result"),
        format=_text(told, "spangate.trace_context.format"),
        request_id="" if given.endswith(record.span_id.hex()) else given,  # ours ends so
        peer=_text(told, "network.peer.address"),
        agent=_text(told, "user_agent.original"),
        tries=[Try(upstream, b"", start, end)] if upstream else [],
    )  # fmt: skip


def _text(attributes: dict[str, Any], key: str) -> str:
    value = attributes.get(key)
    return value if isinstance(value, str) else ""


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text) if len(text) == 16 else b""
    except ValueError:
        return b""
