"""Summed series as ExportMetricsServiceRequests: the numbers of `/metrics`, for a push.

Temporality is always cumulative, since the start of the hub: that is what the hub's totals are,
and what Prometheus takes. Which series there are, and their sums, is said in telemetry/metrics.py.

Several small requests are made rather than a large one, so that making one takes a few
milliseconds; a pipeline batches them anyway. Bytes are written without protobuf's messages, and
attributes only once in the life of a series.

Source: opentelemetry/proto/metrics/v1/metrics.proto; raw values are divided by the instrument's
divisor, boundaries too, so that they are in its unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from proxy.otlp import metric_bytes as encode
from proxy.otlp.envelope import Envelope, Value
from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Attributes, Exemplar, Memo, Point, Series

POINTS = 256  # in a request: 2 ms of work, 120 KB of histograms

# An UpDownCounter is a sum too: adding up the gauges of several gateways makes sense.
_KINDS: dict[Kind, encode.Kind] = {
    Kind.COUNTER: "sum",
    Kind.GAUGE: "updown",
    Kind.HISTOGRAM: "histogram",
}
_EXEMPLARS = 8  # field of HistogramDataPoint


def build(
    series: Iterable[Series], resource: Mapping[str, Value], start: int, now: int
) -> tuple[bytes, int]:
    """All of `requests` as one, and the number of its points; b"" and 0 if there are no series."""
    found = list(requests(series, resource, start, now))
    return b"".join(payload for payload, _ in found), sum(points for _, points in found)


def requests(
    series: Iterable[Series], resource: Mapping[str, Value], start: int, now: int
) -> Iterator[tuple[bytes, int]]:
    """(serialised request, number of data points), for at most POINTS points at a time.

    `start` and `now` in Unix ns: when counting began, and when the series were read.
    """
    envelope = Envelope(resource)
    metrics: dict[str, _Metric] = {}
    points = 0
    for instrument, attributes, value, memo in series:
        metric = metrics.get(instrument.name)
        if metric is None:
            metric = metrics[instrument.name] = _Metric(instrument, (start, now))
        metric.add(attributes, value, memo)
        points += 1
        if points == POINTS:
            yield envelope.request([metric.entry() for metric in metrics.values()]), points
            metrics, points = {}, 0
    if points:
        yield envelope.request([metric.entry() for metric in metrics.values()]), points


class _Metric:
    """The points of one instrument in one request."""

    __slots__ = ("_bounds", "_instrument", "_points", "_times")

    def __init__(self, instrument: Instrument, times: tuple[int, int]) -> None:
        self._instrument = instrument
        self._times = times
        self._points: list[bytes] = []
        self._bounds = [bound / instrument.divisor for bound in instrument.boundaries]

    def add(self, attributes: Attributes, value: int | Point, memo: Memo | None) -> None:
        pairs = memo.pairs if memo is not None else b""
        if not pairs:
            is_point = isinstance(value, Point)
            write = encode.histogram_attributes if is_point else encode.number_attributes
            pairs = write(attributes)
            if memo is not None:
                memo.pairs = pairs
        self._points.append(self._point(pairs, value))

    def entry(self) -> bytes:
        """As one of ScopeMetrics.metrics."""
        instrument = self._instrument
        kind = _KINDS[instrument.kind]
        metric = encode.Metric(instrument.name, kind, instrument.description, instrument.unit)
        return encode.metric(metric, self._points)

    def _point(self, pairs: bytes, value: int | Point) -> bytes:
        divisor, (start, now) = self._instrument.divisor, self._times
        if not isinstance(value, Point):
            shown = value if divisor == 1 else value / divisor
            return encode.number(pairs, start, now, shown)
        exemplars = b"".join([_exemplar(e, divisor) for e in value.exemplars if e is not None])
        count, total, buckets = sum(value.counts), value.sum / divisor, (self._bounds, value.counts)
        return encode.histogram(pairs, (start, now), count, total, buckets, exemplars)


def _exemplar(exemplar: Exemplar, divisor: int) -> bytes:
    ids = (("trace_id", exemplar.trace_id.decode()), ("span_id", exemplar.span_id.decode()))
    return encode.exemplar(ids, exemplar.value / divisor, exemplar.time, field=_EXEMPLARS)
