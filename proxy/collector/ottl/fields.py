"""The fields of spans, events, log records, metrics, data points, scopes and resources, by path.

A field reads and writes one decoded message; which message a path means is known to `paths`.
Numbers and names are those of the Collector's contexts: a kind is a number, `kind.string` a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.collector.editing.values import clean, put, scalar
from proxy.collector.ottl.values import OttlError, Time, Value, kind, text

Get = Callable[[Any], Value]
Set = Callable[[Any, Value], None]

KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
TYPES = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
_TIME_MAX = (1 << 64) - 1
_UINT_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `enum` is the beginning of the names of its numbers, if it has such."""

    get: Get
    set: Set | None = None
    enum: str = ""


def _plain(name: str, set_: Set | None = None, enum: str = "") -> Field:
    return Field(lambda m: getattr(m, name), set_, enum)


def _text(name: str) -> Field:
    def write(message: Any, value: Value) -> None:
        if not isinstance(value, str):
            raise OttlError(f"{name} is a text, not {kind(value)}")
        setattr(message, name, clean(value))

    return _plain(name, write)


def _number(name: str, most: int, enum: str = "") -> Field:
    def write(message: Any, value: Value) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise OttlError(f"{name} is a number from 0 to {most}, not {text(value)[:40]!r}")
        setattr(message, name, value)

    return _plain(name, write, enum)


def _time(name: str) -> dict[str, Field]:
    """ "time" for "time_unix_nano", both ways of saying it."""

    def write(message: Any, value: Value) -> None:
        if not isinstance(value, Time):
            raise OttlError(f"it is a time, not {kind(value)}")
        setattr(message, name, max(0, min(value.ns, _TIME_MAX)))

    return {
        name: _number(name, _TIME_MAX),
        name.removesuffix("_unix_nano"): Field(lambda m: Time(getattr(m, name)), write),
    }


def _id(name: str, size: int) -> dict[str, Field]:
    """Missing ids are zeros, and as text nothing."""

    def read(message: Any) -> Value:
        return getattr(message, name) or bytes(size)

    def write(message: Any, value: Value) -> None:
        if not isinstance(value, bytes) or len(value) != size:
            function = "TraceID" if size == 16 else "SpanID"
            raise OttlError(f"{name} has {size} bytes: write {function}(…)")
        setattr(message, name, value if any(value) else b"")

    def read_text(message: Any) -> Value:
        found: bytes = getattr(message, name)
        return found.hex() if any(found) else ""

    def write_text(message: Any, value: Value) -> None:
        try:
            write(message, bytes.fromhex(value))
        except (TypeError, ValueError):
            raise OttlError(f"{name}.string has {2 * size} hex digits") from None

    return {name: Field(read, write), f"{name}.string": Field(read_text, write_text)}


def _kind_of(message: Any) -> str:
    number: int = message.kind
    return KINDS[number] if 0 <= number < len(KINDS) else ""


def _write_kind(names: tuple[str, ...]) -> Set:
    def write(message: Any, value: Value) -> None:
        if value not in names:
            raise OttlError(f"a kind is one of {', '.join(names)}")
        message.kind = names.index(value)

    return write


_LONG_KINDS = tuple(f"SPAN_KIND_{name.upper()}" for name in KINDS)


def _write_code(message: Any, value: Value) -> None:
    if isinstance(value, bool) or value not in (0, 1, 2):
        raise OttlError("a status code is STATUS_CODE_UNSET, STATUS_CODE_OK or STATUS_CODE_ERROR")
    message.status.code = value


def _write_message(message: Any, value: Value) -> None:
    if not isinstance(value, str):
        raise OttlError(f"a status message is a text, not {kind(value)}")
    message.status.message = clean(value)


_DROPPED = {"dropped_attributes_count": _number("dropped_attributes_count", _UINT_MAX)}

SPAN: dict[str, Field] = {
    "name": _text("name"),
    "kind": _number("kind", len(KINDS) - 1, "SPAN_KIND_"),
    "kind.string": Field(_kind_of, _write_kind(KINDS)),
    "kind.deprecated_string": Field(
        lambda m: f"SPAN_KIND_{_kind_of(m).upper()}", _write_kind(_LONG_KINDS)
    ),
    "status.code": Field(lambda m: m.status.code, _write_code, "STATUS_CODE_"),
    "status.message": Field(lambda m: m.status.message, _write_message),
    "trace_state": _text("trace_state"),
    **_id("trace_id", 16),
    **_id("span_id", 8),
    **_id("parent_span_id", 8),
    **_time("start_time_unix_nano"),
    **_time("end_time_unix_nano"),
    **_DROPPED,
    "dropped_events_count": _number("dropped_events_count", _UINT_MAX),
    "dropped_links_count": _number("dropped_links_count", _UINT_MAX),
    "flags": _number("flags", _UINT_MAX),
}
SPANEVENT: dict[str, Field] = {"name": _text("name"), **_time("time_unix_nano"), **_DROPPED}


def _write_body(message: Any, value: Value) -> None:
    put(message.body, value)


def _write_body_text(message: Any, value: Value) -> None:
    if not isinstance(value, str):
        raise OttlError(f"body.string is a text, not {kind(value)}")
    message.body.string_value = clean(value)


LOG: dict[str, Field] = {
    **_time("time_unix_nano"),
    **_time("observed_time_unix_nano"),
    "severity_number": _number("severity_number", 24, "SEVERITY_NUMBER_"),
    "severity_text": _text("severity_text"),
    "body": Field(lambda m: scalar(m.body), _write_body),
    "body.string": Field(lambda m: text(scalar(m.body)), _write_body_text),
    "event_name": _text("event_name"),
    "flags": _number("flags", _UINT_MAX),
    **_id("trace_id", 16),
    **_id("span_id", 8),
    **_DROPPED,
}


def _data(metric: Any) -> Any:
    which = metric.WhichOneof("data")
    return getattr(metric, which) if which else None


def _type(metric: Any) -> int:
    which = metric.WhichOneof("data")
    return TYPES.index(which) + 1 if which in TYPES else 0


def _of_data(name: str) -> Get:
    return lambda metric: getattr(_data(metric), name, None)


def _write_data(name: str, fits: Callable[[Value], bool]) -> Set:
    def write(metric: Any, value: Value) -> None:
        data = _data(metric)
        if not fits(value):
            raise OttlError(f"{text(value)[:40]!r} is no {name}")
        if hasattr(data, name):
            setattr(data, name, value)

    return write


METRIC: dict[str, Field] = {
    "name": _text("name"),
    "description": _text("description"),
    "unit": _text("unit"),
    # Not as an enum: the Collector's README itself compares it with a text, which never holds.
    "type": Field(_type),
    "aggregation_temporality": Field(
        _of_data("aggregation_temporality"),
        _write_data("aggregation_temporality", lambda v: type(v) is int and 0 <= v <= 2),
        "AGGREGATION_TEMPORALITY_",
    ),
    "is_monotonic": Field(
        _of_data("is_monotonic"), _write_data("is_monotonic", lambda v: isinstance(v, bool))
    ),
}


def _point(name: str, cls: type) -> Field:
    """`value_int` and `value_double`: 0 where the number is of the other type."""

    def read(point: Any) -> Value:
        return getattr(point, name) if hasattr(point, name) else None

    def write(point: Any, value: Value) -> None:
        if type(value) is not cls or not hasattr(point, name):
            raise OttlError(f"{kind(value)} cannot be the value of this data point")
        setattr(point, name, value)

    return Field(read, write)


def _maybe(name: str) -> Field:
    return Field(lambda m: getattr(m, name, None))


def _several(name: str) -> Field:
    return Field(lambda m: list(getattr(m, name)) if hasattr(m, name) else None)


DATAPOINT: dict[str, Field] = {
    **_time("start_time_unix_nano"),
    **_time("time_unix_nano"),
    "value_int": _point("as_int", int),
    "value_double": _point("as_double", float),
    "flags": _number("flags", _UINT_MAX),
    **{name: _maybe(name) for name in ("count", "sum", "scale", "zero_count")},
    **{name: _several(name) for name in ("bucket_counts", "explicit_bounds")},
}
SCOPE: dict[str, Field] = {"name": _text("name"), "version": _text("version"), **_DROPPED}
RESOURCE: dict[str, Field] = {**_DROPPED}

FIELDS: dict[str, dict[str, Field]] = {
    "resource": RESOURCE,
    "scope": SCOPE,
    "span": SPAN,
    "spanevent": SPANEVENT,
    "metric": METRIC,
    "datapoint": DATAPOINT,
    "log": LOG,
}

ENUMS: dict[str, int] = {
    **{name: number for number, name in enumerate(_LONG_KINDS)},
    **{f"STATUS_CODE_{name}": number for number, name in enumerate(("UNSET", "OK", "ERROR"))},
    **{f"METRIC_DATA_TYPE_{name.upper()}": number for number, name in enumerate(("none", *TYPES))},
    **{
        f"AGGREGATION_TEMPORALITY_{name}": number
        for number, name in enumerate(("UNSPECIFIED", "DELTA", "CUMULATIVE"))
    },
    "SEVERITY_NUMBER_UNSPECIFIED": 0,
    **{
        f"SEVERITY_NUMBER_{name}{step or ''}": first + max(0, step - 1)
        for first, name in zip(
            range(1, 25, 4), ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"), strict=True
        )
        for step in (0, 2, 3, 4)
    },
    "FLAG_NONE": 0,
    "FLAG_NO_RECORDED_VALUE": 1,
}
