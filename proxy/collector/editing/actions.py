"""Actions on attributes: what a list of them does to the KeyValues of one item. Pure.

What one action is for is told in docs/collector/processors.md; what it needs was checked when the
file was read.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proxy.collector.editing.patterns import MAX_SUBJECT, compile_pattern
from proxy.collector.editing.settings import Action
from proxy.collector.editing.values import MAX_INT, Value, assign, find, put, remove, scalar, text

Source = Callable[[Any, Any], Value]  # of attributes and a decoded Resource; None = nothing found
Rule = Callable[[Any, Any], None]

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def compile_rules(
    actions: list[Action], gateway: Mapping[str, str | int], environ: Mapping[str, str]
) -> list[Rule]:
    """One rule for each action, to be called with repeated KeyValues and the item's Resource."""
    return [_BUILDERS[a.action](a, source_of(a, gateway, environ)) for a in actions]


def constant_of(
    action: Action, gateway: Mapping[str, str | int], environ: Mapping[str, str]
) -> Value:
    """The value that the action always sets; None if it depends on the item, or is nothing."""
    if action.value is not None or not (action.from_attribute or action.from_context):
        return action.value if action.value is not None else action.default_value
    scope, _, name = action.from_context.partition(".")
    if scope == "gateway":
        return gateway.get(name, action.default_value)
    if scope == "env":
        return environ.get(name) or action.default_value
    return None


def source_of(
    action: Action, gateway: Mapping[str, str | int], environ: Mapping[str, str]
) -> Source:
    constant = constant_of(action, gateway, environ)
    default: Value = action.default_value
    scope, _, name = action.from_context.partition(".")
    if action.from_attribute:
        key = action.from_attribute
        return lambda attributes, resource: _read(attributes, key, default)
    if scope == "resource":
        return lambda attributes, resource: _read(resource.attributes, name, default)
    return lambda attributes, resource: constant


def digest(value: Value, function: str) -> str:
    """Hex digits of the hash of a value as people write it."""
    content = value if isinstance(value, bytes) else text(value).encode("utf-8", "replace")
    return hashlib.new(function, content, usedforsecurity=False).hexdigest()


def hashed(value: Value, function: str) -> str:
    """The same of an attribute, byte for byte what the OpenTelemetry Collector hashes."""
    if isinstance(value, bool):
        return digest(bytes([value]), function)
    if isinstance(value, int | float):
        return digest(struct.pack("<q" if isinstance(value, int) else "<d", value), function)
    return digest(value, function) if value not in (None, "", b"") else ""


def converted(value: Value, kind: str) -> Value:
    """A value as another type; None where that cannot be."""
    if kind == "string":
        return text(value)
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text(value).lower())
    if isinstance(value, bool):
        return int(value) if kind == "int" else float(value)
    if not isinstance(value, str | int | float) or (isinstance(value, str) and len(value) > 64):
        return None
    try:
        number = _number(value)
    except (ValueError, OverflowError):
        return None
    if kind == "double":
        return float(number) if abs(number) <= MAX_INT or isinstance(number, float) else None
    if isinstance(number, float) and not math.isfinite(number):
        return None
    whole = int(number)
    return whole if -MAX_INT - 1 <= whole <= MAX_INT else None


def _number(value: str | int | float) -> int | float:
    if not isinstance(value, str):
        return value
    try:
        return int(value)
    except ValueError:
        return float(value)


def _read_as(value: Value, kind: str) -> Value:
    """As the OpenTelemetry Collector does it: an integer is written with digits alone."""
    is_text = isinstance(value, str)
    if is_text and kind == "int" and _WHOLE.fullmatch(str(value)) is None:
        return None
    if is_text and kind == "double" and _DECIMAL.fullmatch(str(value)) is None:
        return None
    return converted(value, kind)


def _read(attributes: Any, key: str, default: Value) -> Value:
    found = find(attributes, key)
    return default if found is None else scalar(found)


def _insert(action: Action, source: Source) -> Rule:
    def rule(attributes: Any, resource: Any) -> None:
        if find(attributes, action.key) is None:
            value = source(attributes, resource)
            if value is not None:
                assign(attributes, action.key, value)

    return rule


def _update(action: Action, source: Source) -> Rule:
    def rule(attributes: Any, resource: Any) -> None:
        found = find(attributes, action.key)
        if found is not None:
            value = source(attributes, resource)
            if value is not None:
                put(found, value)

    return rule


def _upsert(action: Action, source: Source) -> Rule:
    def rule(attributes: Any, resource: Any) -> None:
        value = source(attributes, resource)
        if value is not None:
            assign(attributes, action.key, value)

    return rule


def _matching(action: Action) -> Callable[[Any], Iterable[str]]:
    """The keys that a delete or hash with a pattern is about."""
    pattern = compile_pattern(action.pattern)

    def keys(attributes: Any) -> list[str]:
        return [
            key
            for key in dict.fromkeys(pair.key for pair in attributes)
            if key == action.key or pattern.search(key, 0, MAX_SUBJECT)
        ]

    return keys


def _delete(action: Action, source: Source) -> Rule:
    if not action.pattern:
        return lambda attributes, resource: _forget(attributes, action.key)
    keys = _matching(action)

    def rule(attributes: Any, resource: Any) -> None:
        for key in keys(attributes):
            remove(attributes, key)

    return rule


def _forget(attributes: Any, key: str) -> None:
    remove(attributes, key)


def _hash(action: Action, source: Source) -> Rule:
    keys = _matching(action) if action.pattern else lambda attributes: (action.key,)

    def rule(attributes: Any, resource: Any) -> None:
        wanted = frozenset(keys(attributes))
        for pair in attributes:
            if pair.key in wanted:
                put(pair.value, hashed(scalar(pair.value), action.hash_function))

    return rule


def _extract(action: Action, source: Source) -> Rule:
    pattern = compile_pattern(action.pattern)

    def rule(attributes: Any, resource: Any) -> None:
        value = _read(attributes, action.key, None)
        found = pattern.search(value, 0, MAX_SUBJECT) if isinstance(value, str) else None
        if found is not None:
            for key, part in found.groupdict(default="").items():
                assign(attributes, key, part)

    return rule


def _convert(action: Action, source: Source) -> Rule:
    def rule(attributes: Any, resource: Any) -> None:
        found = find(attributes, action.key)
        if found is not None:
            value = _read_as(scalar(found), action.converted_type)
            if value is not None:
                put(found, value)

    return rule


_BUILDERS: dict[str, Callable[[Action, Source], Rule]] = {
    "insert": _insert,
    "update": _update,
    "upsert": _upsert,
    "delete": _delete,
    "hash": _hash,
    "extract": _extract,
    "convert": _convert,
}
