"""Policy `probabilistic`: a share of all traces, the same ones wherever it is asked.

Without a salt it follows consistent probability sampling (trace/tracestate-probability-sampling):
kept iff R >= T, so that `th` can tell what each kept trace stands for. With a salt the choice is
by a hash of its own, independent of what was sampled before, and no `th` can be told.
"""

from __future__ import annotations

from hashlib import blake2b

from proxy.collector.tail.trace import Trace
from proxy.collector.tail.verdict import CERTAIN, UNKNOWN, Verdict
from proxy.tracing.sampling import threshold

_DIGITS = 14
_SPACE = 1 << 64


class Consistent:
    """A ratio from 0 to 1."""

    __slots__ = ("_bound", "threshold")

    def __init__(self, ratio: float) -> None:
        th = threshold(ratio)
        self.threshold = th or CERTAIN  # of nothing: it never says yes
        self._bound = th.ljust(_DIGITS, b"0") if th else b"g"  # above every hex digit

    def decide(self, trace: Trace, now: float) -> Verdict:
        kept = self._bound[:1] != b"g" and trace.randomness >= self._bound
        return Verdict.SAMPLED if kept else Verdict.NOT_SAMPLED


class Salted:
    """A ratio from 0 to 1; everybody with the same salt chooses the same traces."""

    __slots__ = ("_bound", "_salt")
    threshold = UNKNOWN

    def __init__(self, ratio: float, salt: str) -> None:
        self._bound = round(ratio * _SPACE)
        self._salt = blake2b(salt.encode(), digest_size=32).digest()

    def decide(self, trace: Trace, now: float) -> Verdict:
        digest = blake2b(trace.trace_id, digest_size=8, key=self._salt).digest()
        kept = int.from_bytes(digest, "big") < self._bound
        return Verdict.SAMPLED if kept else Verdict.NOT_SAMPLED
