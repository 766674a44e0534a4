"""Metrics of every kind as requests, and requests as something that can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from proxy.collector.batch import Batch

NOW = 1_700_000_000_000_000_000
TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
CUMULATIVE, DELTA = 2, 1


class Metrics:
    """Builds a request for one resource."""

    def __init__(self, time: int = NOW, **resource: str) -> None:
        self.time = time
        self.request = ExportMetricsServiceRequest()
        envelope = self.request.resource_metrics.add()
        for key, value in (resource or {"service.name": "app"}).items():
            pair = envelope.resource.attributes.add(key=key.replace("__", "."))
            pair.value.string_value = value
        self.scope = envelope.scope_metrics.add()

    def counter(self, name: str, value: float, unit: str = "", **attributes: str) -> Metrics:
        return self.sum(name, value, unit, True, CUMULATIVE, **attributes)

    def sum(
        self, name: str, value: float, unit: str, grows: bool, temporality: int, **attributes: str
    ) -> Metrics:
        metric = self.scope.metrics.add(name=name, unit=unit, description=f"about {name}")
        metric.sum.is_monotonic = grows
        metric.sum.aggregation_temporality = temporality  # type: ignore[assignment]
        point = metric.sum.data_points.add(as_double=value)
        point.exemplars.add(as_double=value, time_unix_nano=self.time, trace_id=TRACE)
        self._common(point, attributes)
        return self

    def gauge(self, name: str, value: float | None, unit: str = "", **attributes: str) -> Metrics:
        metric = self.scope.metrics.add(name=name, unit=unit)
        point = metric.gauge.data_points.add()
        if value is None:
            point.flags = 1
        else:
            point.as_double = value
        self._common(point, attributes)
        return self

    def histogram(
        self,
        name: str,
        bounds: Iterable[float],
        counts: Iterable[int],
        total: float,
        temporality: int = CUMULATIVE,
        **attributes: str,
    ) -> Metrics:
        metric = self.scope.metrics.add(name=name, unit="s")
        metric.histogram.aggregation_temporality = temporality  # type: ignore[assignment]
        point = metric.histogram.data_points.add(sum=total)
        point.explicit_bounds.extend(bounds)
        point.bucket_counts.extend(counts)
        point.count = sum(point.bucket_counts)
        point.exemplars.add(as_double=0.3, time_unix_nano=self.time, trace_id=TRACE)
        self._common(point, attributes)
        return self

    def exponential(self, name: str, scale: int, offset: int, counts: Iterable[int]) -> Metrics:
        metric = self.scope.metrics.add(name=name)
        metric.exponential_histogram.aggregation_temporality = CUMULATIVE  # type: ignore[assignment]
        point = metric.exponential_histogram.data_points.add(scale=scale, sum=1.0)
        point.positive.offset = offset
        point.positive.bucket_counts.extend(counts)
        point.count = sum(point.positive.bucket_counts)
        self._common(point, {})
        return self

    def summary(self, name: str, quantiles: dict[float, float], count: int) -> Metrics:
        point = self.scope.metrics.add(name=name).summary.data_points.add(count=count, sum=1.5)
        for quantile, value in quantiles.items():
            point.quantile_values.add(quantile=quantile, value=value)
        self._common(point, {})
        return self

    def batch(self) -> Batch:
        return Batch.of("metrics", self.request)

    def _common(self, point: Any, attributes: dict[str, str]) -> None:
        point.time_unix_nano = self.time
        point.start_time_unix_nano = self.time - 1_000_000_000
        for key, value in attributes.items():
            point.attributes.add(key=key).value.string_value = value


def flat(batches: Iterable[Batch]) -> list[tuple[str, dict[str, str], Any, pb.Metric]]:
    """(name, attributes, data point, metric) of everything in some batches."""
    found = []
    for batch in batches:
        request: Any = batch.message()
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    data = getattr(metric, metric.WhichOneof("data"))
                    for point in data.data_points:
                        attributes = {a.key: a.value.string_value for a in point.attributes}
                        found.append((metric.name, attributes, point, metric))
    return found


def numbers(batches: Iterable[Batch]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """{(name, attributes): value} of number points; None for no recorded value."""
    return {
        (name, tuple(sorted(attributes.items()))): _value(point)
        for name, attributes, point, metric in flat(batches)
        if metric.WhichOneof("data") in ("gauge", "sum")
    }


def _value(point: Any) -> Any:
    kind = point.WhichOneof("value")
    return None if kind is None else getattr(point, kind)
