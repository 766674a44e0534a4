"""Remote write: the series of a message, and both versions of it written as bytes.

1.0 is prometheus.WriteRequest, 2.0 is io.prometheus.write.v2.Request, in which every text stands
once in a table. Reading is remote_write_read's; compression and HTTP are known to neither.

Source: prometheus/docs specs/prw/remote_write_spec.md and remote_write_spec_2_0.md; prompb
types.proto and io/prometheus/write/v2/types.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from proxy.otlp.metric_bytes import zigzag
from proxy.telemetry.protobuf import delimited, tag, varint

Labels = tuple[tuple[str, str], ...]

STALE_BITS = 0x7FF0000000000002
STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]

TYPES = (  # MetricMetadata.MetricType and Metadata.MetricType have the same numbers
    "unknown",
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
)
CUSTOM = -53  # schema of histograms with buckets of their own

_DOUBLE = struct.Struct("<Bd")


@dataclass(frozen=True, slots=True)
class Sample:
    """Times in Unix ms; start 0 = not known."""

    value: float
    time: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class Exemplar:
    labels: Labels
    value: float
    time: int  # Unix ms


@dataclass(frozen=True, slots=True)
class Span:
    """`length` buckets in a row, `offset` after the last one before."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """A native histogram; buckets are deltas of counts (integers) or counts (floats)."""

    count: float
    sum: float
    schema: int
    time: int  # Unix ms
    start: int = 0
    zero_threshold: float = 0.0
    zero_count: float = 0.0
    positive: tuple[Sequence[Span], Sequence[float]] = ((), ())  # (spans, counts of buckets)
    negative: tuple[Sequence[Span], Sequence[float]] = ((), ())
    custom: Sequence[float] = ()  # bounds, of schema CUSTOM
    gauge: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    type: str = "unknown"
    help: str = ""
    unit: str = ""


@dataclass(slots=True)
class Series:
    """`labels` sorted, with __name__; samples in order of time."""

    labels: Labels
    samples: list[Sample] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    exemplars: list[Exemplar] = field(default_factory=list)
    metadata: Metadata | None = None


def write_v1(series: Iterable[Series]) -> bytes:
    """A prometheus.WriteRequest."""
    out = []
    for one in series:
        parts = [delimited(1, _label_v1(name, value)) for name, value in one.labels]
        parts += [delimited(2, _sample(sample, False)) for sample in one.samples]
        for exemplar in one.exemplars:
            labels = b"".join(delimited(1, _label_v1(n, v)) for n, v in exemplar.labels)
            parts.append(delimited(3, labels + _value_at(exemplar.value, exemplar.time)))
        parts += [delimited(4, _histogram(h, False)) for h in one.histograms]
        out.append(delimited(1, b"".join(parts)))
    return b"".join(out)


class Symbols:
    """The table of texts of a 2.0 message; the first one is empty."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}

    def ref(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def refs(self, labels: Labels) -> bytes:
        """Packed references to names and values, as field 1."""
        packed = b"".join(varint(self.ref(text)) for pair in labels for text in pair)
        return delimited(1, packed)

    def written(self) -> bytes:
        return b"".join(delimited(4, text.encode()) for text in self._numbers)


def write_v2(series: Iterable[Series]) -> bytes:
    """An io.prometheus.write.v2.Request."""
    symbols = Symbols()
    out = []
    for one in series:
        parts = [symbols.refs(one.labels)]
        parts += [delimited(2, _sample(sample, True)) for sample in one.samples]
        parts += [delimited(3, _histogram(h, True)) for h in one.histograms]
        for exemplar in one.exemplars:
            inner = symbols.refs(exemplar.labels) + _value_at(exemplar.value, exemplar.time)
            parts.append(delimited(4, inner))
        if one.metadata is not None:
            parts.append(delimited(5, _metadata(one.metadata, symbols)))
        starts = [s.start for s in one.samples] + [h.start for h in one.histograms]
        if any(starts):  # where releases of Prometheus before the final specification look for it
            parts.append(tag(6, 0) + varint(max(starts)))
        out.append(delimited(5, b"".join(parts)))
    return symbols.written() + b"".join(out)


def is_stale(value: float) -> bool:
    """Whether it is the NaN that marks the end of a series."""
    return value != value and struct.pack("<d", value) == _STALE_BYTES


_STALE_BYTES = struct.pack("<Q", STALE_BITS)


def _label_v1(name: str, value: str) -> bytes:
    return delimited(1, name.encode()) + delimited(2, value.encode())


def _sample(sample: Sample, with_start: bool) -> bytes:
    value = b"\x09" + _STALE_BYTES if is_stale(sample.value) else _DOUBLE.pack(9, sample.value)
    start = tag(3, 0) + varint(sample.start) if with_start and sample.start else b""
    return value + tag(2, 0) + varint(sample.time) + start


def _value_at(value: float, time: int) -> bytes:
    return _DOUBLE.pack(0x11, value) + tag(3, 0) + varint(time)


def _metadata(metadata: Metadata, symbols: Symbols) -> bytes:
    number = TYPES.index(metadata.type) if metadata.type in TYPES else 0
    help, unit = symbols.ref(metadata.help), symbols.ref(metadata.unit)
    return tag(1, 0) + varint(number) + tag(3, 0) + varint(help) + tag(4, 0) + varint(unit)


def _histogram(histogram: Histogram, with_start: bool) -> bytes:
    """With integer counts, which is all that OTLP has."""
    out = tag(1, 0) + varint(int(histogram.count))
    out += b"\x19" + _STALE_BYTES if is_stale(histogram.sum) else _DOUBLE.pack(0x19, histogram.sum)
    out += tag(4, 0) + varint(zigzag(histogram.schema))
    out += _DOUBLE.pack(0x29, histogram.zero_threshold)
    out += tag(6, 0) + varint(int(histogram.zero_count))
    out += _buckets(histogram.negative, 8) + _buckets(histogram.positive, 11)
    if histogram.gauge:
        out += tag(14, 0) + varint(3)
    out += tag(15, 0) + varint(histogram.time)
    if histogram.custom:
        out += delimited(16, struct.pack(f"<{len(histogram.custom)}d", *histogram.custom))
    if with_start and histogram.start:
        out += tag(17, 0) + varint(histogram.start)
    return out


def _buckets(buckets: tuple[Sequence[Span], Sequence[float]], field: int) -> bytes:
    spans, counts = buckets
    if not counts:
        return b""
    out = b"".join(
        delimited(field, tag(1, 0) + varint(zigzag(s.offset)) + tag(2, 0) + varint(s.length))
        for s in spans
    )
    before, deltas = 0, []
    for count in counts:
        deltas.append(varint(zigzag(int(count) - before)))
        before = int(count)
    return out + delimited(field + 1, b"".join(deltas))
