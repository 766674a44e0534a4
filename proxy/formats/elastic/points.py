"""Data points as Elasticsearch has them: numbers, histograms, aggregates, and their templates.

Pure. Points of one time and one set of attributes become one document, as the time series data
streams of Elasticsearch want it. Source: the Collector's `elasticsearchexporter`,
`internal/datapoints`; the dynamic templates of Elasticsearch's own `metrics@mappings`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

Value = float | int | dict[str, Any]
Key = tuple[Any, ...]

_NO_VALUE = 1  # DataPointFlags: it has ended
_DATA = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


class Group:
    """The points of one document."""

    __slots__ = ("first", "items", "templates", "unit", "values")

    def __init__(self, first: Any, unit: str) -> None:
        self.first = first  # a data point, for its times and attributes
        self.unit = unit
        self.values: dict[str, Value] = {}
        self.templates: dict[str, str] = {}
        self.items = 0


def group(metrics: Any, *, by_unit: bool) -> tuple[list[Group], int]:
    """Documents to be made of the metrics of one scope, and the points that have no value."""
    groups: dict[Key, list[Group]] = {}
    bare = 0
    for metric, kind, point in _points(metrics):
        value = _value(kind, point)
        if value is None:
            bare += 1
            continue
        unit = metric.unit if by_unit else ""
        found = groups.setdefault(_key(point, unit), [])
        # A second point of the same metric, time and attributes is a document of its own: to drop
        # it is the right of whoever has mapped the stream.
        place = next((g for g in found if metric.name not in g.values), None)
        if place is None:
            place = Group(point, unit)
            found.append(place)
        place.values[metric.name] = value
        place.templates[metric.name] = _template(metric, kind, value)
        place.items += 1
    return [g for found in groups.values() for g in found], bare


def _points(metrics: Any) -> Iterator[tuple[Any, str, Any]]:
    for metric in metrics:
        kind = metric.WhichOneof("data")
        if kind in _DATA:
            for point in getattr(metric, kind).data_points:
                yield metric, kind, point


def _key(point: Any, unit: str) -> Key:
    pairs = sorted((pair.key, pair.value.SerializeToString()) for pair in point.attributes)
    return (point.time_unix_nano, point.start_time_unix_nano, unit, *pairs)


def _value(kind: str, point: Any) -> Value | None:
    if point.flags & _NO_VALUE:
        return None
    if kind in ("gauge", "sum"):
        return _number(point)
    if kind == "summary":
        return {"sum": point.sum, "value_count": point.count}
    if kind == "histogram":
        return _histogram(point)
    return _exponential(point)


def _number(point: Any) -> float | int | None:
    which = point.WhichOneof("value")
    if which is None:
        return None
    value: float | int = getattr(point, which)
    return value if math.isfinite(value) else None  # JSON has no word for the others


def _histogram(point: Any) -> Value | None:
    """Counts at the middle of their buckets; the outermost at their only bound."""
    counts, bounds = point.bucket_counts, point.explicit_bounds
    if not bounds and len(counts) <= 1:
        return {"sum": point.sum, "value_count": point.count}
    if len(counts) != len(bounds) + 1:
        return None
    found = [(_middle(bounds, i), int(n)) for i, n in enumerate(counts) if n]
    return {"values": [value for value, _ in found], "counts": [n for _, n in found]}


def _middle(bounds: Any, bucket: int) -> float:
    if bucket == 0:
        first = float(bounds[0])
        return first / 2 if first > 0 else first
    if bucket == len(bounds):
        return float(bounds[-1])
    lower, upper = float(bounds[bucket - 1]), float(bounds[bucket])
    return lower + (upper - lower) / 2


def _exponential(point: Any) -> Value | None:
    """Buckets (base^i, base^(i+1)], base = 2^(2^-scale), the smallest value first."""
    try:
        below = [(-value, n) for value, n in _buckets(point.negative, point.scale)]
        above = list(_buckets(point.positive, point.scale))
    except OverflowError:
        return None
    zero = [(0.0, int(point.zero_count))] if point.zero_count else []
    found = [*reversed(below), *zero, *above]
    return {"values": [value for value, _ in found], "counts": [n for _, n in found]}


def _buckets(buckets: Any, scale: int) -> Iterator[tuple[float, int]]:
    width = math.ldexp(1.0, -scale)
    for i, n in enumerate(buckets.bucket_counts):
        if n:
            lower = 2.0 ** (width * (buckets.offset + i))
            upper = 2.0 ** (width * (buckets.offset + i + 1))
            yield lower + (upper - lower) / 2, int(n)


def _template(metric: Any, kind: str, value: Value) -> str:
    if isinstance(value, dict):
        return "histogram" if "counts" in value else "summary"
    number = "long" if isinstance(value, int) else "double"
    grows = kind == "sum" and metric.sum.is_monotonic
    return f"{'counter' if grows else 'gauge'}_{number}"
