"""The page as prometheus-client generates it from the same series: the model of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import exposition
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar

from proxy.admin.exposition import labels_of, metric_name
from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Point, Series

_TYPES = {Kind.COUNTER: "counter", Kind.GAUGE: "gauge", Kind.HISTOGRAM: "histogram"}
_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "%": "percent"}


def page(series: Iterable[Series], modern: bool) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(list(families(series))))
    if modern:
        return openmetrics.generate_latest(registry)  # type: ignore[no-any-return, no-untyped-call]
    return exposition.generate_latest(registry)


def families(series: Iterable[Series]) -> Iterator[Metric]:
    """One metric family for each instrument; its series need not follow one another."""
    found: dict[str, Metric] = {}
    for instrument, attributes, value, _ in series:
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


class _Given(Collector):
    """What prometheus-client wants to be asked."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
