"""Whose call it is: the service that made a request, as far as its trace proves it.

A call that goes on in a known trace was made by a service that is working on a try of that trace:
the one whose span is its parent, directly or by spans that the service has exported; or, where the
parent is not known, the innermost service that was at work and was still when the call ended.
A call that starts a trace of its own is looked up by what it has kept: a span id of ours, the half
of a trace id, a request id of ours. What has kept nothing is for `alone.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proxy.recent.visits import Call, Calls, Own, Trace, Try

MOST_PARENTS = 64
SLACK = 1_000_000  # ns by which times of two processes may differ


@dataclass(frozen=True, slots=True)
class Made:
    """`call` was made by the service that worked on `during`, a try of the request `given`.

    `how`: "parent" our span is its parent, "spans" by the service's own spans, "inside" by its
    trace and time alone, "span_id", "trace_id", "request_id" by what it kept of another trace.
    `lost`: its parent is a span that has not come. `doubtful`: more than one was at work.
    """

    call: Call
    given: Call
    during: Try
    how: str
    lost: bool = False
    doubtful: bool = False

    @property
    def is_elsewhere(self) -> bool:
        """Whether the call is in another trace than its service was given."""
        return self.call.trace_id != self.given.trace_id


class Callers:
    """Of all calls that are known; `find` walks over them once."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.made: dict[bytes, Made] = {}  # by the call's span id
        self.roots: list[Call] = []  # those that no known trace goes on with
        self.orphans: list[Call] = []  # those among them whose caller is not known
        self._ids: dict[bytes, tuple[Call, Try]] = {}
        self._halves: dict[bytes, bytes] = {}  # whole trace ids by either half

    def find(self) -> Iterator[None]:
        """Yields often; afterwards everything is in the attributes."""
        for number, (trace_id, trace) in enumerate(self._calls.traces.items()):
            self._note(trace_id, trace)
            if number % 128 == 0:
                yield
        order = [call for trace in self._calls.traces.values() for call in trace.calls]
        order.sort(key=lambda call: call.start)  # whose caller is known helps with those within it
        yield
        for number, call in enumerate(order):
            self._judge(call, self._calls.traces[call.trace_id])
            if number % 32 == 0:
                yield

    def _note(self, trace_id: bytes, trace: Trace) -> None:
        trace.calls.sort(key=lambda call: (call.start, -call.end))
        if trace_id[:8].strip(b"\0"):
            self._halves[trace_id[8:]] = self._halves[trace_id[:8]] = trace_id
        for call, one in trace.tries():
            if one.span_id:
                self._ids[one.span_id] = (call, one)

    def _judge(self, call: Call, trace: Trace) -> None:
        found = self._maker(call, trace)
        if found is not None:
            self.made[call.span_id] = found
        elif not call.linked:
            self.orphans.append(call)
        if found is None or found.is_elsewhere:
            self.roots.append(call)

    def _maker(self, call: Call, trace: Trace) -> Made | None:
        if call.parent_id and len(trace.calls) > 1:
            found = self._in_trace(call, trace)
            if found is not None:
                return found
        return self._by_what_it_kept(call)

    def _in_trace(self, call: Call, trace: Trace) -> Made | None:
        known = self._ids.get(call.parent_id)
        if known is not None and known[0].trace_id == call.trace_id:
            return Made(call, *known, "parent") if known[0] is not call else None
        top, lost = climb(call.parent_id, trace)
        known = self._ids.get(top.parent_id) if top is not None else None
        if known is not None and known[0].trace_id == call.trace_id:
            return Made(call, *known, "spans")
        if trace.calls[0].parent_id:  # by whom, we do not know: others have that trace too
            return None
        at_work, doubtful = self.innermost(call, trace.calls)
        if at_work is None:
            return None
        return Made(call, *at_work, "inside", lost, doubtful)

    def trace_of(self, call: Call) -> Trace:
        """The one that it is part of."""
        return self._calls.traces[call.trace_id]

    def innermost(self, call: Call, among: Iterable[Call]) -> tuple[tuple[Call, Try] | None, bool]:
        """The one service that was at work on one of these requests from the call's start to its
        end and had none of the others work for it; whether others were at work too."""
        found = [
            (given, one)
            for given in among
            if given is not call
            for one in given.tries
            if one.start <= call.start <= one.end and call.end <= one.end + SLACK
        ]
        above = set()
        for given, _ in found:
            made = self.made.get(given.span_id)
            if made is not None:
                above.add(id(made.during))
        last = [pair for pair in found if id(pair[1]) not in above]
        return (last[0] if len(last) == 1 else None), len(found) > 1

    def _by_what_it_kept(self, call: Call) -> Made | None:
        known = self._ids.get(call.parent_id)
        if known is not None:
            half = _half_of(call.trace_id, known[0].trace_id)
            return Made(call, *known, "trace_id" if half else "span_id")
        whole = self._halves.get(call.trace_id[8:]) if not call.trace_id[:8].strip(b"\0") else None
        if whole is not None:
            at_work, doubtful = self.innermost(call, self._calls.traces[whole].calls)
            if at_work is not None:
                return Made(call, *at_work, "trace_id", doubtful=doubtful)
        if call.request_id:
            return self._by_request_id(call)
        return None

    def _by_request_id(self, call: Call) -> Made | None:
        """Only ids that we have made prove anything: a client may give one to all its requests."""
        try:
            first = self._calls.by_id(bytes.fromhex(call.request_id[16:]))
        except ValueError:
            return None
        if first is None or first is call or first.request_id or len(call.request_id) != 32:
            return None
        with_it = [
            other
            for other in self._calls.traces[first.trace_id].calls
            if other is first or other.request_id == call.request_id
        ]
        at_work, doubtful = self.innermost(call, with_it)
        if at_work is None:
            return None
        lost = climb(call.parent_id, self._calls.traces[call.trace_id])[1]
        return Made(call, *at_work, "request_id", lost, doubtful)


def climb(span_id: bytes, trace: Trace) -> tuple[Own | None, bool]:
    """The topmost of a service's own spans above that id; whether one is missing."""
    top: Own | None = None
    for _ in range(MOST_PARENTS):
        own = trace.own.get(span_id)
        if own is None:
            return top, bool(span_id)
        top, span_id = own, own.parent_id
    return top, False


def _half_of(short: bytes, whole: bytes) -> bool:
    return not short[:8].strip(b"\0") and short[8:] in (whole[8:], whole[:8])
