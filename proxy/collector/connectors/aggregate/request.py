"""Requests of metrics, written point by point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from proxy import __version__
from proxy.collector.batch import Batch
from proxy.collector.connectors.aggregate.histogram import Explicit, Histogram

CUMULATIVE = pb.AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = pb.AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


class Request:
    """One Export…ServiceRequest under construction."""

    __slots__ = ("_message", "_metrics", "_scope", "_scope_name", "_temporality", "points")

    def __init__(self, scope: str, temporality: int) -> None:
        self._message = ExportMetricsServiceRequest()
        self._scope: Any = None
        self._scope_name = scope
        self._temporality = temporality
        self._metrics: dict[str, Any] = {}
        self.points = 0

    def resource(self, encoded: bytes) -> None:
        """What follows belongs to this resource (a serialised resource.v1.Resource)."""
        envelope = self._message.resource_metrics.add()
        envelope.resource.MergeFromString(encoded)
        self._scope = envelope.scope_metrics.add()
        self._scope.scope.name, self._scope.scope.version = self._scope_name, __version__
        self._metrics = {}

    def count(self, name: str, value: float, times: tuple[int, int], pairs: list[KeyValue]) -> Any:
        """A monotonic sum; `times` = (start, now) in Unix ns."""
        metric = self._metric(name, "")
        if not metric.HasField("sum"):
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = self._temporality
        point = metric.sum.data_points.add(as_int=round(value))
        return self._finish(point, times, pairs)

    def histogram(
        self,
        name: str,
        unit: str,
        value: Histogram,
        times: tuple[int, int],
        pairs: list[KeyValue],
    ) -> Any:
        metric = self._metric(name, unit)
        data = metric.histogram if isinstance(value, Explicit) else metric.exponential_histogram
        data.aggregation_temporality = self._temporality
        point = data.data_points.add()
        value.write(point)
        return self._finish(point, times, pairs)

    def batch(self) -> Batch:
        return Batch.of("metrics", self._message, self.points)

    def _metric(self, name: str, unit: str) -> Any:
        metric = self._metrics.get(name)
        if metric is None:
            metric = self._metrics[name] = self._scope.metrics.add(name=name, unit=unit)
        return metric

    def _finish(self, point: Any, times: tuple[int, int], pairs: list[KeyValue]) -> Any:
        point.start_time_unix_nano, point.time_unix_nano = times
        point.attributes.extend(pairs)
        self.points += 1
        return point


def pairs_of(values: Iterable[tuple[str, Any]]) -> list[KeyValue]:
    return [_pair(key, value) for key, value in values]


def _pair(key: str, value: Any) -> KeyValue:
    pair = KeyValue(key=key)
    if isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int):
        pair.value.int_value = value
    elif isinstance(value, float):
        pair.value.double_value = value
    else:
        pair.value.string_value = str(value)
    return pair
