"""Policies made of policies: and, not, drop, composite. Inverted answers count as plain ones."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.collector.tail.rates import PerSecond
from proxy.collector.tail.trace import Trace
from proxy.collector.tail.verdict import CERTAIN, SAYS_YES, UNKNOWN, Policy, Verdict


class And:
    """Yes if all say yes; they are asked in order, up to the first no."""

    __slots__ = ("_subs", "_yes", "threshold")

    def __init__(self, subs: Sequence[Policy], yes: Verdict = Verdict.SAMPLED) -> None:
        self._subs = tuple(subs)
        self._yes = yes
        thresholds = [sub.threshold for sub in subs]
        # R is the same for all of them, so that the highest threshold rules.
        self.threshold = UNKNOWN if UNKNOWN in thresholds else max(thresholds)

    def decide(self, trace: Trace, now: float) -> Verdict:
        for sub in self._subs:
            if sub.decide(trace, now) not in SAYS_YES:
                return Verdict.NOT_SAMPLED
        return self._yes


def drop(subs: Sequence[Policy]) -> And:
    """Forbids what all of them say yes to."""
    return And(subs, Verdict.DROPPED)


class Not:
    """Yes where another policy says no."""

    __slots__ = ("_sub", "threshold")

    def __init__(self, sub: Policy) -> None:
        self._sub = sub
        self.threshold = CERTAIN if sub.threshold == CERTAIN else UNKNOWN

    def decide(self, trace: Trace, now: float) -> Verdict:
        said = self._sub.decide(trace, now)
        return Verdict.NOT_SAMPLED if said in SAYS_YES else Verdict.SAMPLED


class Composite:
    """The first policy, in order, that says yes decides, if its share of the budget has room.

    Each has so many spans a second; a trace that finds no room is not offered to the next.
    """

    __slots__ = ("_subs", "_total", "threshold")

    def __init__(self, subs: Sequence[tuple[Policy, int]], total: int) -> None:
        self._subs = [(policy, PerSecond(spans)) for policy, spans in subs]
        self._total = PerSecond(total)
        certain = all(policy.threshold == CERTAIN for policy, _ in subs)
        self.threshold = CERTAIN if certain else UNKNOWN

    def decide(self, trace: Trace, now: float) -> Verdict:
        for policy, room in self._subs:
            if policy.decide(trace, now) in SAYS_YES:
                if not (room.has(trace.spans, now) and self._total.has(trace.spans, now)):
                    return Verdict.NOT_SAMPLED
                room.take(trace.spans)
                self._total.take(trace.spans)
                return Verdict.SAMPLED
        return Verdict.NOT_SAMPLED
