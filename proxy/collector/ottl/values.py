"""Values of OTTL beyond those of attributes: times and durations; how values compare and read.

The rules are those of LANGUAGE.md, "Comparison Rules": numbers by value, everything else only with
its own kind.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.collector.editing.values import MAX_INT

MAX_RESULT = 65536  # characters of a text, before and after
MAX_PARTS = 1024  # elements of a list, entries of a map, that a function makes


class OttlError(ValueError):
    """A statement cannot be carried out on this item; `error_mode` says what follows."""


@dataclass(frozen=True, slots=True, order=True)
class Time:
    """A point in time."""

    ns: int  # since 1970


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time."""

    ns: int


Value = Any  # of editing.values.Value, Time, Duration

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(left: Value, right: Value) -> bool:
    if is_number(left) and is_number(right):
        return bool(left == right)
    if type(left) is not type(right):
        return (left is None and right == b"") or (right is None and left == b"")
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(v, right[k]) for k, v in left.items())
    return bool(left == right)


def unequal(left: Value, right: Value) -> bool:
    return not equal(left, right)


def ordered(sign: str) -> Callable[[Value, Value], bool]:
    """Of values that have no order it is false."""
    order = _ORDERS[sign]

    def compare(left: Value, right: Value) -> bool:
        if is_number(left) and is_number(right):
            return order(left, right)
        comparable = isinstance(left, bool | str | bytes | Time | Duration)
        return comparable and type(left) is type(right) and order(left, right)

    return compare


def calculated(sign: str) -> Callable[[Value, Value], Value]:
    def result(left: Value, right: Value) -> Value:
        if isinstance(left, Time | Duration) or isinstance(right, Time | Duration):
            return _of_times(sign, left, right)
        if not is_number(left) or type(left) is not type(right):
            kinds = f"{kind(left)} {sign} {kind(right)}"
            raise OttlError(f"{kinds}: calculated are two integers or two doubles")
        return _number(sign, left, right)

    return result


def _number(sign: str, left: Any, right: Any) -> Value:
    if sign == "/" and not right:
        raise OttlError("division by zero")
    if sign == "/":
        whole = isinstance(left, int)
        return _whole_part(left, right) if whole else left / right
    made = {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign](left, right)
    if isinstance(made, int) and not -MAX_INT - 1 <= made <= MAX_INT:
        raise OttlError("an integer of more than 64 bits")
    return made


def _whole_part(left: int, right: int) -> int:
    """Towards zero, as in Go."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _of_times(sign: str, left: Value, right: Value) -> Value:
    match left, sign, right:
        case Time(), "-", Time():
            return Duration(left.ns - right.ns)
        case (Time(), "+", Duration()) | (Duration(), "+", Time()):
            return Time(left.ns + right.ns)
        case Time(), "-", Duration():
            return Time(left.ns - right.ns)
        case Duration(), "+", Duration():
            return Duration(left.ns + right.ns)
        case Duration(), "-", Duration():
            return Duration(left.ns - right.ns)
    raise OttlError(f"{kind(left)} {sign} {kind(right)} cannot be calculated")


_KINDS = {
    str: "a text", bool: "a boolean", int: "an integer", float: "a double", bytes: "bytes",
    list: "a list", dict: "a map", Time: "a time", Duration: "a duration", type(None): "nil",
}  # fmt: skip


def kind(value: Value) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def short(value: str) -> str:
    return value[:MAX_RESULT]


def text(value: Value) -> str:
    """As the Collector writes a value as text: true, 42, 1.5, hex of bytes, JSON of the rest."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Duration):
        return f"{value.ns}ns"
    if isinstance(value, Time):
        raise OttlError("a time has no text of its own: write FormatTime(…)")
    if isinstance(value, list | dict):
        return short(json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False))
    return str(value)


def double_text(value: float) -> str:
    """As Go's strconv writes it with 'f' and the shortest digits: 2, not 2.0."""
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def _plain(value: Value) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return text(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def storable(value: Value) -> Any:
    """What an attribute can hold; raises OttlError."""
    if isinstance(value, Time):
        raise OttlError("an attribute cannot hold a time: write UnixNano(…) or FormatTime(…)")
    if isinstance(value, Duration):
        raise OttlError("an attribute cannot hold a duration: write Milliseconds(…)")
    return value
