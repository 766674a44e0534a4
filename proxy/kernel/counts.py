"""Number and Histogram: what is counted, and where a worker counts it.

They know nothing of names, units and reports; `reported`, `seen` and `kept` are their registry's
(telemetry/metrics.py). The twin of counts.pyx.
"""

from __future__ import annotations

from bisect import bisect_left

Shown = tuple[bytes, bytes, int, int]  # trace id, span id, value, time


class Number:
    """A counter or gauge; whoever owns it changes `value` directly, while it is `kept`."""

    __slots__ = ("kept", "reported", "seen", "value")

    def __init__(self) -> None:
        self.value = 0
        self.reported: int | None = None
        self.seen = 0.0  # when a pass found it changed
        self.kept = True  # the registry has it: it was not forgotten


class Histogram:
    """Counts by bucket; bucket i holds boundaries[i-1] < value <= boundaries[i]."""

    __slots__ = ("_counts", "_exemplars", "boundaries", "kept", "reported", "seen", "sum")

    def __init__(self, boundaries: tuple[int, ...]) -> None:
        self.boundaries = boundaries
        self.sum = 0
        self._counts = [0] * (len(boundaries) + 1)
        self._exemplars: list[Shown | None] = [None] * (len(boundaries) + 1)
        self.reported = -1
        self.seen = 0.0
        self.kept = True

    def record(self, value: int) -> None:
        self._counts[bisect_left(self.boundaries, value)] += 1
        self.sum += value

    def record_traced(self, value: int, trace_id: bytes, span_id: bytes, time: int) -> None:
        """`value` is the newest exemplar of its bucket; `time` in Unix ns."""
        bucket = bisect_left(self.boundaries, value)
        self._counts[bucket] += 1
        self.sum += value
        # Fields of an Exemplar: a plain tuple takes 30 ns to make, a NamedTuple 300.
        self._exemplars[bucket] = (trace_id, span_id, value, time)

    @property
    def count(self) -> int:
        return sum(self._counts)

    @property
    def counts(self) -> list[int]:
        """By bucket."""
        return list(self._counts)

    @property
    def exemplars(self) -> list[Shown | None]:
        """By bucket."""
        return list(self._exemplars)
