"""OTLP metrics as series of remote write.

Keeps nothing: what needs a memory, deltas above all, is refused with a reason. Samples of a series
are in order of time, one for each time, the last one said.

Source: OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md; of exponential
histograms: data-model.md, "Exponential Scale": bucket i of OTLP is bucket i + 1 of Prometheus.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.formats.prometheus.series import Exemplar, Labels, Point, Translator
from proxy.formats.prometheus.values import Buckets, Number, Quantiles, number_text, reading
from proxy.formats.remote_write import write as remote_write
from proxy.formats.remote_write.write import STALE, Histogram, Metadata, Sample, Series, Span

MAX_SCALE, MIN_SCALE = 8, -4  # what native histograms have
_ZERO_THRESHOLD = 2.0**-128  # Prometheus's default
_GAP = 2  # empty buckets that cost less than a new span
_MS = 1_000_000


@dataclass(slots=True)
class Translated:
    series: list[Series] = field(default_factory=list)
    samples: int = 0
    histograms: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # reason -> data points


def translate(request: Any, translator: Translator) -> Translated:
    """The series of a decoded ExportMetricsServiceRequest."""
    out = Translated()
    known: dict[Labels, Series] = {}
    for point, number in translator.points(request):
        reason = "malformed" if point is None else _add(known, point)
        if reason and number > 0:
            out.refused[reason] = out.refused.get(reason, 0) + 1
    for series in known.values():
        series.samples = _ordered(series.samples)
        series.histograms.sort(key=lambda histogram: histogram.time)
        out.samples += len(series.samples)
        out.histograms += len(series.histograms)
        out.series.append(series)
    return out


def _add(known: dict[Labels, Series], point: Point) -> str:
    """Why it cannot be, "" if it can."""
    if point.delta:
        return "delta"
    if point.family.type == "exponential":
        return _add_native(known, point)
    if point.stale:
        for name, labels, _ in _stale(point):
            _sample(known, point, name, labels).samples.append(_at(point, STALE))
        return ""
    value = reading(point)
    if value is None:
        return "malformed"
    for name, labels, number, exemplar in _parts(point, value):
        series = _sample(known, point, name, labels)
        series.samples.append(_at(point, number))
        if exemplar is not None:
            series.exemplars.append(_exemplar(exemplar, point))
    return ""


def _parts(
    point: Point, value: Number | Buckets | Quantiles
) -> Iterator[tuple[str, Labels, float, Exemplar | None]]:
    """(name, labels, value, exemplar) of each sample."""
    name, labels = point.family.name, point.labels
    if isinstance(value, Number):
        yield name, labels, value.value, value.exemplar
        return
    if isinstance(value, Buckets):
        for bound, count, exemplar in value.cumulative():
            le = ("le", number_text(bound))
            yield f"{name}_bucket", (*labels, le), count, exemplar
    else:
        for quantile, at in value.values:
            yield name, (*labels, ("quantile", number_text(quantile))), at, None
    if value.sum is not None:
        yield f"{name}_sum", labels, value.sum, None
    yield f"{name}_count", labels, value.count, None


def _stale(point: Point) -> Iterator[tuple[str, Labels, float]]:
    """What ends with a point that has no value: its buckets and quantiles, as far as it tells."""
    name, labels = point.family.name, point.labels
    if point.family.type not in ("histogram", "summary"):
        yield name, labels, STALE
        return
    yield f"{name}_sum", labels, STALE
    yield f"{name}_count", labels, STALE
    if point.family.type == "summary":
        for value in point.raw.quantile_values:
            yield name, (*labels, ("quantile", number_text(value.quantile))), STALE
    elif point.raw.explicit_bounds:
        for bound in (*point.raw.explicit_bounds, math.inf):
            yield f"{name}_bucket", (*labels, ("le", number_text(bound))), STALE


def _sample(known: dict[Labels, Series], point: Point, name: str, labels: Labels) -> Series:
    full = tuple(sorted((*labels, ("__name__", name))))
    series = known.get(full)
    if series is None:
        family = point.family
        type = "histogram" if family.type == "exponential" else family.said or family.type
        series = known[full] = Series(full, metadata=Metadata(type, family.help, family.unit))
    return series


def _at(point: Point, value: float) -> Sample:
    start = point.start // _MS if point.family.type != "gauge" else 0
    return Sample(float(value), point.time // _MS, start)


def _ordered(samples: list[Sample]) -> list[Sample]:
    if len(samples) < 2:
        return samples
    latest = {sample.time: sample for sample in samples}
    return [latest[time] for time in sorted(latest)]


def _exemplar(exemplar: Exemplar, point: Point) -> remote_write.Exemplar:
    when = exemplar.time or point.time
    return remote_write.Exemplar(exemplar.labels, exemplar.value, when // _MS)


# -- native histograms ----------------------------------------------------------------------------


def _add_native(known: dict[Labels, Series], point: Point) -> str:
    raw = point.raw
    if raw.scale < MIN_SCALE:
        return "exponential_scale"
    series = _sample(known, point, point.family.name, point.labels)
    shift = max(0, raw.scale - MAX_SCALE)
    time, start = point.time // _MS, point.start // _MS
    if point.stale:
        series.histograms.append(Histogram(0, STALE, 0, time, start))
        return ""
    series.histograms.append(
        Histogram(
            count=raw.count,
            sum=raw.sum,
            schema=raw.scale - shift,
            time=time,
            start=start,
            zero_threshold=raw.zero_threshold or _ZERO_THRESHOLD,
            zero_count=raw.zero_count,
            positive=_spans(raw.positive.offset, raw.positive.bucket_counts, shift),
            negative=_spans(raw.negative.offset, raw.negative.bucket_counts, shift),
        )
    )
    series.exemplars += [_exemplar(e, point) for e in point.exemplars()]
    return ""


def _spans(offset: int, counts: Sequence[int], shift: int) -> tuple[list[Span], list[float]]:
    """Prometheus's spans; each step of `shift` joins two buckets of a scale into one."""
    merged: dict[int, int] = {}
    for number, count in enumerate(counts):
        if count:
            index = ((offset + number) >> shift) + 1
            merged[index] = merged.get(index, 0) + count
    spans: list[Span] = []
    out: list[float] = []
    end = 0  # where the last span ended
    for index in sorted(merged):
        gap = index - end
        if spans and gap <= _GAP:
            out += [0.0] * gap
            spans[-1] = Span(spans[-1].offset, spans[-1].length + gap + 1)
        else:
            spans.append(Span(gap, 1))
        out.append(float(merged[index]))
        end = index + 1
    return spans, out
