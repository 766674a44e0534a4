"""Values of attributes: between OTLP's AnyValue and plain Python, both ways.

What does not fit (an integer beyond 64 bits, text that is no UTF-8) is made to fit or left out;
nothing here raises for a value. Messages are touched by their attributes only, so that this
module imports none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Value = None | bool | int | float | str | bytes | list[Any] | dict[str, Any]

MAX_DEPTH = 16  # of lists within lists; deeper ones are cut off, where recursion would fail
MAX_INT = (1 << 63) - 1


def find(attributes: Any, key: str) -> Any:
    """The AnyValue of that key in repeated KeyValues, None if there is none."""
    for pair in attributes:
        if pair.key == key:
            return pair.value
    return None


def scalar(value: Any, depth: int = 0) -> Value:
    """An AnyValue as a plain value; an empty one is None."""
    kind = value.WhichOneof("value")
    if kind is None or depth > MAX_DEPTH:
        return None
    if kind == "array_value":
        return [scalar(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: scalar(pair.value, depth + 1) for pair in value.kvlist_value.values}
    plain: Value = getattr(value, kind)
    return plain


def number_in(value: Any) -> float | None:
    """The number in an AnyValue, also where it was written as text; None if there is none."""
    found = None if value is None else scalar(value)
    if isinstance(found, str):
        try:
            found = float(found)
        except ValueError:
            return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if math.isfinite(found) else None


def put(value: Any, plain: Value, depth: int = 0) -> None:
    """Make an AnyValue say `plain`; what cannot be said is left empty."""
    if isinstance(plain, bool):
        value.bool_value = plain
    elif isinstance(plain, int):
        if -MAX_INT - 1 <= plain <= MAX_INT:
            value.int_value = plain
        else:
            value.double_value = float(plain) if abs(plain) < 1 << 1000 else math.inf
    elif isinstance(plain, float):
        value.double_value = plain
    elif isinstance(plain, str):
        value.string_value = clean(plain)
    elif isinstance(plain, bytes):
        value.bytes_value = plain
    else:
        value.Clear()
        if depth <= MAX_DEPTH:
            _put_many(value, plain, depth + 1)


def _put_many(value: Any, plain: list[Any] | dict[str, Any] | None, depth: int) -> None:
    if isinstance(plain, list):
        value.array_value.SetInParent()
        for item in plain:
            put(value.array_value.values.add(), item, depth)
    elif isinstance(plain, dict):
        value.kvlist_value.SetInParent()
        for key, item in plain.items():
            put(value.kvlist_value.values.add(key=clean(key)).value, item, depth)


def assign(attributes: Any, key: str, plain: Value) -> None:
    """Set an attribute, new or not."""
    found = find(attributes, key)
    put(attributes.add(key=clean(key)).value if found is None else found, plain)


def remove(attributes: Any, key: str) -> bool:
    """Whether it was there; every attribute of that key goes."""
    at = [index for index, pair in enumerate(attributes) if pair.key == key]
    for index in reversed(at):
        del attributes[index]
    return bool(at)


def text(value: Value) -> str:
    """As people write it: true, 42, 1.5, hex digits of bytes, JSON of lists and tables."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return "[" + ",".join(_quoted(item) for item in value) + "]"
    if isinstance(value, Mapping):
        inside = (f"{_quoted(key)}:{_quoted(item)}" for key, item in value.items())
        return "{" + ",".join(inside) + "}"
    return str(value)


def clean(given: str) -> str:
    """Without lone surrogates, which protobuf refuses."""
    return given if given.isascii() else given.encode("utf-8", "replace").decode()


def _quoted(value: Value) -> str:
    if isinstance(value, str | bytes):
        escaped = text(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return "null" if value is None else text(value)
