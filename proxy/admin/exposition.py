"""Series -> the text that Prometheus reads: text 0.0.4, or OpenMetrics 1.0 with exemplars.

Names follow the OTLP to Prometheus rules (compatibility/prometheus_and_openmetrics.md): invalid
characters become `_`, the unit is appended as a word, counters end in `_total`. Which series
exist, and what they mean, is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from prometheus_client import exposition
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar

from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Attributes, Point, Series

TEXT = exposition.CONTENT_TYPE_PLAIN_0_0_4
OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST

_TYPES = {Kind.COUNTER: "counter", Kind.GAUGE: "gauge", Kind.HISTOGRAM: "histogram"}
_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "%": "percent"}
_INVALID = re.compile(r"[^a-zA-Z0-9_]+")
_RUNS = re.compile(r"_{2,}")


def expose(series: Iterable[Series], accept: str) -> tuple[bytes, str]:
    """(body, content type) in the format that the Accept header prefers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(list(families(series))))
    if wants_openmetrics(accept):
        return openmetrics.generate_latest(registry), OPENMETRICS  # type: ignore[no-untyped-call]
    return exposition.generate_latest(registry), TEXT


def wants_openmetrics(accept: str) -> bool:
    """RFC 9110 §12.5.1; text 0.0.4 where nothing that we have is named.

    Versions: Prometheus asks for 1.0.0 and 0.0.1, whose consumers read 1.0.0; not for ours
    is what names a later major version.
    """
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        values = dict(p.split("=", 1) for p in parameters if "=" in p)
        if kind in best and values.get("version", "0")[:2] in ("0", "0.", "1", "1."):
            best[kind] = max(best[kind], _quality(values.get("q", "1")))
    return best["application/openmetrics-text"] > 0 and (
        best["application/openmetrics-text"] >= best["text/plain"]
    )


def families(series: Iterable[Series]) -> Iterator[Metric]:
    """One metric family for each instrument; its series need not follow one another."""
    found: dict[str, Metric] = {}
    for instrument, attributes, value in series:
        metric = found.get(instrument.name)
        if metric is None:
            metric = found[instrument.name] = _family(instrument)
        labels = labels_of(attributes)
        if isinstance(value, Point):
            _add_histogram(metric, instrument, labels, value)
        else:
            suffix = "_total" if instrument.kind is Kind.COUNTER else ""
            metric.add_sample(metric.name + suffix, labels, _in_unit(value, instrument))
    yield from found.values()


def metric_name(instrument: Instrument) -> str:
    """The family's name, without the `_total` of a counter's samples."""
    name = _clean(instrument.name)
    unit = _UNITS.get(instrument.unit, "")
    return f"{name}_{unit}" if unit and not name.endswith(f"_{unit}") else name


def labels_of(attributes: Attributes) -> dict[str, str]:
    """Attributes as labels; those whose names fall together are joined with `;`, by the rules."""
    labels: dict[str, str] = {}
    for key, value in sorted(attributes):
        name = _clean(key)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        labels[name] = f"{labels[name]};{text}" if name in labels else text
    return labels


def _family(instrument: Instrument) -> Metric:
    unit = _UNITS.get(instrument.unit, "")
    return Metric(metric_name(instrument), instrument.description, _TYPES[instrument.kind], unit)


def _add_histogram(
    metric: Metric, instrument: Instrument, labels: dict[str, str], point: Point
) -> None:
    total = 0
    bounds = [str(float(_in_unit(b, instrument))) for b in instrument.boundaries] + ["+Inf"]
    for number, (bound, count) in enumerate(zip(bounds, point.counts, strict=True)):
        total += count
        metric.add_sample(
            f"{metric.name}_bucket",
            {**labels, "le": bound},
            total,
            exemplar=_exemplar(instrument, point, number),
        )
    metric.add_sample(f"{metric.name}_count", labels, total)
    metric.add_sample(f"{metric.name}_sum", labels, _in_unit(point.sum, instrument))


def _exemplar(instrument: Instrument, point: Point, bucket: int) -> Exemplar | None:
    found = point.exemplars[bucket] if point.exemplars else None
    if found is None:
        return None
    return Exemplar(
        {"trace_id": found.trace_id.decode("ascii"), "span_id": found.span_id.decode("ascii")},
        _in_unit(found.value, instrument),
        found.time / 1e9,
    )


def _in_unit(raw: int, instrument: Instrument) -> float:
    return raw / instrument.divisor if instrument.divisor != 1 else raw


def _clean(name: str) -> str:
    name = _RUNS.sub("_", _INVALID.sub("_", name))
    return f"_{name}" if name[:1].isdigit() else name


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


class _Given(Collector):
    """What prometheus-client wants to be asked."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
