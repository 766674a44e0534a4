"""Verdicts: from how often a service showed a symptom to a finding, or to none."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.recent import findings as kinds
from proxy.recent.alone import Blame
from proxy.recent.callers import Made
from proxy.recent.findings import MOST_EVIDENCE, Finding
from proxy.recent.remedies import REMEDIES

FEWEST = 3
SHARE = 0.1  # of a service's calls, from which a symptom is a habit

SAYS = {
    kinds.DROPPED: "makes calls without the trace context that it was given",
    kinds.RESTARTED: "makes calls in new traces although it was given one",
    kinds.CORRUPTED: "sends trace headers that are not valid",
    kinds.FLAG: "changes the sampled flag of the traces that it is given",
    kinds.STATE: "loses tracestate",
    kinds.BAGGAGE: "loses baggage",
    kinds.B3: "sends B3 headers where it was sent W3C ones",
    kinds.TRUNCATED: "shortens trace ids to 64 bits",
    kinds.SKEW: "has a clock that differs from the gateway's",
    kinds.MISSING: "names parent spans that never arrive",
}


@dataclass(slots=True)
class Tally:
    """How often one service could have shown one symptom, and did."""

    bad: int = 0
    total: int = 0
    doubtful_bad: int = 0  # the same of calls that may be another's
    doubtful_total: int = 0
    offset: int = 0  # of a clock, ns ahead
    blame: list[Blame] = field(default_factory=list)
    proved: bool = False  # some calls had kept what they can only have from this service
    ids: dict[str, None] = field(default_factory=dict)

    def add(self, made: Made, shows: bool) -> None:
        """A call that could show it."""
        if made.doubtful:
            self.doubtful_total += 1
            self.doubtful_bad += shows
        else:
            self.total += 1
            self.bad += shows
            self.proved = self.proved or shows
        if shows:
            self.evidence(made.given.trace_id)
            self.evidence(made.call.trace_id)

    def evidence(self, trace_id: bytes) -> None:
        """The newest count."""
        text = trace_id.hex()
        self.ids.pop(text, None)
        self.ids[text] = None
        if len(self.ids) > MOST_EVIDENCE:
            del self.ids[next(iter(self.ids))]


def by_time(tally: Tally, blame: Blame) -> None:
    """Add what is known by time alone."""
    tally.blame.append(blame)
    for call, given in list(zip(blame.calls, blame.given, strict=True))[-MOST_EVIDENCE:]:
        tally.evidence(given.trace_id)
        tally.evidence(call.trace_id)


def told(service: str, kind: str, tally: Tally) -> Finding | None:
    """The finding, if it is one."""
    bad, total, sure = tally.bad, tally.total, 0.99
    if total < FEWEST and tally.doubtful_total:
        bad, total, sure = bad + tally.doubtful_bad, total + tally.doubtful_total, 0.6
    in_trace = bad >= FEWEST and bad >= SHARE * total
    if not service or not (in_trace or tally.blame):
        return None
    confidence = min(sure, 0.75 + 0.03 * bad) if in_trace else 0.0
    summary = f"{service} {SAYS[kind]}: {bad} of {total} calls" if in_trace else ""
    if tally.blame:
        confidence = max(confidence, max(_surety(blame) for blame in tally.blame))
        calls = sum(len(blame.calls) for blame in tally.blame)
        routes = ", ".join(sorted({blame.route or "(no route)" for blame in tally.blame}))
        alone = f"{calls} requests to {routes} came while it was at work, and no other could be"
        summary = f"{summary}; {alone}" if summary else f"{service} {SAYS[kind]}: {alone}"
    if kind == kinds.SKEW:
        summary += f"; it is {tally.offset / 1e6:+.0f} ms ahead"
    return Finding(service, kind, confidence, tuple(tally.ids), REMEDIES[kind], summary + ".")


def _surety(blame: Blame) -> float:
    """Of a finding by time: less where client and service call themselves alike, or where more
    than one service was at work."""
    if blame.doubtful:
        return 0.5
    return min(0.6 if blame.same_agent else 0.8, 0.4 + 0.05 * len(blame.calls))
