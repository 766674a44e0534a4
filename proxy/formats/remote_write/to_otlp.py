"""Series of remote write as OTLP: every series a metric of its name, unaltered.

A sender spreads the series of one histogram over its requests, so that they cannot be put together
again: `x_bucket`, `x_count` and `x_sum` become sums of these names, which every Prometheus reads
back as the histogram that they were. Native histograms are whole, and become histograms.

Whether a series is a sum or a gauge is said by its metadata (2.0: with it; 1.0: in some requests,
remembered), else by its name. Source: OpenTelemetry specification,
compatibility/prometheus_and_openmetrics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from proxy.formats.prometheus.identity import OUR_SCOPE, service
from proxy.formats.prometheus.names import ucum
from proxy.formats.remote_write.read import Message, is_whole
from proxy.formats.remote_write.write import (
    CUSTOM,
    Histogram,
    Labels,
    Metadata,
    Series,
    Span,
    is_stale,
)
from proxy.otlp import metric_bytes
from proxy.otlp.metric_bytes import Exponential, Metric, Request

REMEMBERED = 10_000  # names with metadata, and targets with a target_info

_SUFFIXES = ("_total", "_bucket", "_count", "_sum", "_created")
_SUMS = {  # type -> endings of what only grows
    "counter": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
    "unknown": ("_total", "_bucket", "_count"),
}
_UNKNOWN = Metadata()
_LATEST = 9_000_000_000_000  # Unix ms, the year 2255: above it nanoseconds do not fit


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(slots=True)
class Taken:
    """What a message came to."""

    request: Request = field(default_factory=Request)
    samples: int = 0
    histograms: int = 0
    exemplars: int = 0
    refused: int = 0  # samples and histograms
    problem: str = ""  # the last one


class Translator:
    """Remembers metadata and targets of one receiver's senders."""

    __slots__ = ("_families", "_targets")

    def __init__(self) -> None:
        self._families: dict[str, Metadata] = {}
        self._targets: dict[tuple[str, str], Labels] = {}

    def take(self, message: Message) -> Taken:
        """Everything that can be taken; the rest is counted in `refused`."""
        taken = Taken()
        for name, metadata in message.families.items():
            _remember(self._families, name, metadata)
        resources: dict[tuple[str, str], bytes] = {}
        for series in message.series:
            if series.labels and ("__name__", "target_info") in series.labels:
                self._target(series)
        for series in message.series:
            if (problem := _problem(series.labels)) != "":
                taken.refused += len(series.samples) + len(series.histograms)
                taken.problem = problem
                continue
            labels = dict(series.labels)
            identity = (labels.pop("job", ""), labels.pop("instance", ""))
            if identity not in resources:
                resources[identity] = self._resource(identity)
            self._add(taken, resources[identity], labels, series)
        return taken

    def _target(self, series: Series) -> None:
        labels = dict(series.labels)
        identity = (labels.pop("job", ""), labels.pop("instance", ""))
        del labels["__name__"]
        said = tuple(labels.items())
        if not (series.samples and is_stale(series.samples[-1].value)):
            _remember(self._targets, identity, said)
        elif self._targets.get(identity) == said:  # not what has come in its place
            del self._targets[identity]

    def _resource(self, identity: tuple[str, str]) -> bytes:
        pairs = service(*identity)
        known = {key for key, _ in pairs}
        more = self._targets.get(identity, ())
        return metric_bytes.resource([*pairs, *(p for p in more if p[0] not in known)])

    def _add(self, taken: Taken, resource: bytes, labels: dict[str, str], series: Series) -> None:
        name = labels.pop("__name__")
        if name == "target_info":
            taken.samples += len(series.samples)
            return
        metadata = self._metadata(name, series.metadata)
        pairs = sorted((key, value) for key, value in labels.items() if value)
        if series.samples:
            grows = name.endswith(_SUMS.get(metadata.type, ()))
            metric = _metric(name, "sum" if grows else "gauge", metadata)
            _numbers(taken, taken.request.points(resource, OUR_SCOPE, metric), pairs, series)
        for histogram in series.histograms:
            _histogram(taken, (resource, name, metadata), pairs, histogram)

    def _metadata(self, name: str, given: Metadata | None) -> Metadata:
        if given is not None and given.type != "unknown":
            return given
        if (found := self._families.get(name)) is not None:
            return found
        for suffix in _SUFFIXES:
            if name.endswith(suffix):
                found = self._families.get(name.removesuffix(suffix))
                if found is not None:
                    return found
        return given or _UNKNOWN


def _remember(known: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    if key not in known and len(known) >= REMEMBERED:
        del known[next(iter(known))]  # the oldest
    known[key] = value


def _problem(labels: Labels) -> str:
    """What is wrong with the labels of a series, "" if nothing is."""
    names = [name for name, _ in labels]
    if len(set(names)) != len(names):
        return f"a label stands twice in {labels!r:.200}"
    if "" in names:
        return f"a label without a name in {labels!r:.200}"
    if not all(is_whole(text) for label in labels for text in label):
        return f"a text that is not UTF-8 in {labels!r:.200}"
    if not dict(labels).get("__name__"):
        return f"no __name__ in {labels!r:.200}"
    return ""


def _metric(name: str, kind: metric_bytes.Kind, metadata: Metadata) -> Metric:
    return Metric(name, kind, metadata.help, ucum(metadata.unit), metadata.type)


def _numbers(
    taken: Taken, points: list[bytes], pairs: list[tuple[str, str]], series: Series
) -> None:
    attributes = metric_bytes.number_attributes(pairs)
    exemplars = b"".join(
        metric_bytes.exemplar(e.labels, e.value, max(0, e.time) * 1_000_000, field=5)
        for e in series.exemplars
    )
    last = series.samples[-1]
    for sample in series.samples:
        if not 0 <= sample.time < _LATEST:
            taken.refused += 1
            taken.problem = f"a sample at {sample.time} ms"
            continue
        start = sample.start if 0 < sample.start <= sample.time else 0
        value = None if is_stale(sample.value) else sample.value
        points.append(
            metric_bytes.number(
                attributes,
                start * 1_000_000,
                sample.time * 1_000_000,
                value,
                exemplars if sample is last else b"",
            )
        )
        taken.request.items += 1
        taken.samples += 1
    taken.exemplars += len(series.exemplars)


def _histogram(
    taken: Taken,
    place: tuple[bytes, str, Metadata],
    pairs: list[tuple[str, str]],
    histogram: Histogram,
) -> None:
    resource, name, metadata = place
    custom = histogram.schema == CUSTOM
    known = custom or -4 <= histogram.schema <= 8
    whole = is_stale(histogram.sum) or 0 <= histogram.count < 1 << 63
    if histogram.gauge or not known or not whole or not 0 <= histogram.time < _LATEST:
        taken.refused += 1
        taken.problem = f"a native histogram of {name:.100} that OTLP does not have"
        return
    start = histogram.start if 0 < histogram.start <= histogram.time else 0
    times = (start * 1_000_000, histogram.time * 1_000_000)
    if custom:
        point = _explicit(metric_bytes.histogram_attributes(pairs), times, histogram)
    else:
        attributes = metric_bytes.exponential_attributes(pairs)
        stale = is_stale(histogram.sum)
        value = None if stale else _exponential(histogram)
        point = metric_bytes.exponential(attributes, times, value)
    metric = _metric(name, "histogram" if custom else "exponential", metadata)
    taken.request.add(resource, OUR_SCOPE, metric, point)
    taken.histograms += 1


def _exponential(histogram: Histogram) -> Exponential:
    positive, negative = _dense(*histogram.positive), _dense(*histogram.negative)
    zero = int(histogram.zero_count)
    # A sender of floats may round otherwise than we: OTLP wants counts that add up
    count = sum(positive[1]) + sum(negative[1]) + zero
    return Exponential(
        count, histogram.sum, histogram.schema, zero, histogram.zero_threshold, positive, negative
    )


def _dense(spans: Sequence[Span], counts: Sequence[float]) -> tuple[int, list[int]]:
    """(offset, counts) of OTLP, whose buckets are one number below Prometheus's."""
    if not spans:
        return 0, []
    out: list[int] = []
    taken = 0
    for number, span in enumerate(spans):
        if number:
            out += [0] * span.offset
        out += [max(0, int(count)) for count in counts[taken : taken + span.length]]
        taken += span.length
    return spans[0].offset - 1, out


def _explicit(attributes: bytes, times: tuple[int, int], histogram: Histogram) -> bytes:
    if is_stale(histogram.sum):
        return metric_bytes.histogram(attributes, times, None, None, ((), ()))
    bounds = list(histogram.custom)
    offset, counts = _dense(*histogram.positive)
    offset += 1  # these buckets are numbered from 0 in both
    counts = [0] * max(0, offset) + counts
    counts = (counts + [0] * (len(bounds) + 1))[: len(bounds) + 1]
    return metric_bytes.histogram(attributes, times, sum(counts), histogram.sum, (bounds, counts))
