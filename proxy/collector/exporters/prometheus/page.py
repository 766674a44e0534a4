"""Page: the latest value of every series, and the text in which Prometheus reads it.

A series is there once, whatever comes: its key is its name and labels, and what would make the
page ambiguous (two types of one name, a name that another metric's samples have) is refused with a
reason, so that a scrape never fails for what one application sends. Pure: time is an argument.

Source: prometheus/docs exposition_formats.md; OpenMetrics 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.formats.prometheus.series import Exemplar, Family, Labels, Point
from proxy.formats.prometheus.values import (
    Buckets,
    Number,
    Quantiles,
    Value,
    escaped,
    number_text,
    reading,
)

PORTION = 2000  # lines between two chances for others

_DERIVED = {
    "histogram": ("", "_bucket", "_count", "_sum"),
    "summary": ("", "_count", "_sum"),
    "counter": ("",),
    "gauge": ("",),
}


class _Series:
    __slots__ = ("labels", "source", "time", "updated", "value")

    def __init__(self, labels: Labels) -> None:
        self.labels = ",".join(f'{key}="{escaped(value)}"' for key, value in labels)
        self.value: Value | None = None
        self.time = -1
        self.updated = 0
        self.source = 0


class _Group:
    """A family and its series."""

    __slots__ = ("family", "series")

    def __init__(self, family: Family) -> None:
        self.family = family
        self.series: dict[Labels, _Series] = {}


class Page:
    """`expiration` in ns, 0 = never; `limit` in series."""

    def __init__(self, expiration: int, limit: int, *, timestamps: bool = False) -> None:
        self._expiration = expiration
        self._limit = limit
        self._timestamps = timestamps
        self._groups: dict[str, _Group] = {}
        self._owners: dict[str, str] = {}  # name of samples -> family
        self.size = 0
        self.collisions = 0  # points of a series that another resource writes as well

    def put(self, point: Point, now: int, source: int) -> str:
        """Remember a point; the reason if it cannot be. `source` tells resources apart."""
        family = point.family
        if family.type == "exponential":
            return "exponential_histogram"
        group = self._groups.get(family.name)
        if point.stale:
            self._remove(group, point.labels)
            return ""
        if group is None:
            if any(self._owners.get(n, family.name) != family.name for n in _names(family)):
                return "name_conflict"
        elif group.family.type != family.type:
            # A remote writer tells the type of a series later than its samples.
            if not family.said or {group.family.type, family.type} != {"gauge", "counter"}:
                return "type_conflict"
            group.family = family
        value = reading(point)
        if value is None:
            return "malformed"
        series = group.series.get(point.labels) if group is not None else None
        if series is None:
            if self.size >= self._limit:
                return "series_limit"
            series = self._new(group or self._open(family), point.labels)
            series.source = source
        return self._update(series, point, value, now, source)

    def expire(self, now: int) -> None:
        """Forget series without a point for longer than the expiration."""
        if not self._expiration:
            return
        for group in list(self._groups.values()):
            old = [k for k, s in group.series.items() if now - s.updated > self._expiration]
            for labels in old:
                self._remove(group, labels)

    def render(self, openmetrics: bool) -> Iterator[bytes]:
        """The page in pieces, each of about PORTION lines."""
        lines: list[str] = []
        for group in list(self._groups.values()):
            lines += self._head(group.family, openmetrics)
            for series in list(group.series.values()):
                self._lines(lines, group.family, series, openmetrics)
                if len(lines) >= PORTION:
                    yield ("\n".join(lines) + "\n").encode()
                    lines = []
        if openmetrics:
            lines.append("# EOF")
        yield ("\n".join(lines) + "\n").encode() if lines else b""

    # -- remembering ------------------------------------------------------------------------------

    def _open(self, family: Family) -> _Group:
        group = self._groups[family.name] = _Group(family)
        for name in _names(family):
            self._owners[name] = family.name
        return group

    def _new(self, group: _Group, labels: Labels) -> _Series:
        series = group.series[labels] = _Series(labels)
        self.size += 1
        return series

    def _update(self, series: _Series, point: Point, value: Value, now: int, source: int) -> str:
        if point.time < series.time or (point.delta and point.time == series.time):
            return "out_of_order"
        if source != series.source:
            self.collisions += 1
            series.source = source
        if point.delta and series.value is not None:
            value = value.added_to(series.value)
        series.value = value
        series.time = point.time
        series.updated = now
        return ""

    def _remove(self, group: _Group | None, labels: Labels) -> None:
        if group is None or group.series.pop(labels, None) is None:
            return
        self.size -= 1
        if not group.series:
            del self._groups[group.family.name]
            for name in _names(group.family):
                del self._owners[name]

    # -- writing ----------------------------------------------------------------------------------

    def _head(self, family: Family, openmetrics: bool) -> list[str]:
        name, type = family.name, family.type
        if openmetrics and type == "counter":
            if self._has_counter(family):
                name = name.removesuffix("_total")
            else:
                type = "unknown"
        lines = [f"# TYPE {name} {type}"]
        if openmetrics and family.unit and name.endswith(f"_{family.unit}"):
            lines.append(f"# UNIT {name} {family.unit}")
        if family.help:
            shown = family.help.replace("\\", r"\\").replace("\n", r"\n")
            lines.append(f"# HELP {name} " + (shown.replace('"', r"\"") if openmetrics else shown))
        return lines

    def _has_counter(self, family: Family) -> bool:
        """Whether OpenMetrics can call it a counter: x_total, and no other metric is called x."""
        name = family.name
        return name.endswith("_total") and name.removesuffix("_total") not in self._owners

    def _lines(self, lines: list[str], family: Family, series: _Series, openmetrics: bool) -> None:
        value, labels, name = series.value, series.labels, family.name
        end = self._stamp(series.time, openmetrics)
        if isinstance(value, Number):
            braces = f"{{{labels}}}" if labels else ""
            counter = openmetrics and family.type == "counter" and self._has_counter(family)
            shown = _exemplar(value.exemplar) if counter else ""
            lines.append(f"{name}{braces} {number_text(value.value)}{end}{shown}")
            return
        before = f"{labels}," if labels else ""
        braces = f"{{{labels}}}" if labels else ""
        if isinstance(value, Buckets):
            for bound, count, exemplar in value.cumulative():
                shown = _exemplar(exemplar) if openmetrics else ""
                le = bound_text(bound, openmetrics)
                lines.append(f'{name}_bucket{{{before}le="{le}"}} {count}{end}{shown}')
        elif isinstance(value, Quantiles):
            for quantile, at in value.values:
                le = bound_text(quantile, openmetrics)
                lines.append(f'{name}{{{before}quantile="{le}"}} {number_text(at)}{end}')
        else:
            return
        if value.sum is not None:
            lines.append(f"{name}_sum{braces} {number_text(value.sum)}{end}")
        lines.append(f"{name}_count{braces} {value.count}{end}")

    def _stamp(self, time: int, openmetrics: bool) -> str:
        if not self._timestamps or not time:
            return ""
        milliseconds = time // 1_000_000
        return f" {milliseconds / 1000:.3f}" if openmetrics else f" {milliseconds}"


def bound_text(value: float, openmetrics: bool) -> str:
    """`le` and `quantile`: OpenMetrics wants floats, "1.0"; Prometheus's own clients say "1"."""
    made = number_text(value)
    return f"{made}.0" if openmetrics and made.lstrip("-").isdigit() else made


def _names(family: Family) -> set[str]:
    """What samples of the family are called."""
    return {family.name + suffix for suffix in _DERIVED[family.type]}


def _exemplar(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    labels = ",".join(f'{key}="{escaped(value)}"' for key, value in exemplar.labels)
    when = f" {exemplar.time / 1e9:.3f}" if exemplar.time else ""
    return f" # {{{labels}}} {number_text(exemplar.value)}{when}"
