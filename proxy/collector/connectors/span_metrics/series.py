"""The series of span metrics: which span counts where, and how many series there may be.

Pure: spans and times in, requests out. A resource is a group of series; groups and series are
bounded, since their number follows from what senders say.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from proxy.collector.connectors.aggregate.histogram import Explicit, Exponential, Histogram
from proxy.collector.connectors.aggregate.request import Request, pairs_of
from proxy.collector.connectors.aggregate.weight import Weights
from proxy.collector.connectors.span_metrics.settings import BUCKETS, DEFAULT_DIMENSIONS, Settings
from proxy.collector.tail.value import plain
from proxy.formats.spans import duration_ns

SCOPE = "spanmetricsconnector"
AT_ONCE = 2000  # series in one request: well below gRPC's customary 4 MiB

KINDS = tuple(
    f"SPAN_KIND_{kind}"
    for kind in ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
)
STATUSES = tuple(f"STATUS_CODE_{status}" for status in ("UNSET", "OK", "ERROR"))
_OVERFLOW = ("otel.metric.overflow", True)  # metrics/sdk.md, "Overflow attribute"

Key = tuple[Any, ...]
Exemplar = tuple[bytes, bytes, float, int]  # trace id, span id, value, Unix ns


class Series:
    """One set of dimensions."""

    __slots__ = ("calls", "durations", "exemplars", "pairs", "seen", "start")

    def __init__(self, pairs: list[KeyValue], durations: Histogram | None, start: int) -> None:
        self.pairs = pairs
        self.calls = 0.0
        self.durations = durations
        self.exemplars: deque[Exemplar] | None = None
        self.start = start  # Unix ns
        self.seen = start


class Group:
    """The series of one resource."""

    __slots__ = ("resource", "series", "service", "values")

    def __init__(self, message: Any, values: dict[str, Any]) -> None:
        self.resource: bytes = message.SerializeToString()
        self.values = values  # attributes
        self.service = str(values.get("service.name", ""))
        self.series: dict[Key, Series] = {}


class Table:
    """All series; `overflowed` spans and `evicted` groups are there for counters."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups: OrderedDict[Any, Group] = OrderedDict()
        self._size = 0
        self._weights = Weights()
        self._places = {d.name: place for place, d in enumerate(settings.dimensions)}
        self._blank = [d.default for d in settings.dimensions]
        self._excluded = frozenset(settings.exclude_dimensions)
        shape = settings.histogram
        # Durations come in ns; bounds are in seconds.
        self._divisor = 1e6 if shape.unit == "ms" else 1e9
        per_second = 1e9 / self._divisor
        explicit = shape.explicit.buckets if shape.explicit else []
        seconds = [float(bound) for bound in explicit] or [ms / 1000 for ms in BUCKETS]
        self._bounds = [round(bound * per_second, 9) for bound in seconds]
        self._exemplars = settings.exemplars.max_per_data_point
        self._prefix = f"{settings.namespace}." if settings.namespace else ""
        self.is_delta = "delta" in settings.aggregation_temporality.lower()
        self.overflowed = 0
        self.evicted = 0
        self.untimed = 0  # spans that were counted, and whose duration is not known

    def __len__(self) -> int:
        """Series."""
        return self._size

    def add(self, request: Any, now: int) -> None:
        """Count the spans of a decoded ExportTraceServiceRequest; `now` in Unix ns."""
        for envelope in request.resource_spans:
            group = self._group(envelope.resource)
            for scope in envelope.scope_spans:
                for span in scope.spans:
                    self._count(group, span, now)

    def requests(self, now: int, temporality: int) -> Iterator[tuple[Request, list[Key]]]:
        """Requests with the (group, series) keys that each holds, for `forget`."""
        request, keys = Request(SCOPE, temporality), list[Key]()
        for place, group in list(self._groups.items()):
            request.resource(group.resource)
            for key, series in list(group.series.items()):
                if request.points >= 2 * AT_ONCE:
                    yield request, keys
                    request, keys = Request(SCOPE, temporality), []
                    request.resource(group.resource)
                self._write(request, series, now)
                keys.append((place, key))
        if request.points:
            yield request, keys

    def forget(self, keys: list[Key]) -> None:
        """Series that were sent as deltas start again from nothing when they come again."""
        for place, key in keys:
            group = self._groups.get(place)
            if group is not None and group.series.pop(key, None) is not None:
                self._size -= 1
                if not group.series:
                    del self._groups[place]

    def sent(self, keys: list[Key]) -> None:
        """An exemplar is sent once."""
        for place, key in keys:
            group = self._groups.get(place)
            series = group.series.get(key) if group is not None else None
            if series is not None and series.exemplars:
                series.exemplars.clear()

    def expire(self, before: int) -> None:
        """Remove series whose last span came before that time."""
        old = [
            (place, key)
            for place, group in self._groups.items()
            for key, series in group.series.items()
            if series.seen < before
        ]
        self.forget(old)

    def _group(self, resource: Any) -> Group:
        values = {pair.key: plain(pair.value) for pair in resource.attributes}
        names = self._settings.resource_metrics_key_attributes or sorted(values)
        place = tuple((name, _token(values.get(name))) for name in names)
        group = self._groups.get(place)
        if group is not None:
            self._groups.move_to_end(place)
            return group
        if len(self._groups) >= self._settings.resource_metrics_cache_size:
            _, gone = self._groups.popitem(last=False)
            self._size -= len(gone.series)
            self.evicted += 1
        group = self._groups[place] = Group(resource, values)
        return group

    def _count(self, group: Group, span: Any, now: int) -> None:
        extra = self._extra(group, span) if self._blank else ()
        kind, status = span.kind, span.status.code
        key = (span.name, kind, status, *map(_token, extra))
        series = group.series.get(key)
        if series is None:
            series = self._open(group, key, extra, now)
        weight = self._weights.of(span.trace_state) if self._settings.adjusted_counts else 1.0
        series.calls += weight
        series.seen = now
        if series.durations is None:
            return
        took = duration_ns(span)
        if took is None:
            self.untimed += 1
            return
        value = took / self._divisor
        series.durations.add(value, weight)
        if series.exemplars is not None and span.trace_id:
            series.exemplars.append((span.trace_id, span.span_id, value, span.end_time_unix_nano))

    def _extra(self, group: Group, span: Any) -> list[Any]:
        values: list[Any] = [None] * len(self._blank)
        places = self._places
        for pair in span.attributes:
            place = places.get(pair.key)
            if place is not None:
                values[place] = plain(pair.value)
        for name, place in places.items():
            if values[place] is None:
                found = group.values.get(name)
                values[place] = self._blank[place] if found is None else found
        return values

    def _open(self, group: Group, key: Key, extra: Any, now: int) -> Series:
        """A new series, or the one that all that do not fit share."""
        if self._size >= self._settings.aggregation_cardinality_limit:
            self.overflowed += 1
            key = ()
            if key in group.series:
                return group.series[key]
            pairs = pairs_of([("service.name", group.service), _OVERFLOW])
        else:
            pairs = self._pairs(group, key, extra)
        made = Series(pairs, self._histogram(), now)
        if self._settings.exemplars.enabled:
            made.exemplars = deque(maxlen=self._exemplars)
        group.series[key] = made
        self._size += 1
        return made

    def _pairs(self, group: Group, key: Key, extra: Any) -> list[KeyValue]:
        name, kind, status = key[:3]
        usual = (group.service, name, _named(KINDS, kind), _named(STATUSES, status))
        values = list(zip(DEFAULT_DIMENSIONS, usual, strict=True))
        values.extend(zip(self._places, extra, strict=True))
        return pairs_of(
            (name, value)
            for name, value in values
            if value is not None and name not in self._excluded
        )

    def _histogram(self) -> Histogram | None:
        shape = self._settings.histogram
        if shape.disable:
            return None
        if shape.exponential is not None:
            return Exponential(shape.exponential.max_size)
        return Explicit(self._bounds)

    def _write(self, request: Request, series: Series, now: int) -> None:
        times = (series.start, now)
        request.count(f"{self._prefix}calls", series.calls, times, series.pairs)
        if series.durations is None:
            return
        unit = self._settings.histogram.unit
        point = request.histogram(
            f"{self._prefix}duration", unit, series.durations, times, series.pairs
        )
        for trace_id, span_id, value, at in series.exemplars or ():
            point.exemplars.add(
                trace_id=trace_id, span_id=span_id, as_double=value, time_unix_nano=at
            )


def _token(value: Any) -> Any:
    """Something to hash by, that tells 1, 1.0 and true apart."""
    return value if isinstance(value, str) else (type(value), value)


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else names[0]
