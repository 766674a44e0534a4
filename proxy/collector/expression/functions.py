"""The functions and operators of expressions: total, they answer nil where others would raise.

Texts are cut at MAX_RESULT characters, so that no expression makes memory grow.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from proxy.collector.editing.actions import converted, digest
from proxy.collector.editing.values import MAX_INT, Value, text

MAX_RESULT = 65536  # characters of a text, before and after
MAX_PARTS = 256  # of a split text

Function = Callable[..., Value]
ANY = 255  # arguments


def numbers(left: Value, right: Value) -> bool:
    """Whether both are numbers, true and false being none."""
    return (
        isinstance(left, int | float)
        and isinstance(right, int | float)
        and not isinstance(left, bool)
        and not isinstance(right, bool)
    )


def equal(left: Value, right: Value) -> bool:
    """Numbers by value, everything else by type and value."""
    if numbers(left, right):
        return left == right
    return type(left) is type(right) and left == right


def contains(left: Value, right: Value) -> bool:
    """left in right: of lists an element, of tables a key, of texts a part."""
    if isinstance(right, list):
        return any(equal(left, item) for item in right)
    if isinstance(left, str) and isinstance(right, str | dict):
        return left in right
    return False


_ORDERS: dict[str, Callable[..., bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SUMS: dict[str, Callable[..., int | float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


def ordered(sign: str) -> Function:
    order = _ORDERS[sign]

    def compare(left: Value, right: Value) -> Value:
        if numbers(left, right) or (isinstance(left, str) and isinstance(right, str)):
            return bool(order(left, right))
        return False

    return compare


def calculated(sign: str) -> Function:
    calculate = _SUMS[sign]

    def result(left: Value, right: Value) -> Value:
        if not numbers(left, right):
            return None
        try:
            return within(calculate(left, right))
        except (ZeroDivisionError, OverflowError):
            return None

    return result


def within(number: int | float) -> Value:
    """A number of 64 bits, else nil."""
    if isinstance(number, int) and not -MAX_INT - 1 <= number <= MAX_INT:
        return None
    return number


def negated(value: Value) -> Value:
    return within(-value) if numbers(value, 0) else None  # type: ignore[operator]


def short(value: str) -> str:
    return value[:MAX_RESULT]


def _on_text(function: Callable[[str], str]) -> Function:
    return lambda value: short(function(short(value))) if isinstance(value, str) else None


def _concat(*values: Value) -> Value:
    return short("".join(short(text(value)) for value in values))


def _replace(value: Value, old: Value, new: Value) -> Value:
    if not isinstance(value, str) or not isinstance(old, str) or not isinstance(new, str):
        return None
    if not old:
        return short(value)
    # What would grow too large is cut before, so that nothing stays unreplaced.
    room = MAX_RESULT if len(new) <= len(old) else MAX_RESULT // len(new)
    return value[:room].replace(old, new)


def _truncate(value: Value, size: Value) -> Value:
    return _substring(value, 0, size)


def _substring(value: Value, start: Value, size: Value) -> Value:
    if not isinstance(value, str) or not isinstance(start, int) or not isinstance(size, int):
        return None
    return value[start : start + min(size, MAX_RESULT)] if start >= 0 and size >= 0 else None


def _split(value: Value, by: Value) -> Value:
    if not isinstance(value, str) or not isinstance(by, str) or not by:
        return None
    return list(short(value).split(by, MAX_PARTS - 1))


def _join(values: Value, by: Value) -> Value:
    if not isinstance(values, list) or not isinstance(by, str):
        return None
    return short(short(by).join(short(text(item)) for item in values[:MAX_PARTS]))


def _hash(value: Value, function: Value = "sha256") -> Value:
    if value is None or function not in ("sha1", "sha256"):
        return None
    return digest(value, str(function))


def _size(value: Value) -> Value:
    return len(value) if isinstance(value, str | bytes | list | dict) else None


def _coalesce(*values: Value) -> Value:
    return next((value for value in values if value is not None), None)


def _starts(value: Value, part: Value) -> Value:
    return isinstance(value, str) and isinstance(part, str) and value.startswith(part)


def _ends(value: Value, part: Value) -> Value:
    return isinstance(value, str) and isinstance(part, str) and value.endswith(part)


def _item(values: Value, index: Value) -> Value:
    if not isinstance(values, list) or not isinstance(index, int):
        return None
    return values[index] if -len(values) <= index < len(values) else None


def _float(value: Value) -> Value:
    found = converted(value, "double")
    return found if isinstance(found, float) and not math.isnan(found) else None


# name -> least and most arguments, what it does
FUNCTIONS: dict[str, tuple[int, int, Function]] = {
    "concat": (1, ANY, _concat),
    "coalesce": (1, ANY, _coalesce),
    "lower": (1, 1, _on_text(str.lower)),
    "upper": (1, 1, _on_text(str.upper)),
    "trim": (1, 1, _on_text(str.strip)),
    "replace": (3, 3, _replace),
    "truncate": (2, 2, _truncate),
    "substring": (3, 3, _substring),
    "split": (2, 2, _split),
    "join": (2, 2, _join),
    "item": (2, 2, _item),
    "hash": (1, 2, _hash),
    "len": (1, 1, _size),
    "int": (1, 1, lambda value: converted(value, "int")),
    "float": (1, 1, _float),
    "bool": (1, 1, lambda value: converted(value, "boolean")),
    "string": (1, 1, lambda value: None if value is None else short(text(value))),
    "starts_with": (2, 2, _starts),
    "ends_with": (2, 2, _ends),
}
