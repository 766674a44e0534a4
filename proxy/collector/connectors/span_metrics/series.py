"""The series of span metrics: which span counts where, and how many series there may be.

Pure: spans and times in, requests out. A resource is a group of series; groups and series are
bounded, since their number follows from what senders say.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from functools import partial
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.collector.connectors.aggregate.histogram import Explicit, Exponential, Histogram
from proxy.collector.connectors.aggregate.request import Request, pairs_of
from proxy.collector.connectors.aggregate.weight import Weights
from proxy.collector.connectors.span_metrics.settings import BUCKETS, DEFAULT_DIMENSIONS, Settings
from proxy.collector.tail.value import plain
from proxy.formats.spans import LATEST, LONGEST
from proxy.kernel.tally import Digest, Tally
from proxy.otlp.messages import parsed
from proxy.otlp.wire import fields

SCOPE = "spanmetricsconnector"
LONG = 1024  # bytes: longer keys of spans are not remembered, and such spans always decoded
AT_ONCE = 2000  # series in one request: well below gRPC's customary 4 MiB

KINDS = tuple(
    f"SPAN_KIND_{kind}"
    for kind in ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
)
STATUSES = tuple(f"STATUS_CODE_{status}" for status in ("UNSET", "OK", "ERROR"))
_DEEPER, _RESOURCE, _SCOPE = (1, 2), (1, 2), (2, 2)  # resource_spans; of it: resource, scope_spans
_OVERFLOW = ("otel.metric.overflow", True)  # metrics/sdk.md, "Overflow attribute"

Key = tuple[Any, ...]
Exemplar = tuple[bytes, bytes, float, int]  # trace id, span id, value, Unix ns


class Series(Tally):
    """One set of dimensions."""

    __slots__ = ("pairs", "start")

    def __init__(self, pairs: list[KeyValue], durations: Histogram | None, start: int) -> None:
        super().__init__()
        self.pairs = pairs
        self.durations = durations
        self.start = start  # Unix ns
        self.seen = start


class Group:
    """The series of one resource."""

    __slots__ = ("known", "resource", "series", "service", "values")

    def __init__(self, message: Any, values: dict[str, Any]) -> None:
        self.resource: bytes = message.SerializeToString()
        self.values = values  # attributes
        self.service = str(values.get("service.name", ""))
        self.series: dict[Key, Series] = {}
        self.known: dict[bytes, Tally] = {}  # by the keys of proxy/kernel/tally.py


class Table:
    """All series; `overflowed` spans and `evicted` groups are there for counters."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups: OrderedDict[Any, Group] = OrderedDict()
        self._size = 0
        self._weights = Weights()
        self._resources: dict[bytes, Key] = {}  # places in _groups, by serialised resources
        self._known = 0  # keys in all groups, or more
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
        self._digest = Digest(
            [d.name.encode() for d in settings.dimensions],
            self._divisor,
            (LATEST, LONGEST),
            self._weigh if settings.adjusted_counts else None,
        )
        self.is_delta = "delta" in settings.aggregation_temporality.lower()
        self.overflowed = 0
        self.evicted = 0
        self.untimed = 0  # spans that were counted, and whose duration is not known

    def __len__(self) -> int:
        """Series."""
        return self._size

    def add(self, request: bytes, now: int) -> None:
        """Count the spans of a serialised ExportTraceServiceRequest; `now` in Unix ns.

        Spans are not decoded, but for those whose key is new. Raises WireError for what is none.
        """
        for number, wire, _, begin, end in fields(request, 0, len(request)):
            if (number, wire) == _DEEPER:
                self._add_under(request, begin, end, now)

    def _add_under(self, request: bytes, start: int, stop: int, now: int) -> None:
        """The spans of the ResourceSpans in request[start:stop]."""
        parts = list(fields(request, start, stop))
        # What is there more than once is one message, in pieces.
        encoded = b"".join(request[p[3] : p[4]] for p in parts if p[:2] == _RESOURCE)
        group = self._group(encoded)
        opened = partial(self._opened, group, request, now)
        for number, wire, _, begin, end in parts:
            if (number, wire) == _SCOPE:
                count = self._digest.count
                self.untimed += count(request, (begin, end), group.known, now, opened)

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
                group.known.clear()
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

    def _group(self, encoded: bytes) -> Group:
        place = self._resources.get(encoded)
        group = self._groups.get(place) if place is not None else None
        if group is None:
            return self._find_group(encoded)
        self._groups.move_to_end(place)
        return group

    def _find_group(self, encoded: bytes) -> Group:
        """That of the same attributes, or a new one; remembers the bytes."""
        most = self._settings.resource_metrics_cache_size
        resource: Any = parsed(Resource, encoded)
        values = {pair.key: plain(pair.value) for pair in resource.attributes}
        names = self._settings.resource_metrics_key_attributes or sorted(values)
        place = tuple((name, _token(values.get(name))) for name in names)
        if len(self._resources) >= 2 * most:
            self._resources.clear()
        self._resources[encoded] = place
        group = self._groups.get(place)
        if group is not None:
            self._groups.move_to_end(place)
            return group
        if len(self._groups) >= most:
            _, gone = self._groups.popitem(last=False)
            self._size -= len(gone.series)
            self.evicted += 1
        group = self._groups[place] = Group(resource, values)
        return group

    def _opened(self, group: Group, request: bytes, now: int, raw: bytes, *at: int) -> Series:
        """The series of the span at request[slice(*at)], whose key is new."""
        span: Any = parsed(Span, request[slice(*at)])
        extra = self._extra(group, span) if self._blank else ()
        key = (span.name, span.kind, span.status.code, *map(_token, extra))
        series = group.series.get(key)
        if series is None:
            series = self._open(group, key, extra, now)
        if key in group.series and len(raw) <= LONG:  # not what shares the last series
            self._remember(group, raw, series)
        return series

    def _remember(self, group: Group, raw: bytes, series: Series) -> None:
        self._known += 1
        if self._known > 2 * self._settings.aggregation_cardinality_limit:
            for each in self._groups.values():
                each.known.clear()
            self._known = 1
        group.known[raw] = series

    def _weigh(self, state: bytes) -> float:
        return self._weights.of(state.decode("utf-8", "replace"))

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
