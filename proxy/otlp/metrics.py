"""Summed series as an ExportMetricsServiceRequest: the numbers of `/metrics`, for a push.

Temporality is always cumulative, since the start of the hub: that is what the hub's totals are,
and what Prometheus takes. Which series there are, and their sums, is said in telemetry/metrics.py.

Source: opentelemetry/proto/metrics/v1/metrics.proto; raw values are divided by the instrument's
divisor, boundaries too, so that they are in its unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from proxy import __version__
from proxy.otlp.envelope import SCHEMA_URL, SCOPE_NAME, Value
from proxy.otlp.envelope import resource as encode_resource
from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Attributes, Exemplar, Point, Series

_CUMULATIVE = pb.AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def build(
    series: Iterable[Series], resource: Mapping[str, Value], start: int, now: int
) -> tuple[bytes, int]:
    """(serialised request, number of data points); b"" and 0 if there are no series.

    `start` and `now` in Unix ns: when counting began, and when the series were read.
    """
    request = ExportMetricsServiceRequest()
    envelope = request.resource_metrics.add(schema_url=SCHEMA_URL)
    envelope.resource.MergeFromString(encode_resource(resource))
    scope = envelope.scope_metrics.add(schema_url=SCHEMA_URL)
    scope.scope.name, scope.scope.version = SCOPE_NAME, __version__
    metrics: dict[str, pb.Metric] = {}
    points = 0
    for instrument, attributes, value, _ in series:
        metric = metrics.get(instrument.name)
        if metric is None:
            metric = metrics[instrument.name] = _describe(scope.metrics.add(), instrument)
        point = _add(metric, instrument, value)
        point.start_time_unix_nano, point.time_unix_nano = start, now
        point.attributes.extend(_pairs(attributes))
        points += 1
    return (request.SerializeToString(), points) if points else (b"", 0)


def _describe(metric: pb.Metric, instrument: Instrument) -> pb.Metric:
    metric.name = instrument.name
    metric.unit = instrument.unit
    metric.description = instrument.description
    if instrument.kind is Kind.HISTOGRAM:
        metric.histogram.aggregation_temporality = _CUMULATIVE
    else:
        # An UpDownCounter is a sum too: adding up the gauges of several gateways makes sense.
        metric.sum.aggregation_temporality = _CUMULATIVE
        metric.sum.is_monotonic = instrument.kind is Kind.COUNTER
    return metric


def _add(
    metric: pb.Metric, instrument: Instrument, value: int | Point
) -> pb.NumberDataPoint | pb.HistogramDataPoint:
    divisor = instrument.divisor
    if not isinstance(value, Point):
        number = metric.sum.data_points.add()
        if divisor == 1:
            number.as_int = value
        else:
            number.as_double = value / divisor
        return number
    point = metric.histogram.data_points.add()
    point.count = sum(value.counts)
    point.sum = value.sum / divisor
    point.bucket_counts.extend(value.counts)
    point.explicit_bounds.extend([bound / divisor for bound in instrument.boundaries])
    point.exemplars.extend([_exemplar(e, divisor) for e in value.exemplars if e is not None])
    return point


def _exemplar(exemplar: Exemplar, divisor: int) -> pb.Exemplar:
    return pb.Exemplar(
        trace_id=bytes.fromhex(exemplar.trace_id.decode()),
        span_id=bytes.fromhex(exemplar.span_id.decode()),
        as_double=exemplar.value / divisor,
        time_unix_nano=exemplar.time,
    )


def _pairs(attributes: Attributes) -> list[KeyValue]:
    return [_pair(key, value) for key, value in attributes]


def _pair(key: str, value: str | int | bool) -> KeyValue:
    pair = KeyValue(key=key)
    if isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int):
        pair.value.int_value = value
    else:
        pair.value.string_value = value
    return pair
