"""Quantile: a running quantile of durations, by counting in buckets of equal relative width.

Bounded: from 1 µs to an hour there are 452 buckets of 5 %, kept only where something fell into
them. It forgets: all counts are halved whenever there are `window` of them, so that what was
usual last week gives way to what is usual now.
"""

from __future__ import annotations

import math

_WIDTH = math.log(1.05)  # the answer is at most 5 % above the truth
_FIRST, _LAST = 1_000, 3_600_000_000_000  # ns; outside of them, as if on the edge


class Quantile:
    """`share` from 0 to 1."""

    __slots__ = ("_counts", "_known", "_share", "_total", "_window")

    def __init__(self, share: float, window: int) -> None:
        self._share = share
        self._window = window
        self._counts: dict[int, int] = {}
        self._total = 0
        self._known: float | None = None

    def __len__(self) -> int:
        """How many count now."""
        return self._total

    @property
    def buckets(self) -> int:
        return len(self._counts)

    def add(self, ns: int) -> None:
        bucket = _bucket(ns)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self._total += 1
        self._known = None
        if self._total >= self._window:
            halves = {bucket: count // 2 for bucket, count in self._counts.items() if count > 1}
            self._counts = halves
            self._total = sum(halves.values())

    def exceeded_by(self, ns: int) -> bool:
        """Whether it lies above the bucket in which the quantile is."""
        if self._known is None:
            self._known = self._find()
        return _bucket(ns) > self._known

    def _find(self) -> float:
        above = round(self._total * (1 - self._share), 6)  # 20 * (1 - 0.9) is 1.9999999999999996
        seen = 0
        for bucket in sorted(self._counts, reverse=True):
            seen += self._counts[bucket]
            if seen > above:
                return bucket
        return math.inf


def _bucket(ns: int) -> int:
    return math.ceil(math.log(min(max(ns, _FIRST), _LAST) / _FIRST) / _WIDTH)
