"""Symptoms: what a call shows of the service that made it, compared with what that was given."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.recent import findings as kinds
from proxy.recent.callers import Callers, Made
from proxy.recent.model import SERVER
from proxy.recent.visits import Call, Trace

SKEWED = 50_000_000  # ns by which a service's span lies outside of its call
ROOM = 5_000_000  # ns by which it may be longer than that

AGAIN = "+"  # the same kind, of calls that are counted by themselves

Symptom = tuple[str, bool]  # kind, and whether the call shows it


def of_call(made: Made, w3c_sent: bool) -> Iterator[Symptom]:
    """Of a call that goes on in the trace that its service was given: each kind that could show."""
    call, given, during = made.call, made.given, made.during
    if during.withheld == "all":
        return
    if w3c_sent:
        yield kinds.B3, call.format.startswith("b3")
    if given.sampled:
        yield kinds.FLAG, call.said is False
    else:
        yield kinds.FLAG + AGAIN, call.said is True
    sent = _keys(during.state)
    if sent and call.sampled and not during.withheld and not call.format:  # B3 has none
        yield kinds.STATE, not sent & _keys(call.state)
    if given.baggage and call.sampled and call.tries:
        yield kinds.BAGGAGE, call.baggage is None


def of_orphan(call: Call, callers: Callers) -> str:
    """The kind that a request is a case of, if a service behind the gateway has made it."""
    if call.result == "invalid":
        return kinds.CORRUPTED
    if not call.parent_id:
        return kinds.B3 if call.format.startswith("b3") else kinds.DROPPED
    begins = callers.trace_of(call).calls[0] is call
    return kinds.RESTARTED if begins else kinds.MISSING


def elsewhere(made: Made, callers: Callers) -> str:
    """The kind of a call that has left the trace, and kept something of it."""
    if made.how == "trace_id":
        return kinds.TRUNCATED
    return kinds.RESTARTED if made.how == "span_id" else of_orphan(made.call, callers)


def skews(trace: Trace) -> Iterator[tuple[str, int, bytes]]:
    """(upstream, ns by which its clock is ahead, trace id), 0 if it fits: of services' own SERVER
    spans in the tries that they belong to."""
    for call, one in trace.tries():
        for own in trace.own.values():
            if own.parent_id != one.span_id or own.kind != SERVER or not one.span_id:
                continue
            took, room = own.end - own.start, one.end - one.start
            outside = own.start < one.start - SKEWED or own.end > one.end + SKEWED
            if took <= room + ROOM:
                ahead = (own.start + own.end - one.start - one.end) // 2 if outside else 0
                yield one.upstream, ahead, call.trace_id


def _keys(state: str) -> set[str]:
    """Whose members it has; `ot` is changed on the way, by us too."""
    return {part.partition("=")[0].strip() for part in state.split(",") if "=" in part} - {"ot"}
