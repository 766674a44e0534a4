"""OTLP metrics written as bytes: points of each kind, and the request around them.

For receivers that make many points of few attributes: the attributes of a series are encoded once
and kept by whoever remembers the series. Knows no other format.

Source: opentelemetry/proto/metrics/v1/metrics.proto, field numbers in comments by name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Literal

from proxy.telemetry.protobuf import attributes as encode_attributes
from proxy.telemetry.protobuf import delimited, tag, text, varint

Kind = Literal["gauge", "sum", "updown", "histogram", "exponential", "summary"]

NO_RECORDED_VALUE = 1  # DataPointFlags
_CUMULATIVE = 2
TYPE_KEY = "prometheus.type"  # of metadata, prometheus_and_openmetrics.md
_DATA = {"gauge": 5, "sum": 7, "updown": 7, "histogram": 9, "exponential": 10, "summary": 11}
_TAILS = {  # what follows the points in a metric's data
    "gauge": b"",
    "sum": tag(2, 0) + varint(_CUMULATIVE) + tag(3, 0) + b"\x01",
    "updown": tag(2, 0) + varint(_CUMULATIVE),
    "histogram": tag(2, 0) + varint(_CUMULATIVE),
    "exponential": tag(2, 0) + varint(_CUMULATIVE),
    "summary": b"",
}
_TIMES = struct.Struct("<BQBQ")  # start_time_unix_nano = 2, time_unix_nano = 3
_TIME = struct.Struct("<BQ")
_DOUBLE = struct.Struct("<Bd")
_FIXED = struct.Struct("<BQ")
_SIGNED = struct.Struct("<Bq")


@dataclass(frozen=True, slots=True)
class Metric:
    """What all points of a metric share. `type` is Prometheus's, for metric.metadata."""

    name: str
    kind: Kind
    description: str = ""
    unit: str = ""
    type: str = ""

    def head(self) -> bytes:
        metadata = encode_attributes(12, [(TYPE_KEY, self.type)]) if self.type else b""
        out = delimited(1, text(self.name))
        if self.description:
            out += delimited(2, text(self.description))
        if self.unit:
            out += delimited(3, text(self.unit))
        return out + metadata


class Request:
    """An ExportMetricsServiceRequest that grows by points."""

    __slots__ = ("_resources", "items")

    def __init__(self) -> None:
        # resource -> scope -> metric -> points; the first two serialised
        self._resources: dict[bytes, dict[bytes, dict[Metric, list[bytes]]]] = {}
        self.items = 0

    def points(self, resource: bytes, scope: bytes, metric: Metric) -> list[bytes]:
        """Where the points of a metric go; whoever appends adds to `items`."""
        metrics = self._resources.setdefault(resource, {}).setdefault(scope, {})
        return metrics.setdefault(metric, [])

    def add(self, resource: bytes, scope: bytes, metric: Metric, point: bytes) -> None:
        """`resource` and `scope` are serialised Resource and InstrumentationScope messages."""
        self.points(resource, scope, metric).append(point)
        self.items += 1

    def serialise(self) -> bytes:
        out = []
        for resource, scopes in self._resources.items():
            inner = [
                delimited(2, delimited(1, scope) + b"".join(starmap(metric, metrics.items())))
                for scope, metrics in scopes.items()
            ]
            out.append(delimited(1, delimited(1, resource) + b"".join(inner)))
        return b"".join(out)


def metric(metric: Metric, points: list[bytes]) -> bytes:
    """As an entry of ScopeMetrics.metrics; nothing if there are no points."""
    if not points:
        return b""
    data = b"".join([b"\x0a" + varint(len(p)) + p for p in points]) + _TAILS[metric.kind]
    return delimited(2, metric.head() + delimited(_DATA[metric.kind], data))


def resource(pairs: Iterable[tuple[str, str | int | bool]]) -> bytes:
    """A Resource."""
    return encode_attributes(1, pairs)


def scope(name: str, version: str = "", pairs: Iterable[tuple[str, str]] = ()) -> bytes:
    """An InstrumentationScope."""
    out = delimited(1, text(name)) + (delimited(2, text(version)) if version else b"")
    return out + encode_attributes(3, pairs)


def number_attributes(pairs: Iterable[tuple[str, str | int | bool]]) -> bytes:
    """Attributes of number and summary points."""
    return encode_attributes(7, pairs)


def histogram_attributes(pairs: Iterable[tuple[str, str | int | bool]]) -> bytes:
    return encode_attributes(9, pairs)


def exponential_attributes(pairs: Iterable[tuple[str, str | int | bool]]) -> bytes:
    return encode_attributes(1, pairs)


def number(
    attributes: bytes, start: int, time: int, value: float | None, exemplars: bytes = b""
) -> bytes:
    """A NumberDataPoint; None = no recorded value, as after a stale marker. Times in Unix ns."""
    if value is None:
        return attributes + _times(start, time) + b"\x40\x01"  # flags = 8
    if isinstance(value, int):
        return attributes + _times(start, time) + _SIGNED.pack(0x31, value) + exemplars
    return attributes + _times(start, time) + _DOUBLE.pack(0x21, value) + exemplars


def histogram(
    attributes: bytes,
    times: tuple[int, int],
    count: int | None,
    total: float | None,
    buckets: tuple[Sequence[float], Sequence[int]],
    exemplars: bytes = b"",
) -> bytes:
    """A HistogramDataPoint: `buckets` are (bounds, counts), not cumulative; count None = stale,
    of which the bounds tell what else has ended."""
    bounds, counts = buckets
    if count is None:
        out = attributes + _times(*times) + b"\x50\x01"  # flags = 10
        return out + _buckets(bounds, [0] * (len(bounds) + 1)) if bounds else out
    out = attributes + _times(*times) + _FIXED.pack(0x21, count)
    if total is not None:
        out += _DOUBLE.pack(0x29, total)
    return out + _buckets(bounds, counts) + exemplars


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> bytes:
    packed = delimited(6, struct.pack(f"<{len(counts)}Q", *counts))
    return packed + delimited(7, struct.pack(f"<{len(bounds)}d", *bounds))


@dataclass(frozen=True, slots=True)
class Exponential:
    """The content of an ExponentialHistogramDataPoint; sides are (offset, counts)."""

    count: int
    sum: float
    scale: int
    zero_count: int
    zero_threshold: float
    positive: tuple[int, Sequence[int]]
    negative: tuple[int, Sequence[int]]


def exponential(
    attributes: bytes, times: tuple[int, int], value: Exponential | None, exemplars: bytes = b""
) -> bytes:
    """An ExponentialHistogramDataPoint; None = stale."""
    if value is None:
        return attributes + _times(*times) + b"\x50\x01"
    out = attributes + _times(*times) + _FIXED.pack(0x21, value.count)
    out += _DOUBLE.pack(0x29, value.sum) + tag(6, 0) + varint(zigzag(value.scale))
    out += _FIXED.pack(0x39, value.zero_count) + _DOUBLE.pack(0x71, value.zero_threshold)
    for field, (offset, counts) in ((8, value.positive), (9, value.negative)):
        if counts:
            packed = b"".join(map(varint, counts))
            out += delimited(field, tag(1, 0) + varint(zigzag(offset)) + delimited(2, packed))
    return out + exemplars


def zigzag(number: int) -> int:
    """Protobuf's sint32 and sint64."""
    return number << 1 if number >= 0 else (-number << 1) - 1


def summary(
    attributes: bytes,
    times: tuple[int, int],
    count: int | None,
    total: float,
    quantiles: Iterable[tuple[float, float]],
) -> bytes:
    """A SummaryDataPoint; count None = stale, of which the quantiles tell what else has ended."""
    values = b"".join(
        delimited(6, _DOUBLE.pack(0x09, q) + _DOUBLE.pack(0x11, value)) for q, value in quantiles
    )
    if count is None:
        return attributes + _times(*times) + b"\x40\x01" + values  # flags = 8
    return (
        attributes + _times(*times) + _FIXED.pack(0x21, count) + _DOUBLE.pack(0x29, total) + values
    )


def exemplar(labels: Iterable[tuple[str, str]], value: float, time: int, *, field: int) -> bytes:
    """An Exemplar as an entry of `field`: 5 in numbers, 8 in histograms, 11 in exponential ones.

    Labels trace_id and span_id become ids if they are some, all others attributes.
    """
    rest, ids = [], b""
    for key, label in labels:
        size = {"trace_id": 16, "span_id": 8}.get(key)
        raw = _id(label, size) if size else b""
        if raw:
            ids += delimited(5 if key == "trace_id" else 4, raw)
        else:
            rest.append((key, label))
    times = _TIME.pack(0x11, time) if time else b""
    return delimited(field, encode_attributes(7, rest) + times + _DOUBLE.pack(0x19, value) + ids)


def _id(hexadecimal: str, size: int) -> bytes:
    try:
        raw = bytes.fromhex(hexadecimal) if len(hexadecimal) == 2 * size else b""
    except ValueError:
        return b""
    return raw if any(raw) else b""


def _times(start: int, time: int) -> bytes:
    if start:
        return _TIMES.pack(0x11, start, 0x19, time)
    return _TIME.pack(0x19, time)
