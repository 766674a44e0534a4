"""Counts and histograms of one worker, and their sum over all workers.

A worker's numbers are cumulative plain integers in a `Registry` that lives as long as the
process, whatever happens to the configuration. They go to the hub as `Report`s, which hold what
changed since the last one; the hub's `Totals` adds workers up and keeps what dead ones counted,
so that no counter falls. Knows nothing of requests, nor of how numbers are exposed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.telemetry.instruments import INSTRUMENTS, OVERFLOWED, Instrument, Kind

Attributes = tuple[tuple[str, str | int | bool], ...]
Key = tuple[str, Attributes]  # instrument's name, attributes

# metrics/sdk.md "Overflow attribute"
OVERFLOW: Attributes = (("otel.metric.overflow", True),)


class Exemplar(NamedTuple):
    """One measured value and the trace in which it was measured."""

    trace_id: bytes  # 32 hex digits
    span_id: bytes  # 16 hex digits
    value: int  # raw, as the histogram's
    time: int  # Unix ns


class Point(NamedTuple):
    """A histogram's state: a count for each bucket (one more than boundaries), and the sum."""

    counts: tuple[int, ...]
    sum: int
    exemplars: tuple[Exemplar | None, ...]  # by bucket; () = none at all


class Series(NamedTuple):
    """One line of the exposition."""

    instrument: Instrument
    attributes: Attributes
    value: int | Point


class Number:
    """A counter or gauge; whoever owns it changes `value` directly."""

    __slots__ = ("reported", "value")

    def __init__(self) -> None:
        self.value = 0
        self.reported: int | None = None


class Histogram:
    """Counts by bucket; bucket i holds boundaries[i-1] < value <= boundaries[i]."""

    __slots__ = ("boundaries", "counts", "exemplars", "reported", "sum")

    def __init__(self, boundaries: tuple[int, ...]) -> None:
        self.boundaries = boundaries
        self.counts = [0] * (len(boundaries) + 1)
        self.sum = 0
        # Fields of an Exemplar: a plain tuple takes 30 ns to make, a NamedTuple 300.
        self.exemplars: list[tuple[bytes, bytes, int, int] | None] = [None] * (len(boundaries) + 1)
        self.reported = 0

    def record(self, value: int) -> int:
        """Count `value` and say in which bucket, where an exemplar may be put."""
        bucket = bisect_left(self.boundaries, value)
        self.counts[bucket] += 1
        self.sum += value
        return bucket

    def point(self) -> Point:
        exemplars = tuple(e and Exemplar(*e) for e in self.exemplars)
        return Point(tuple(self.counts), self.sum, exemplars if any(exemplars) else ())


@dataclass(frozen=True, slots=True)
class Report:
    """Cumulative values of the series that changed since the last report."""

    numbers: dict[Key, int] = field(default_factory=dict)
    histograms: dict[Key, Point] = field(default_factory=dict)


class Registry:
    """All series of one worker, at most `cap` for each instrument.

    What comes after that is folded into one series with the attributes OVERFLOW, and counted.
    """

    __slots__ = ("_histograms", "_numbers", "_sizes", "cap")

    def __init__(self, cap: int = 2000) -> None:
        self.cap = cap
        self._numbers: dict[Key, Number] = {}
        self._histograms: dict[Key, Histogram] = {}
        self._sizes: dict[str, int] = {}

    def number(self, name: str, attributes: Attributes = ()) -> Number:
        """The counter or gauge of that name; the same object for the same attributes."""
        key = (name, attributes)
        found = self._numbers.get(key)
        if found is None:
            key = self._admit(key)
            found = self._numbers.setdefault(key, Number())
        return found

    def histogram(self, name: str, attributes: Attributes) -> Histogram:
        """The histogram of that name; the same object for the same attributes."""
        key = (name, attributes)
        found = self._histograms.get(key)
        if found is None:
            key = self._admit(key)
            fresh = Histogram(INSTRUMENTS[name].boundaries)
            found = self._histograms.setdefault(key, fresh)
        return found

    def report(self) -> Report:
        """What changed since the last call; `Totals` needs every one of them."""
        report = Report()
        for key, number in self._numbers.items():
            if number.value != number.reported:
                number.reported = report.numbers[key] = number.value
        for key, histogram in self._histograms.items():
            count = sum(histogram.counts)
            if count != histogram.reported:
                histogram.reported = count
                report.histograms[key] = histogram.point()
        return report

    def _admit(self, key: Key) -> Key:
        name = key[0]
        if name != OVERFLOWED:
            if self._sizes.get(name, 0) >= self.cap:
                self.number(OVERFLOWED, (("spangate.instrument", name),)).value += 1
                return (name, OVERFLOW)
            self._sizes[name] = self._sizes.get(name, 0) + 1
        return key


class Totals:
    """The sum over all workers that ever were.

    The cap holds for the sum too: workers may have seen different attributes.
    """

    __slots__ = ("_admitted", "_past", "_workers", "cap")

    def __init__(self, cap: int = 2000) -> None:
        self.cap = cap
        self._past = Report()
        self._workers: dict[Hashable, Report] = {}
        self._admitted: dict[str, set[Attributes]] = {}

    def apply(self, worker: Hashable, report: Report) -> None:
        """Take over what `worker` reported; its reports must come in order."""
        known = self._workers.setdefault(worker, Report())
        known.numbers.update(report.numbers)
        known.histograms.update(report.histograms)

    def retire(self, worker: Hashable) -> None:
        """`worker` is gone: what it counted stays, what it had open is not open any more."""
        known = self._workers.pop(worker, None)
        if known is None:
            return
        for key, value in known.numbers.items():
            gauge = INSTRUMENTS[key[0]].kind is Kind.GAUGE
            self._past.numbers[key] = self._past.numbers.get(key, 0) + (0 if gauge else value)
        for key, point in known.histograms.items():
            self._past.histograms[key] = _add(self._past.histograms.get(key), point)

    def series(self) -> Iterator[Series]:
        """Every series; those of one instrument come together, in the order of INSTRUMENTS."""
        sums: dict[str, dict[Attributes, int]] = {}
        points: dict[str, dict[Attributes, Point]] = {}
        for part in (self._past, *self._workers.values()):
            for key, value in part.numbers.items():
                name, attributes = self._admit(key)
                group = sums.setdefault(name, {})
                group[attributes] = group.get(attributes, 0) + value
            for key, point in part.histograms.items():
                name, attributes = self._admit(key)
                known = points.setdefault(name, {})
                known[attributes] = _add(known.get(attributes), point)
        for name, instrument in INSTRUMENTS.items():
            for attributes, value in sums.get(name, {}).items():
                yield Series(instrument, attributes, value)
            for attributes, point in points.get(name, {}).items():
                yield Series(instrument, attributes, point)

    def _admit(self, key: Key) -> Key:
        name, attributes = key
        admitted = self._admitted.setdefault(name, set())
        if attributes in admitted or attributes == OVERFLOW:
            return key
        if len(admitted) >= self.cap:
            return (name, OVERFLOW)
        admitted.add(attributes)
        return key


def _add(one: Point | None, other: Point) -> Point:
    if one is None:
        return other
    counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))
    exemplars = one.exemplars or other.exemplars
    if one.exemplars and other.exemplars:
        pairs = zip(one.exemplars, other.exemplars, strict=True)
        exemplars = tuple(a if b is None or (a and a.time > b.time) else b for a, b in pairs)
    return Point(counts, one.sum + other.sum, exemplars)
