"""Values of series: a number, buckets or quantiles, checked, and how deltas add up.

Pure. What OTLP allows and Prometheus cannot read (bounds that do not grow, counts that do not
belong to them) is told apart here.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from proxy.formats.prometheus.series import Exemplar, Point


@dataclass(frozen=True, slots=True)
class Number:
    value: float
    exemplar: Exemplar | None = None

    def added_to(self, before: Value) -> Number:
        if not isinstance(before, Number):
            return self
        return Number(before.value + self.value, self.exemplar or before.exemplar)


@dataclass(frozen=True, slots=True)
class Buckets:
    """`counts` has one more than `bounds`, and is not cumulative; `exemplars` one for each."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float | None
    count: int
    exemplars: tuple[Exemplar | None, ...]

    def cumulative(self) -> Iterator[tuple[float, int, Exemplar | None]]:
        """(upper bound, count up to it, an exemplar), the last bound being infinite."""
        total = 0
        for bound, count, exemplar in zip(
            (*self.bounds, math.inf), self.counts, self.exemplars, strict=True
        ):
            total += count
            yield bound, total, exemplar

    def added_to(self, before: Value) -> Buckets:
        """Other bounds than before begin anew, as a process that was restarted does."""
        if not isinstance(before, Buckets) or before.bounds != self.bounds:
            return self
        both = None if self.sum is None or before.sum is None else self.sum + before.sum
        return Buckets(
            self.bounds,
            tuple(a + b for a, b in zip(self.counts, before.counts, strict=True)),
            both,
            self.count + before.count,
            tuple(a or b for a, b in zip(self.exemplars, before.exemplars, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Quantiles:
    values: tuple[tuple[float, float], ...]
    sum: float | None
    count: int

    def added_to(self, before: Value) -> Quantiles:
        return self  # summaries have no deltas


Value = Number | Buckets | Quantiles


def reading(point: Point) -> Value | None:
    """What a point says; None if that is nothing, or cannot be."""
    if point.family.type == "histogram":
        return _buckets(point)
    if point.family.type == "summary":
        raw = point.raw
        values = sorted((q.quantile, q.value) for q in raw.quantile_values)
        return Quantiles(tuple(values), raw.sum, raw.count)
    if point.value is None:
        return None
    exemplars = point.exemplars()
    return Number(point.value, exemplars[-1] if exemplars else None)


def _buckets(point: Point) -> Buckets | None:
    raw = point.raw
    bounds, counts = tuple(raw.explicit_bounds), tuple(raw.bucket_counts)
    if bounds and bounds[-1] == math.inf and len(counts) == len(bounds):
        bounds = bounds[:-1]  # infinity should not be said
    if not counts and not bounds:
        counts = (raw.count,)
    grows = all(a < b for a, b in pairwise(bounds))
    if len(counts) != len(bounds) + 1 or not grows or not all(map(math.isfinite, bounds)):
        return None
    exemplars: list[Exemplar | None] = [None] * len(counts)
    for exemplar in point.exemplars() if raw.exemplars else ():
        exemplars[bisect_left(bounds, exemplar.value)] = exemplar
    total = raw.sum if raw.HasField("sum") else None
    return Buckets(bounds, counts, total, sum(counts), tuple(exemplars))


def escaped(value: str) -> str:
    """A label's value, between quotes."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return value


def number_text(value: float) -> str:
    """A number as both formats read it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)
