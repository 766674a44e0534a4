"""Histograms whose counts may be fractions, since one span can stand for several.

Written as whole numbers: each bucket is rounded by itself, and `count` is their sum, so that a
point always agrees with itself and, being made of numbers that only grow, never falls.

Source: metrics/v1/metrics.proto (HistogramDataPoint: bounds are included above;
ExponentialHistogramDataPoint: bucket i is (base**i, base**(i+1)], base = 2**(2**-scale)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from proxy.kernel.tally import Buckets

_FINEST = 20  # the largest scale that the specification asks for


class Explicit(Buckets):
    """Buckets between bounds, in the unit of the values."""

    __slots__ = ()

    @property
    def is_empty(self) -> bool:
        return not any(self.counts)

    def write(self, point: Any) -> None:
        """Into a HistogramDataPoint."""
        counts = [round(count) for count in self.counts]
        point.count = sum(counts)
        point.sum = self.sum
        point.bucket_counts.extend(counts)
        point.explicit_bounds.extend(self.bounds)


class Exponential:
    """At most `most` buckets; they get coarser when values spread over more."""

    __slots__ = ("_counts", "_most", "_sum", "_zeros", "scale")

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[int, float] = {}
        self._zeros = 0.0
        self._sum = 0.0
        self.scale = _FINEST

    def add(self, value: float, weight: float = 1.0) -> None:
        self._sum += value * weight
        if value <= 0:
            self._zeros += weight
            return
        index = math.ceil(math.ldexp(math.log2(value), self.scale)) - 1
        lowest = min(index, min(self._counts, default=index))
        highest = max(index, max(self._counts, default=index))
        shift = 0
        while (highest >> shift) - (lowest >> shift) >= self._most:
            shift += 1
        if shift:
            self._coarsen(shift)
            index >>= shift
        self._counts[index] = self._counts.get(index, 0.0) + weight

    def write(self, point: Any) -> None:
        """Into an ExponentialHistogramDataPoint."""
        counts = {index: round(count) for index, count in self._counts.items()}
        point.scale = self.scale
        point.zero_count = round(self._zeros)
        point.count = point.zero_count + sum(counts.values())
        point.sum = self._sum
        if counts:
            lowest = min(counts)
            point.positive.offset = lowest
            point.positive.bucket_counts.extend(
                counts.get(index, 0) for index in range(lowest, max(counts) + 1)
            )

    def _coarsen(self, shift: int) -> None:
        counts: dict[int, float] = {}
        for index, count in self._counts.items():
            counts[index >> shift] = counts.get(index >> shift, 0.0) + count
        self._counts = counts
        self.scale -= shift


Histogram = Explicit | Exponential
MakeHistogram = Callable[[], Histogram]
