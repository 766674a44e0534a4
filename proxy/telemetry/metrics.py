"""Counts and histograms of one worker; their sum over all workers is in `totals`.

A worker's numbers are cumulative plain integers in a `Registry` that lives as long as the
process, whatever happens to the configuration. They go to the hub as `Report`s, which hold what
changed since the last pass; the hub's `totals` adds workers up and keeps what dead ones counted,
so that no counter falls. Knows nothing of requests, nor of how numbers are exposed.

A Report is about at most SLICE series, so that nothing takes long at once. A series that nobody
changes for `forget` seconds goes, so that endpoints which come and go cannot use up the cap:
whether it has changed is seen from one pass to the next, so that counting itself costs nothing
more. What stays for good is said in `is_lasting`; a gauge goes only when it is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from proxy.kernel.counts import Histogram as Histogram
from proxy.kernel.counts import Number as Number
from proxy.telemetry.instruments import INSTRUMENTS, OVERFLOWED, Instrument, Kind

Attributes = tuple[tuple[str, str | int | bool], ...]
Key = tuple[str, Attributes]  # instrument's name, attributes

# metrics/sdk.md "Overflow attribute"
OVERFLOW: Attributes = (("otel.metric.overflow", True),)

SLICE = 256  # series in a Report: 1 ms to make of histograms that all changed, 1 ms to take

T = TypeVar("T")


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


class Memo:
    """What readers of a series have made of its attributes and want to have again."""

    __slots__ = ("labels", "pairs")

    def __init__(self) -> None:
        self.labels: tuple[str, str, str] | None = None  # in the text that Prometheus reads
        self.pairs = b""  # in OTLP


class Series(NamedTuple):
    """One line of the exposition. `memo` lives as long as the series, where it has a life."""

    instrument: Instrument
    attributes: Attributes
    value: int | Point
    memo: Memo | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Cumulative values of series that changed, and the keys of those that were forgotten."""

    numbers: dict[Key, int] = field(default_factory=dict)
    histograms: dict[Key, Point] = field(default_factory=dict)
    forgotten: list[Key] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.numbers or self.histograms or self.forgotten)


class Registry:
    """All series of one worker, at most `cap` for each instrument.

    What comes after that is folded into one series with the attributes OVERFLOW, and counted.
    `forget`: seconds without a change after which a series goes, 0 = never. Whoever keeps a
    Number or Histogram looks at its `kept` after each report that has forgotten something.
    """

    __slots__ = ("_dropped", "_histograms", "_numbers", "_sizes", "cap", "forget")

    def __init__(self, cap: int = 2000, forget: float = 0.0) -> None:
        self.cap = cap
        self.forget = forget
        self._numbers: dict[Key, Number] = {}
        self._histograms: dict[Key, Histogram] = {}
        self._sizes: dict[str, int] = {}
        self._dropped: list[Key] = []  # before the next pass

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

    def drop(self, name: str, attributes: Attributes) -> None:
        """A counter or gauge goes at once, whatever it says: there is nothing any more that it
        could be about."""
        key = (name, attributes)
        if (number := self._numbers.pop(key, None)) is not None:
            number.kept = False
            self._sizes[name] -= 1
            self._dropped.append(key)

    def reports(self, now: float) -> Iterator[Report]:
        """What changed since the last pass, a slice at a time; `now` in monotonic seconds.

        Each may be taken in a turn of its own, and says nothing where nothing changed. `Totals`
        needs every one of them. Whatever was counted before the pass began is in one of them.
        """
        dropped, self._dropped = self._dropped, []
        if gone := [key for key in dropped if key not in self._numbers]:
            yield Report(forgotten=gone)
        for numbers in _cut(list(self._numbers.items())):
            yield self._numbers_report(numbers, now)
        for histograms in _cut(list(self._histograms.items())):
            yield self._histograms_report(histograms, now)

    def report(self, now: float = 0.0) -> Report:
        """A whole pass at once."""
        whole = Report()
        for report in self.reports(now):
            whole.numbers.update(report.numbers)
            whole.histograms.update(report.histograms)
            whole.forgotten.extend(report.forgotten)
        return whole

    def _numbers_report(self, numbers: list[tuple[Key, Number]], now: float) -> Report:
        report = Report()
        for key, number in numbers:
            if number.value != number.reported:
                number.reported = report.numbers[key] = number.value
                number.seen = now
            elif self._is_over(key, number, now) and (not number.value or not _is_gauge(key)):
                self._forget(key, number, report)
                del self._numbers[key]
        return report

    def _histograms_report(self, histograms: list[tuple[Key, Histogram]], now: float) -> Report:
        report = Report()
        for key, histogram in histograms:
            count = histogram.count
            if count != histogram.reported:
                histogram.reported = count
                histogram.seen = now
                report.histograms[key] = _point(histogram)
            elif self._is_over(key, histogram, now):
                self._forget(key, histogram, report)
                del self._histograms[key]
        return report

    def _is_over(self, key: Key, series: Number | Histogram, now: float) -> bool:
        return 0 < self.forget < now - series.seen and not is_lasting(key)

    def _forget(self, key: Key, series: Number | Histogram, report: Report) -> None:
        series.kept = False
        self._sizes[key[0]] -= 1
        report.forgotten.append(key)

    def _admit(self, key: Key) -> Key:
        name = key[0]
        if name != OVERFLOWED:
            if self._sizes.get(name, 0) >= self.cap:
                self.number(OVERFLOWED, (("spangate.instrument", name),)).value += 1
                return (name, OVERFLOW)
            self._sizes[name] = self._sizes.get(name, 0) + 1
        return key


def is_lasting(key: Key) -> bool:
    """Whether a series is never forgotten: there is one of its kind, whoever passes by."""
    name, attributes = key
    return not attributes or attributes == OVERFLOW or name == OVERFLOWED


def _is_gauge(key: Key) -> bool:
    return INSTRUMENTS[key[0]].kind is Kind.GAUGE


def _point(histogram: Histogram) -> Point:
    exemplars = tuple([e and Exemplar(*e) for e in histogram.exemplars])
    return Point(tuple(histogram.counts), histogram.sum, exemplars if any(exemplars) else ())


def _cut(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), SLICE):
        yield items[start : start + SLICE]
