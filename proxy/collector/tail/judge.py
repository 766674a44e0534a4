"""Judge: from the verdicts of all policies to one decision about a trace.

Precedence (tailsamplingprocessor, README): dropped > inverted not sampled > sampled > inverted
sampled, if nobody said no > not sampled.

`th`: the threshold that the trace's spans may carry from now on. It is told only where it is
right: no policy kept the trace for certain, and all that kept it did so by consistent probability.
Then the trace would have been kept iff R >= the lowest of their thresholds. Budgets and quantiles
do not disturb that: what they say does not depend on this trace's R.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from proxy.collector.counters import Counter
from proxy.collector.tail.trace import Trace
from proxy.collector.tail.verdict import CERTAIN, SAYS_YES, UNKNOWN, Policy, Verdict


class Witness(Protocol):
    """A policy that wants to know what was kept."""

    def kept(self, trace: Trace, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """`by`: the place of the policy that decided, -1 for none. `th`: b"" = leave it as it is."""

    sampled: bool
    by: int = -1
    th: bytes = b""


NO = Decision(False)


class Judge:
    """`counts[policy]`: how often it said (yes, no or anything else)."""

    __slots__ = ("_first", "_policies", "_weighs", "_witnesses", "counts")

    def __init__(
        self,
        policies: Sequence[Policy],
        witnesses: Sequence[Witness] = (),
        on_first_match: bool = False,
        *,
        weighs: bool = True,
    ) -> None:
        """`weighs`: whether thresholds may be told at all."""
        self._policies = tuple(policies)
        self._witnesses = tuple(witnesses)
        self._first = on_first_match
        # After the first match nobody knows whether a later policy would have kept it for certain.
        self._weighs = weighs and not on_first_match
        self.counts = [(Counter(), Counter()) for _ in policies]

    def decide(self, trace: Trace, now: float) -> Decision:
        verdicts = self._ask(trace, now)
        decision = self._rule(verdicts)
        if decision.sampled:
            for witness in self._witnesses:
                witness.kept(trace, now)
        return decision

    def _ask(self, trace: Trace, now: float) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for policy, count in zip(self._policies, self.counts, strict=True):
            verdict = policy.decide(trace, now)
            verdicts.append(verdict)
            count[verdict not in SAYS_YES].add()
            if self._first and verdict in (Verdict.SAMPLED, Verdict.DROPPED):
                break
        return verdicts

    def _rule(self, verdicts: list[Verdict]) -> Decision:
        for never in (Verdict.DROPPED, Verdict.INVERTED_NOT_SAMPLED):
            if never in verdicts:
                return Decision(False, verdicts.index(never))
        if Verdict.SAMPLED in verdicts:
            return Decision(True, verdicts.index(Verdict.SAMPLED), self._weight(verdicts))
        if Verdict.INVERTED_SAMPLED in verdicts and Verdict.NOT_SAMPLED not in verdicts:
            return Decision(True, verdicts.index(Verdict.INVERTED_SAMPLED))
        return NO

    def _weight(self, verdicts: list[Verdict]) -> bytes:
        if not self._weighs or Verdict.INVERTED_SAMPLED in verdicts:
            return b""
        lowest = b""
        for policy, verdict in zip(self._policies, verdicts, strict=True):
            if verdict == Verdict.SAMPLED:
                th = policy.threshold
                if th in (CERTAIN, UNKNOWN):
                    return b""
                lowest = min(lowest, th) if lowest else th
        return lowest
