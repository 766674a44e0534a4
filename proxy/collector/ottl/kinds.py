"""Converters that ask for a value's type or make another type of it."""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Any

from proxy.collector.editing.values import MAX_INT
from proxy.collector.ottl.arguments import Function, plain
from proxy.collector.ottl.texts import string
from proxy.collector.ottl.values import OttlError, Value, is_number, kind, short, text

_INT = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?|inf(inity)?|nan)", re.I
)
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def whole_of(value: str) -> int | None:
    """As Go's ParseInt reads decimal digits."""
    if _INT.fullmatch(value) is None:
        return None
    number = int(value)
    return number if -MAX_INT - 1 <= number <= MAX_INT else None


def double_of(value: str) -> float | None:
    """As Go's ParseFloat reads decimal numbers."""
    return float(value) if len(value) <= 400 and _FLOAT.fullmatch(value) else None


def _int(value: Value) -> Value:
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        fits = math.isfinite(value) and abs(value) <= MAX_INT
        return int(value) if fits else None
    return whole_of(value) if isinstance(value, str) else None


def _double(value: Value) -> Value:
    if isinstance(value, bool | int | float):
        return float(value)
    return double_of(value) if isinstance(value, str) else None


def _bool(value: Value) -> Value:
    if isinstance(value, str):
        return value in _TRUE if value in _TRUE or value in _FALSE else None
    return bool(value) if isinstance(value, bool | int | float) else None


def _string(value: Value) -> Value:
    return None if value is None else short(text(value))


def _parse_int(target: Value, base: Value) -> Value:
    digits = string(target, "target")
    if base not in (0, *range(2, 37)) or isinstance(base, bool):
        raise OttlError("base is 0 or 2 to 36")
    try:
        number = int(digits, base) if len(digits) <= 70 else MAX_INT + 1
    except ValueError:
        raise OttlError(f"{digits[:40]!r} is no integer of base {base}") from None
    if not -MAX_INT - 1 <= number <= MAX_INT:
        raise OttlError("an integer of more than 64 bits")
    return number


def _is_empty(value: Value) -> Value:
    if isinstance(value, bytes):
        return not any(value)
    return not value


def _log(value: Value) -> Value:
    number = _double(value)
    if not isinstance(number, float) or not number > 0:
        raise OttlError(f"{text(value)[:40]!r} has no logarithm")
    return math.log(number)


def _is_in_cidr(target: Value, networks: Value) -> Value:
    try:
        address = ipaddress.ip_address(string(target, "target"))
        return any(address in ipaddress.ip_network(network, False) for network in networks)
    except (TypeError, ValueError) as error:
        raise OttlError(str(error)) from None


def _luhn(value: Value) -> Value:
    digits = value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 64:
        raise OttlError(f"digits are wanted, not {kind(value)}")
    doubled = [int(d) * (2 if place % 2 else 1) for place, d in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _id(size: int, name: str) -> Function:
    def made(value: Value) -> Value:
        try:
            content = value if isinstance(value, bytes) else bytes.fromhex(string(value))
        except ValueError:
            content = b""
        if len(content) != size:
            raise OttlError(f"{name} wants {size} bytes or {2 * size} hex digits")
        return content

    return plain("id", made)


def _is(*classes: type) -> Function:
    return plain("value", lambda value: type(value) in classes)


KINDS: dict[str, Function] = {
    "IsString": _is(str),
    "IsInt": _is(int),
    "IsDouble": _is(float),
    "IsBool": _is(bool),
    "IsMap": _is(dict),
    "IsList": _is(list),
    "IsEmpty": plain("value", _is_empty),
    "IsInCIDR": plain("target networks", _is_in_cidr),
    "IsValidLuhn": plain("value", _luhn),
    "Int": plain("value", _int),
    "Double": plain("value", _double),
    "Bool": plain("value", _bool),
    "String": plain("value", _string),
    "ParseInt": plain("target base", _parse_int),
    "Log": plain("value", _log),
    "TraceID": _id(16, "TraceID"),
    "SpanID": _id(8, "SpanID"),
}


def number(value: Value) -> Any:
    if not is_number(value):
        raise OttlError(f"it must be a number, not {kind(value)}")
    return value
