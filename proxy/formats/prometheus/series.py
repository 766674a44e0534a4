"""OTLP metrics as Prometheus sees them: points with a family, clean labels and plain numbers.

What the exposition and remote write have in common. They decide what becomes of a point (written,
accumulated, refused); here it is only translated. Pure.

Source: OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md, "OTLP Metric
points to Prometheus".

What came from Prometheus goes back by the name that it had: its receivers leave names alone and
say the type in the metric's metadata (`prometheus.type`, the specification's key, which the
Collector's receivers write too). Nothing is added to such names, and no scope of ours to their
labels, whatever the settings say about suffixes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.formats.prometheus.identity import OUR_NAME
from proxy.formats.prometheus.names import label_name, metric_name, own_name, unit_words
from proxy.otlp.metric_bytes import TYPE_KEY

Labels = tuple[tuple[str, str], ...]  # sorted by name

_DELTA = 1
_IDENTITY = ("service.name", "service.namespace", "service.instance.id")
_NO_VALUE = 1  # DataPointFlags


@dataclass(frozen=True, slots=True)
class Translation:
    """How names are made and which labels are added."""

    suffixes: bool = True  # unit and _total (UnderscoreEscapingWithSuffixes)
    namespace: str = ""
    constant: Mapping[str, str] | None = None  # labels of every series
    resource_labels: bool = False  # all attributes of the resource (resource_to_telemetry)
    scope_labels: bool = True
    target_info: bool = True


@dataclass(frozen=True, slots=True)
class Family:
    """A metric's name, type and description."""

    name: str
    type: str  # counter, gauge, histogram, summary, exponential
    help: str = ""
    unit: str = ""  # in words; "" if the name does not end in it
    said: str = ""  # the type that Prometheus said, if the name is its own; perhaps "unknown"


@dataclass(frozen=True, slots=True)
class Exemplar:
    labels: Labels
    value: float
    time: int  # Unix ns


@dataclass(frozen=True, slots=True)
class Point:
    """One data point. Times in Unix ns; `raw` is the OTLP point of a histogram or summary."""

    family: Family
    labels: Labels
    time: int
    start: int
    value: float | None  # numbers only
    raw: Any = None
    delta: bool = False
    stale: bool = False  # no recorded value

    def exemplars(self) -> list[Exemplar]:
        """Of histograms and sums."""
        return [_exemplar(e) for e in self.raw.exemplars] if self.raw is not None else []


class Translator:
    """Makes points of requests; remembers nothing but names."""

    __slots__ = ("_constant", "_options")

    def __init__(self, options: Translation) -> None:
        self._options = options
        self._constant = {label_name(key): value for key, value in (options.constant or {}).items()}

    def points(self, request: Any) -> Iterator[tuple[Point | None, int]]:
        """(point, which resource it is of) for each data point; None for one without data.

        After the points of a resource comes its target_info, with a negative number.
        """
        for number, resource in enumerate(request.resource_metrics, 1):
            attributes = resource.resource.attributes
            common, identity = self._common(attributes)
            latest = 0
            for scope in resource.scope_metrics:
                base = {**common, **self._scope(scope)} if self._options.scope_labels else common
                ours = scope.scope.name == OUR_NAME
                for metric in scope.metrics:
                    around = common if ours and metric.metadata else base
                    for point in self._metric(metric, around, identity):
                        if point is not None and point.time > latest:
                            latest = point.time
                        yield point, number
            if latest and identity and (info := self._info(attributes, identity, latest)):
                yield info, -number

    def _common(self, attributes: Iterable[Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Labels that points cannot override come second: job and instance."""
        found = {a.key: text(a.value) for a in attributes}
        identity = {}
        if name := found.get("service.name"):
            space = found.get("service.namespace")
            identity["job"] = f"{space}/{name}" if space else name
        if instance := found.get("service.instance.id"):
            identity["instance"] = instance
        common = dict(self._constant)
        if self._options.resource_labels:
            common.update(clean(found.items()))
        return common, identity

    def _scope(self, scope: Any) -> dict[str, str]:
        pairs = [
            ("otel_scope_name", scope.scope.name),
            ("otel_scope_version", scope.scope.version),
            ("otel_scope_schema_url", scope.schema_url),
        ]
        if scope.scope.attributes:
            pairs += [(f"otel_scope_{a.key}", text(a.value)) for a in scope.scope.attributes]
        return {label_name(key): value for key, value in pairs if value}

    def _info(self, attributes: Iterable[Any], identity: dict[str, str], time: int) -> Point | None:
        pairs = [(a.key, text(a.value)) for a in attributes if a.key not in _IDENTITY]
        if not pairs or not self._options.target_info:
            return None
        labels = {**clean(pairs), **identity}
        family = Family("target_info", "gauge", "Target metadata")
        return Point(family, tuple(sorted(labels.items())), time, 0, 1.0)

    def _metric(
        self, metric: Any, base: Mapping[str, str], identity: Mapping[str, str]
    ) -> Iterator[Point | None]:
        kind = metric.WhichOneof("data")
        if kind is None:
            return
        data = getattr(metric, kind)
        type, delta = _TYPES[kind], False
        if kind not in ("gauge", "summary"):
            delta = data.aggregation_temporality == _DELTA
        if kind == "sum":
            type = "counter" if data.is_monotonic else "gauge"
        family = self._family(metric, type, kind)
        taken = {**identity, **_RESERVED.get(type, {})}
        for point in data.data_points:
            labels = _labels(base, taken, point.attributes)
            stale = bool(point.flags & _NO_VALUE)
            value: float | None = None
            if kind in ("gauge", "sum"):
                value = _number(point)
                if value is None and not stale:
                    yield None
                    continue
            raw = None if value is not None and not point.exemplars else point
            yield Point(
                family,
                labels,
                point.time_unix_nano,
                point.start_time_unix_nano,
                value,
                raw,
                delta,
                stale,
            )

    def _family(self, metric: Any, type: str, kind: str) -> Family:
        options = self._options
        if metric.metadata and (said := _said(metric.metadata)):
            name = own_name(metric.name, options.namespace)
            unit = unit_words(metric.unit, kind)
            base = name.removesuffix("_total") if type == "counter" else name
            ends = bool(unit) and base.endswith(f"_{unit}")
            return Family(name, type, metric.description, unit if ends else "", said)
        named = "sum" if type == "counter" else "gauge" if kind == "gauge" else kind
        if kind == "sum" and type == "gauge":
            named = "updown"
        name = metric_name(metric.name, metric.unit, named, options.suffixes, options.namespace)
        unit = unit_words(metric.unit, named)
        base = name.removesuffix("_total") if type == "counter" else name
        return Family(name, type, metric.description, unit if base.endswith(f"_{unit}") else "")


_TYPES = {
    "gauge": "gauge",
    "sum": "counter",
    "histogram": "histogram",
    "exponential_histogram": "exponential",
    "summary": "summary",
}


# Labels that the format itself gives to samples of a type; "" = not on the series as such.
_RESERVED = {"histogram": {"le": ""}, "summary": {"quantile": ""}}


def _labels(base: Mapping[str, str], taken: Mapping[str, str], attributes: Iterable[Any]) -> Labels:
    """Of a point; its own attribute gives way where a name is taken."""
    labels = dict(base)
    if attributes:
        own = clean([(a.key, text(a.value)) for a in attributes])
        for key in taken.keys() & own.keys():
            own[f"exported_{key}"] = own.pop(key)
        labels.update(own)
    labels.update(taken)
    return tuple(sorted((key, value) for key, value in labels.items() if value))


def clean(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Attributes as labels; values of names that become one are joined with `;`, sorted by key."""
    made: dict[str, str] = {}
    collided: dict[str, list[tuple[str, str]]] = {}
    seen: dict[str, tuple[str, str]] = {}
    for key, value in pairs:
        name = label_name(key)
        if name in made:
            collided.setdefault(name, [seen[name]]).append((key, value))
        else:
            made[name] = value
            seen[name] = (key, value)
    for name, both in collided.items():
        made[name] = ";".join(value for _, value in sorted(both))
    return {key: value for key, value in made.items() if value}  # an empty label is none


def text(value: Any) -> str:
    """An AnyValue as a label's value."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return str(value.string_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind in ("int_value", "double_value"):
        return str(getattr(value, kind))
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind in ("array_value", "kvlist_value"):
        return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)
    return ""


def _plain(value: Any) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
    if kind in ("bool_value", "int_value", "double_value"):
        return getattr(value, kind)
    return text(value)


def _said(metadata: Iterable[Any]) -> str:
    """Prometheus's type of a metric whose name is Prometheus's; "" if it is not."""
    return next((pair.value.string_value for pair in metadata if pair.key == TYPE_KEY), "")


def _number(point: Any) -> float | None:
    kind = point.WhichOneof("value")
    return None if kind is None else getattr(point, kind)


def _exemplar(exemplar: Any) -> Exemplar:
    pairs = [(a.key, text(a.value)) for a in exemplar.filtered_attributes]
    labels = clean(pairs)
    # OpenMetrics allows 128 characters for all of them: the ids matter, the rest if it fits
    ids = {}
    if exemplar.trace_id:
        ids["trace_id"] = exemplar.trace_id.hex()
    if exemplar.span_id:
        ids["span_id"] = exemplar.span_id.hex()
    room = 128 - sum(len(k) + len(v) for k, v in ids.items())
    if sum(len(k) + len(v) for k, v in labels.items()) <= room:
        ids = {**labels, **ids}
    return Exemplar(tuple(sorted(ids.items())), _number(exemplar) or 0.0, exemplar.time_unix_nano)
