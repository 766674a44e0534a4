"""What one scraped target says, as OTLP: series become points, absent ones become stale.

It remembers the series of the last scrape by their text, so that a series which is there again
costs a dictionary look-up and no parsing, and so that one which is not can be told to be gone. The
caller fetches, keeps time and decides when a scrape has failed.

Source: OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md, "Prometheus
Metric points to OTLP"; metrics/data-model.md, "handling unknown start time". Start times: what
`_created` says, else when the series was first seen, or last seen before its value fell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from proxy.formats.prometheus.identity import OUR_SCOPE, scope_of, service
from proxy.formats.prometheus.names import ucum
from proxy.formats.prometheus.points import INFO, Point, Role, Slot
from proxy.formats.prometheus.text import (
    Exemplar,
    Families,
    Family,
    Sample,
    parse_series,
)
from proxy.otlp import metric_bytes
from proxy.otlp.metric_bytes import Kind, Metric, Request

Labels = dict[str, str]
Relabel = Callable[[Labels], Labels | None]

_KINDS: dict[str, Kind] = {
    "counter": "sum",
    "histogram": "histogram",
    "summary": "summary",
    "info": "updown",
    "stateset": "updown",
}
_ROLES = {
    "_bucket": Role.BUCKET,
    "_count": Role.COUNT,
    "_sum": Role.SUM,
    "_created": Role.CREATED,
}


_SIZE = 256 * 1024  # bytes of series that are looked at in one go
_PLAIN = re.compile(r"[^\s_]+")  # float() passes over blanks, and reads 1_000


class LimitError(ValueError):
    """More than the settings allow; the scrape has failed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """0 = no limit."""

    samples: int = 0
    labels: int = 0
    name_length: int = 0
    value_length: int = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is scraped: `labels` are on each series and have job and instance among them."""

    labels: Mapping[str, str]
    attributes: tuple[tuple[str, str | int], ...] = ()  # of the resource, besides the service's
    honor_labels: bool = False
    honor_timestamps: bool = True


class ScrapedTarget:
    """One target's series. In order: `begin`; `take` until it says no; `write` likewise, then
    `finish`, or `fail`; `report`. In portions, so that the caller's loop can do other things."""

    def __init__(
        self, identity: Identity, relabel: Relabel | None = None, limits: Limits | None = None
    ) -> None:
        self._identity = identity
        self._relabel = relabel
        self._limits = limits or Limits()
        self.families = Families(self._limits.samples or 100_000)
        self._changes = 0
        self._slots: dict[str, Slot] = {}
        self._points: dict[object, Point] = {}
        self._metrics: dict[Metric, Metric] = {}  # one object for all points of a name
        self._touched: list[Point] = []
        self._info: Labels = {}
        self._round = 0
        self._seen = self._written = 0  # series and points of this scrape
        self._now = 0
        self.scraped = self.kept = self.added = self.duplicates = self.dropped = 0
        self.trouble = ""  # with a sample that was dropped

    def begin(self, now: int) -> None:
        """A new scrape, whose samples have the time `now` (Unix ns) if they name none."""
        self._round += 1
        self._now = now
        self.families.left_out = 0
        self.trouble = ""
        self._touched.clear()
        self._seen = self._written = 0
        self.scraped = self.kept = self.added = self.duplicates = self.dropped = 0

    def take(self, samples: Iterator[Sample], most: int) -> bool:
        """Read up to `most` samples; False when there are no more. Raises TextError, LimitError."""
        got = size = 0
        slots, limit, honor = self._slots, self._limits.samples, self._identity.honor_timestamps
        for series, value, time, exemplar in samples:
            got += 1
            size += len(series)
            if self.families.changes != self._changes:  # types changed: look at all names anew
                slots.clear()
                self._changes = self.families.changes
            slot = slots.get(series)
            if slot is None:
                slot = slots[series] = self._slot(series)
            if slot.round != self._round:
                slot.round = self._round
                self._seen += 1
            if (point := slot.point) is None:
                if slot.fault:
                    self.dropped += 1
                    self.trouble = slot.fault
                continue
            self.kept += 1
            if limit and self.kept > limit:
                raise LimitError(f"more than {limit} samples")
            self._put(slot, point, value, time if honor else None, exemplar)
            if got >= most or size >= _SIZE:
                break
        self.scraped += got
        return got >= most or size >= _SIZE

    def write(self, request: Request, most: int) -> bool:
        """The scrape was good: write up to `most` of its points; False when none is left."""
        resources: dict[object, bytes] = {}
        touched = self._touched
        self._written += min(most, len(touched))
        for _ in range(min(most, len(touched))):
            point = touched.pop()
            if (written := point.written()) is None:
                self.dropped += 1
                continue
            resource = resources.get(point.resource)
            if resource is None:
                resource = resources[point.resource] = self._resource(point.resource)
            request.add(resource, point.scope, point.metric, written)
        return bool(touched)

    def finish(self, request: Request) -> None:
        """All is written: tell what has gone, and forget it."""
        # Mostly nothing has; to look through 100,000 series takes 70 ms.
        if self._written != len(self._points):
            self._bury(request, self._round)
            self._points = {k: p for k, p in self._points.items() if p.round == self._round}
            self._metrics = {p.metric: p.metric for p in self._points.values()}
        if self._seen != len(self._slots):
            self._slots = {k: s for k, s in self._slots.items() if s.round == self._round}

    def fail(self, request: Request) -> None:
        """The scrape was not good, or the target is no more: nothing of it counts."""
        self._touched.clear()
        self._bury(request, -1)

    def report(self, request: Request, up: bool | None, seconds: float = 0.0) -> None:
        """What Prometheus itself says of a scrape; `up` None = there will be no more of them."""
        labels = dict(self._identity.labels)
        resource = self._resource((labels.pop("job", ""), labels.pop("instance", "")))
        attributes = metric_bytes.number_attributes(sorted(labels.items()))
        for name, value in (
            ("up", float(up or 0)),
            ("scrape_duration_seconds", seconds),
            ("scrape_samples_scraped", float(self.scraped)),
            ("scrape_samples_post_metric_relabeling", float(self.kept)),
            ("scrape_series_added", float(self.added)),
        ):
            metric = Metric(name, "gauge", type="gauge")
            known = None if up is None else value
            line = metric_bytes.number(attributes, 0, self._now, known)
            request.add(resource, OUR_SCOPE, metric, line)

    # -- one sample -------------------------------------------------------------------------------

    def _put(
        self, slot: Slot, point: Point, value: float, time: int | None, exemplar: Exemplar | None
    ) -> None:
        if point.round != self._round:
            point.open(self._round, self._now if time is None else time, time is not None)
            self._touched.append(point)
        if not point.put(slot, value):
            self.duplicates += 1
        elif exemplar is not None:
            point.exemplars = [*point.exemplars, exemplar]

    def _slot(self, series: str) -> Slot:
        name, pairs = parse_series(series)
        self._check(name, pairs)
        family, suffix = self.families.find(name)
        labels = self._joined(pairs)
        labels["__name__"] = name
        if name == "target_info":
            self._info = dict(pairs)
            return Slot(None)
        if family.name == "otel_scope_info" or family.type == "gaugehistogram":
            return Slot(None)
        if self._relabel is not None:
            changed = self._relabel(labels)
            if changed is None or not changed.get("__name__"):
                return Slot(None)
            if changed["__name__"] != name:
                family = _renamed(family, changed["__name__"], suffix)
            labels = changed
        return self._mapped(labels, family, suffix)

    def _joined(self, pairs: Iterable[tuple[str, str]]) -> Labels:
        """Labels of a series with those of its target; a clash is decided by honor_labels."""
        own = self._identity.labels
        labels = dict(own)
        for key, value in pairs:
            if key in own and self._identity.honor_labels:
                if value:
                    labels[key] = value
                continue
            while key in own:
                key = f"exported_{key}"
            if value:  # an empty label is none
                labels[key] = value
        return labels

    def _mapped(self, labels: Labels, family: Family, suffix: str = "") -> Slot:
        """Where a series goes, which may be a point that others go to as well."""
        kind = _KINDS.get(family.type, "gauge")
        name = labels.pop("__name__")
        role, bound = Role.VALUE, 0.0
        if kind in ("histogram", "summary"):
            try:
                role, bound = _part(labels, kind, suffix)
            except ValueError as error:
                return Slot(None, fault=f"{name[:100]}: {error}")
            name = family.name
        elif kind == "sum" and suffix == "_created":
            name, role = f"{family.name}_total", Role.CREATED
        job, instance = labels.pop("job", ""), labels.pop("instance", "")
        scope = scope_of(labels)
        encode = (
            metric_bytes.histogram_attributes
            if kind == "histogram"
            else metric_bytes.number_attributes
        )
        attributes = encode(sorted(labels.items()))
        key = (name, attributes, job, instance, scope)
        point = self._points.get(key)
        if point is None or point.kind != kind:
            made = Metric(name, kind, family.help, ucum(family.unit), family.type or "unknown")
            metric = self._metrics.setdefault(made, made)
            point = self._points[key] = Point(metric, (job, instance), scope, attributes)
            self.added += 1
        return Slot(point, role, bound)

    def _check(self, name: str, pairs: list[tuple[str, str]]) -> None:
        limits = self._limits
        if limits.labels and len(pairs) + 1 > limits.labels:
            raise LimitError(f"{name[:100]} has more than {limits.labels} labels")
        for key, value in (("__name__", name), *pairs):
            if limits.name_length and len(key) > limits.name_length:
                raise LimitError(f"a label name is longer than {limits.name_length}")
            if limits.value_length and len(value) > limits.value_length:
                raise LimitError(f"{key[:100]} is longer than {limits.value_length}")

    # -- what surrounds points --------------------------------------------------------------------

    def _resource(self, key: tuple[str, str]) -> bytes:
        job, instance = key
        pairs = service(job, instance)
        pairs += [(k, v) for k, v in self._identity.attributes if v != ""]
        known = {key for key, _ in pairs}
        pairs += [(k, v) for k, v in self._info.items() if v and k not in (*known, *INFO)]
        return metric_bytes.resource(pairs)

    def _bury(self, request: Request, round: int) -> None:
        for point in self._points.values():
            if point.alive and point.round != round:
                point.alive = False
                if not point.timed:  # whose time is not ours cannot be said to have ended now
                    line = point.stale(self._now)
                    request.add(self._resource(point.resource), point.scope, point.metric, line)


def _part(labels: Labels, kind: Kind, suffix: str) -> tuple[Role, float]:
    """What a sample is to its histogram or summary; raises ValueError if it is nothing."""
    if suffix in _ROLES and (suffix != "_bucket" or kind == "histogram"):
        role = _ROLES[suffix]
        return role, _bound(labels, "le") if role is Role.BUCKET else 0.0
    if kind == "summary" and not suffix:
        return Role.QUANTILE, _bound(labels, "quantile")
    raise ValueError(f"a {kind} has no such sample")


def _bound(labels: Labels, label: str) -> float:
    text = labels.pop(label, "")
    if not text:
        raise ValueError(f"it has no {label}")
    try:
        bound = float(text) if _PLAIN.fullmatch(text) else math.nan
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise ValueError(f"{label} is not a number: {text[:50]!r}")
    return bound


def _renamed(family: Family, name: str, suffix: str) -> Family:
    base = name.removesuffix(suffix) if suffix and name.endswith(suffix) else name
    made = Family(base, family.type)
    made.help, made.unit = family.help, family.unit
    return made
