"""What an expression can name: fields of spans, log records, data points, metrics, resources.

Reading gives plain values (`values.Value`), nil for what is not there; writing takes any value and
leaves the field alone where it does not fit. Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from proxy.collector.editing.values import Value, assign, clean, find, put, scalar, text
from proxy.formats.spans import duration_ns

Subject = Literal["span", "log", "data_point", "metric", "resource"]

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
CODES = ("unset", "ok", "error")
_TIME_MAX = (1 << 64) - 1


class Item:
    """One item and what is around it, as decoded messages. For `resource`, item is the resource."""

    __slots__ = ("item", "metric", "resource", "scope")

    def __init__(self, item: Any, resource: Any, scope: Any = None, metric: Any = None) -> None:
        self.item = item
        self.resource = resource
        self.scope = scope
        self.metric = metric


Reader = Callable[[Item], Value]
KeyReader = Callable[[Item, str], Value]
Writer = Callable[[Any, Value], None]  # of the item itself


def _field(name: str) -> Reader:
    return lambda item: getattr(item.item, name)


def _identity(name: str) -> Reader:
    return lambda item: getattr(item.item, name).hex()


def _named(name: str, names: tuple[str, ...]) -> Reader:
    def read(item: Item) -> Value:
        number: int = getattr(item.item, name)
        return names[number] if 0 <= number < len(names) else number

    return read


def _status(item: Item) -> Value:
    code: int = item.item.status.code
    return CODES[code] if 0 <= code < len(CODES) else code


def _duration(item: Item) -> Value:
    return duration_ns(item.item)  # None = nobody knows


def _point_value(item: Item) -> Value:
    point = item.item
    if hasattr(point, "as_int"):
        kind = point.WhichOneof("value")
        return None if kind is None else getattr(point, kind)
    return float(point.sum)


def _of_metric(name: str) -> Reader:
    return lambda item: getattr(item.metric, name)


def _metric_type(metric: Any) -> str:
    return metric.WhichOneof("data") or ""


def _all(attributes: Any) -> Value:
    return {pair.key: scalar(pair.value) for pair in attributes}


def _one(attributes: Any, key: str) -> Value:
    found = find(attributes, key)
    return None if found is None else scalar(found)


def _body_part(item: Item, key: str) -> Value:
    body = item.item.body
    return _one(body.kvlist_value.values, key) if body.HasField("kvlist_value") else None


_RESOURCE: dict[str, Reader] = {"resource.attributes": lambda i: _all(i.resource.attributes)}
_AROUND: dict[str, Reader] = {
    **_RESOURCE,
    "scope.name": lambda i: i.scope.name,
    "scope.version": lambda i: i.scope.version,
    "scope.attributes": lambda i: _all(i.scope.attributes),
}
_OWN: dict[str, Reader] = {"attributes": lambda i: _all(i.item.attributes)}
_METRIC = ("name", "description", "unit")

READERS: dict[Subject, dict[str, Reader]] = {
    "span": {
        **_AROUND,
        **_OWN,
        **{name: _field(name) for name in ("name", "trace_state", "flags")},
        **{name: _identity(name) for name in ("trace_id", "span_id", "parent_span_id")},
        **{name: _field(name) for name in ("start_time_unix_nano", "end_time_unix_nano")},
        "kind": _named("kind", KINDS),
        "status.code": _status,
        "status.message": lambda i: i.item.status.message,
        "duration": _duration,
    },
    "log": {
        **_AROUND,
        **_OWN,
        **{name: _field(name) for name in ("severity_number", "severity_text", "event_name")},
        **{name: _field(name) for name in ("time_unix_nano", "observed_time_unix_nano", "flags")},
        **{name: _identity(name) for name in ("trace_id", "span_id")},
        "body": lambda i: scalar(i.item.body),
    },
    "data_point": {
        **_AROUND,
        **_OWN,
        **{name: _field(name) for name in ("start_time_unix_nano", "time_unix_nano")},
        **{f"metric.{name}": _of_metric(name) for name in _METRIC},
        "metric.type": lambda i: _metric_type(i.metric),
        "value": _point_value,
    },
    "metric": {
        **_AROUND,
        **{name: _field(name) for name in _METRIC},
        "type": lambda i: _metric_type(i.item),
    },
    "resource": {**_OWN},
}

_OWN_KEY: dict[str, KeyReader] = {"attributes": lambda i, key: _one(i.item.attributes, key)}
_AROUND_KEY: dict[str, KeyReader] = {
    "resource.attributes": lambda i, key: _one(i.resource.attributes, key),
    "scope.attributes": lambda i, key: _one(i.scope.attributes, key),
}
KEY_READERS: dict[Subject, dict[str, KeyReader]] = {
    "span": {**_OWN_KEY, **_AROUND_KEY},
    "log": {**_OWN_KEY, **_AROUND_KEY, "body": _body_part},
    "data_point": {**_OWN_KEY, **_AROUND_KEY},
    "metric": {**_AROUND_KEY},
    "resource": {**_OWN_KEY},
}


def _write_text(*names: str) -> Writer:
    def write(item: Any, value: Value) -> None:
        for name in names[:-1]:
            item = getattr(item, name)
        setattr(item, names[-1], clean(text(value)))

    return write


def _write_number(name: str, most: int) -> Writer:
    def write(item: Any, value: Value) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
            setattr(item, name, value)

    return write


def _write_named(names: tuple[str, ...], *path: str) -> Writer:
    def write(item: Any, value: Value) -> None:
        if value in names:
            value = names.index(str(value))
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(names):
            return
        for name in path[:-1]:
            item = getattr(item, name)
        setattr(item, path[-1], value)

    return write


def _write_point(point: Any, value: Value) -> None:
    """Of gauges and sums; other points are more than one number."""
    if not hasattr(point, "as_int") or isinstance(value, bool):
        return
    if isinstance(value, int):
        point.as_int = value
    elif isinstance(value, float):
        point.as_double = value


def _times(*names: str) -> dict[str, Writer]:
    return {name: _write_number(name, _TIME_MAX) for name in names}


WRITERS: dict[Subject, dict[str, Writer]] = {
    "span": {
        "name": _write_text("name"),
        "kind": _write_named(KINDS, "kind"),
        "status.code": _write_named(CODES, "status", "code"),
        "status.message": _write_text("status", "message"),
        **_times("start_time_unix_nano", "end_time_unix_nano"),
    },
    "log": {
        "body": lambda item, value: put(item.body, value),
        "severity_number": _write_number("severity_number", 24),
        "severity_text": _write_text("severity_text"),
        "event_name": _write_text("event_name"),
        **_times("time_unix_nano", "observed_time_unix_nano"),
    },
    "data_point": {"value": _write_point},
    "metric": {name: _write_text(name) for name in _METRIC},
    "resource": {},
}
ATTRIBUTED: tuple[Subject, ...] = ("span", "log", "data_point", "resource")


def write_attribute(item: Any, key: str, value: Value) -> None:
    assign(item.attributes, key, value)
