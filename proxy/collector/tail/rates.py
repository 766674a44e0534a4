"""Policies that keep what fits into a budget: spans a second, bytes a second."""

from __future__ import annotations

from proxy.collector.tail.trace import Trace
from proxy.collector.tail.verdict import CERTAIN, Verdict


class PerSecond:
    """Room for `most` in each second; what does not fit whole gets none."""

    __slots__ = ("_second", "most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._second = -1

    def has(self, amount: int, now: float) -> bool:
        second = int(now)
        if second != self._second:
            self._second = second
            self.used = 0
        return self.used + amount <= self.most

    def take(self, amount: int) -> None:
        """After `has` said yes."""
        self.used += amount


class RateLimiting:
    """Spans a second. A trace with more spans than that is never kept."""

    __slots__ = ("_room",)
    threshold = CERTAIN

    def __init__(self, spans_per_second: int) -> None:
        self._room = PerSecond(spans_per_second)

    def decide(self, trace: Trace, now: float) -> Verdict:
        if not self._room.has(trace.spans, now):
            return Verdict.NOT_SAMPLED
        self._room.take(trace.spans)
        return Verdict.SAMPLED


class BytesLimiting:
    """A bucket that fills by `bytes_per_second` up to `burst` bytes."""

    __slots__ = ("_burst", "_filled", "_left", "_rate")
    threshold = CERTAIN

    def __init__(self, bytes_per_second: int, burst: int) -> None:
        self._rate = bytes_per_second
        self._burst = burst or 2 * bytes_per_second
        self._left = float(self._burst)
        self._filled = 0.0

    def decide(self, trace: Trace, now: float) -> Verdict:
        self._left = min(self._burst, self._left + (now - self._filled) * self._rate)
        self._filled = now
        size = trace.size
        if size > self._left:
            return Verdict.NOT_SAMPLED
        self._left -= size
        return Verdict.SAMPLED
