"""Point: one OTLP data point of a scraped target, put together from its samples.

A histogram or summary comes as several samples, whose parts are gathered here until the scrape is
complete. Which sample belongs to which point is decided in prometheus_target.
"""

from __future__ import annotations

import math
from enum import IntEnum

from proxy.formats.prometheus.text import Exemplar, nanoseconds
from proxy.otlp import metric_bytes
from proxy.otlp.metric_bytes import Metric

INFO = ("job", "instance")  # labels of target_info that say nothing new

# Most points never have any of these: 120 bytes less for each.
_NO_EXEMPLARS: list[Exemplar] = []
_NO_PARTS: dict[float, float] = {}

_MOST = 1 << 63
_LATEST = 1e10  # Unix seconds, the year 2286: `_created` of the far future is nonsense


class Role(IntEnum):
    """What a sample is to its point."""

    VALUE = 0
    BUCKET = 1
    QUANTILE = 2
    SUM = 3
    COUNT = 4
    CREATED = 5


class Slot:
    """Where the samples of one series go; nowhere if `point` is None, which may be a `fault`."""

    __slots__ = ("bound", "fault", "point", "role", "round")

    def __init__(
        self, point: Point | None, role: Role = Role.VALUE, bound: float = 0.0, fault: str = ""
    ) -> None:
        self.point = point
        self.fault = fault
        self.role = role
        self.bound = bound  # `le` or `quantile`
        self.round = 0


class Point:
    """Filled anew in each scrape (`round`); `alive` if the last one had it. Times in Unix ns."""

    __slots__ = (
        "_count",
        "_created",
        "_last",
        "_parts",
        "_seen",
        "_start",
        "_sum",
        "_time",
        "_value",
        "alive",
        "attributes",
        "exemplars",
        "kind",
        "metric",
        "resource",
        "round",
        "scope",
        "timed",
    )

    def __init__(
        self, metric: Metric, resource: tuple[str, str], scope: bytes, attributes: bytes
    ) -> None:
        self.metric = metric
        self.kind = metric.kind
        self.resource = resource  # (job, instance)
        self.scope = scope
        self.attributes = attributes
        self.exemplars: list[Exemplar] = _NO_EXEMPLARS
        self.round = 0
        self.alive = False
        self.timed = False  # it came with a time of its own
        self._start = self._time = self._seen = self._created = 0
        self._last = -math.inf
        self._value: float | None = None
        self._sum: float | None = None
        self._count: float | None = None
        self._parts: dict[float, float] = _NO_PARTS  # le or quantile -> value

    def open(self, round: int, time: int, timed: bool) -> None:
        """Its first sample of a scrape."""
        self.round = round
        self.timed = timed
        self._time = time
        self._created = 0
        self._value = self._sum = self._count = None
        if self.kind == "histogram" or self.kind == "summary":
            self._parts = {}
        if self.exemplars:
            self.exemplars = _NO_EXEMPLARS

    def put(self, slot: Slot, value: float) -> bool:
        """False if there is such a sample already."""
        role = slot.role
        if role is Role.VALUE:
            if self._value is not None:
                return False
            self._value = value
        elif role is Role.BUCKET or role is Role.QUANTILE:
            if slot.bound in self._parts:
                return False
            self._parts[slot.bound] = value
        elif role is Role.SUM:
            self._sum = value
        elif role is Role.COUNT:
            self._count = value
        elif role is Role.CREATED and 0 < value < _LATEST:
            self._created = nanoseconds(value)
        return True

    def written(self) -> bytes | None:
        """The data point, None if it is incomplete or contradicts itself."""
        if self.kind == "histogram":
            return self._histogram()
        if self.kind == "summary":
            return self._summary()
        if (value := self._value) is None:
            return None
        start = self._started(value) if self.kind == "sum" else 0
        self.alive = True
        exemplars = self._examples(5) if self.exemplars else b""
        return metric_bytes.number(self.attributes, start, self._time, value, exemplars)

    def stale(self, now: int) -> bytes:
        """The point that says: no longer there."""
        times = (self._start, now)
        parts = sorted(self._parts)
        if self.kind == "histogram":
            bounds = [bound for bound in parts if bound != math.inf]
            return metric_bytes.histogram(self.attributes, times, None, None, (bounds, ()))
        if self.kind == "summary":
            quantiles = [(quantile, math.nan) for quantile in parts]
            return metric_bytes.summary(self.attributes, times, None, 0.0, quantiles)
        return metric_bytes.number(self.attributes, *times, None)

    def _histogram(self) -> bytes | None:
        count = _whole(self._count)
        if count is None:
            return None
        bounds = sorted(self._parts)
        counts, before = [], 0
        for bound in bounds:
            upto = _whole(self._parts[bound])
            if upto is None or upto < before:
                return None
            counts.append(upto - before)
            before = upto
        if bounds and bounds[-1] == math.inf:
            bounds.pop()
            count = before  # what the buckets say, since they must add up to it
        elif count >= before:
            counts.append(count - before)
        else:
            return None
        times = (self._started(count), self._time)
        exemplars, self.alive = self._examples(8), True
        return metric_bytes.histogram(
            self.attributes, times, count, self._sum, (bounds, counts), exemplars
        )

    def _summary(self) -> bytes | None:
        count = _whole(self._count)
        if count is None:
            return None
        times = (self._started(count), self._time)
        self.alive = True
        return metric_bytes.summary(
            self.attributes, times, count, self._sum or 0.0, sorted(self._parts.items())
        )

    def _examples(self, field: int) -> bytes:
        return b"".join(
            metric_bytes.exemplar(labels, value, time or self._time, field=field)
            for labels, value, time in self.exemplars
        )

    def _started(self, value: float) -> int:
        """Since when it is counted; a value that fell began anew after it was last seen."""
        if self._created:
            self._start = self._created
        elif not self._start:
            self._start = self._time
        elif value < self._last:
            self._start = self._seen
        self._last = value
        self._seen = self._time
        return min(self._start, self._time)


def _whole(value: float | None) -> int | None:
    """A count; None for what cannot be one."""
    return int(value) if value is not None and 0 <= value < _MOST else None
