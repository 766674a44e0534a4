"""Editors: what a statement does to an item. Each tells whether it changed anything.

Maps are repeated KeyValues (`paths`); those that are not there are left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.collector.editing.values import assign, clean, find, put, remove, scalar
from proxy.collector.expression.parse import Literal
from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl.arguments import Arguments, Function, function
from proxy.collector.ottl.maps import map_of
from proxy.collector.ottl.paths import Place, View
from proxy.collector.ottl.replacing import REPLACING
from proxy.collector.ottl.texts import string, whole
from proxy.collector.ottl.values import MAX_PARTS, OttlError, Value, equal, kind, storable, text

Change = Callable[[View], bool]


def _set(arguments: Arguments) -> Change:
    place = writable(arguments, "target")
    set_ = place.set
    _check_enum(arguments, place)
    value = arguments.getter("value")
    assert set_ is not None

    def change(view: View) -> bool:
        made = value(view)
        if made is None:
            return False
        set_(view, made)
        return True

    return change


def writable(arguments: Arguments, name: str) -> Place:
    place = arguments.place(arguments.nodes[name])
    if place.set is None:
        raise ExpressionError("this cannot be set", arguments.at(name))
    return place


def _check_enum(arguments: Arguments, place: Place) -> None:
    node = arguments.nodes["value"]
    if place.enum and isinstance(node, Literal) and isinstance(node.value, str):
        raise ExpressionError("this is a number", node.at, f"write {place.enum}…")


def _delete_key(arguments: Arguments) -> Change:
    target, key = map_of(arguments), arguments.getter("key")
    return lambda view: remove(target(view), string(key(view), "key"))


def _keep(content: Any, keeps: Callable[[str], bool]) -> bool:
    gone = [index for index, pair in enumerate(content) if not keeps(pair.key)]
    for index in reversed(gone):
        del content[index]
    return bool(gone)


def _delete_matching_keys(arguments: Arguments) -> Change:
    target, pattern = map_of(arguments), arguments.pattern("pattern")
    return lambda view: _keep(target(view), lambda key: not pattern.found(key))


def _keep_matching_keys(arguments: Arguments) -> Change:
    target, pattern = map_of(arguments), arguments.pattern("pattern")
    return lambda view: _keep(target(view), pattern.found)


def _keep_keys(arguments: Arguments) -> Change:
    target = map_of(arguments)
    keys = frozenset(arguments.texts("keys"))
    return lambda view: _keep(target(view), keys.__contains__)


def _limit(arguments: Arguments) -> Change:
    target = map_of(arguments)
    limit = arguments.literal("limit", int)
    first = frozenset(arguments.texts("priority_keys"))
    if limit < 0 or len(first) > limit:
        raise ExpressionError("more priority keys than the limit", arguments.at("limit"))

    def change(view: View) -> bool:
        content = target(view)
        if len(content) <= limit:
            return False
        room = limit - sum(pair.key in first for pair in content)
        others = [pair.key for pair in content if pair.key not in first]
        kept = first | frozenset(others[: max(0, room)])
        return _keep(content, kept.__contains__)

    return change


def _truncate_all(arguments: Arguments) -> Change:
    target = map_of(arguments)
    limit = arguments.literal("limit", int)
    marker = arguments.literal("truncation_marker", str, "").encode()
    if limit < 0 or len(marker) > limit:
        raise ExpressionError("the limit is too small", arguments.at("limit"))

    def change(view: View) -> bool:
        changed = False
        for pair in target(view):
            if not pair.value.HasField("string_value"):
                continue
            content = pair.value.string_value.encode()
            if len(content) > limit:
                cut = content[: limit - len(marker)].decode("utf-8", "ignore")
                pair.value.string_value = cut + marker.decode()
                changed = True
        return changed

    return change


def _stringify_all(arguments: Arguments) -> Change:
    target = map_of(arguments)

    def change(view: View) -> bool:
        changed = False
        for pair in target(view):
            if not pair.value.HasField("string_value"):
                put(pair.value, text(scalar(pair.value)))
                changed = True
        return changed

    return change


def _merge_maps(arguments: Arguments) -> Change:
    target, source = map_of(arguments), arguments.getter("source")
    strategy = arguments.one_of("strategy", "insert", "update", "upsert")

    def change(view: View) -> bool:
        given = source(view)
        if not isinstance(given, dict):
            raise OttlError(f"source must be a map, not {kind(given)}")
        content = target(view)
        for key, value in list(given.items())[:MAX_PARTS]:
            found = find(content, key)
            if strategy == "upsert" or (found is None) == (strategy == "insert"):
                assign(content, key, storable(value))
        return bool(given)

    return change


def _append(arguments: Arguments) -> Change:
    place = writable(arguments, "target")
    set_ = place.set
    value, values = arguments.optional("value", None), arguments.optional("values", [])
    if not arguments.has("value") and not arguments.has("values"):
        raise ExpressionError("nothing is appended", arguments.call.at, "give a value or values")
    assert set_ is not None

    def change(view: View) -> bool:
        before, more, one = place.get(view), values(view), value(view)
        items = before if isinstance(before, list) else [] if before is None else [before]
        if one is not None:
            more = [*(one if isinstance(one, list) else [one]), *more]
        set_(view, [*items, *map(storable, more)][:MAX_PARTS])
        return True

    return change


def _delete_index(arguments: Arguments) -> Change:
    place = writable(arguments, "target")
    set_ = place.set
    start, end = arguments.getter("start_index"), arguments.optional("end_index", None)
    assert set_ is not None

    def change(view: View) -> bool:
        items, first = place.get(view), whole(start(view), "start_index")
        given = end(view)
        last = first + 1 if given is None else whole(given, "end_index")
        if not isinstance(items, list) or not 0 <= first <= last <= len(items):
            raise OttlError(f"no elements {first} to {last} in {kind(items)}")
        set_(view, items[:first] + items[last:])
        return first < last

    return change


def _flatten(arguments: Arguments) -> Change:
    target = map_of(arguments)
    prefix = arguments.literal("prefix", str, "")
    depth = arguments.literal("depth", int, MAX_PARTS)
    resolve = arguments.literal("resolve_conflicts", bool, False)
    if depth < 0:
        raise ExpressionError("depth is 0 or more", arguments.at("depth"))

    def change(view: View) -> bool:
        content = target(view)
        before = {pair.key: scalar(pair.value) for pair in content}
        after: dict[str, Value] = {}
        for key, value in before.items():
            start = f"{prefix}.{key}" if prefix else key
            _flat(after, start, value, depth, resolve)
        if equal(before, after):
            return False
        del content[:]
        for key, value in after.items():
            put(content.add(key=clean(key)).value, value)
        return True

    return change


def _flat(into: dict[str, Value], key: str, value: Value, depth: int, resolve: bool) -> None:
    if len(into) >= MAX_PARTS:
        return
    if isinstance(value, dict) and depth > 0:
        for name, item in value.items():
            _flat(into, f"{key}.{name}", item, depth - 1, resolve)
    elif isinstance(value, list) and depth > 0:
        for number, item in enumerate(value):
            _flat(into, key if resolve else f"{key}.{number}", item, depth - 1, resolve)
    else:
        into[_free(into, key) if resolve else key] = value


def _free(taken: dict[str, Value], key: str) -> str:
    if key not in taken:
        return key
    number = 0
    while f"{key}.{number}" in taken:
        number += 1
    return f"{key}.{number}"


def _to_gauge(arguments: Arguments) -> Change:
    def change(view: View) -> bool:
        metric = view.metric
        if metric.WhichOneof("data") != "sum":
            return False
        points = list(metric.sum.data_points)
        metric.gauge.data_points.extend(points)
        return True

    return change


def _to_sum(arguments: Arguments) -> Change:
    word = arguments.one_of("aggregation_temporality", "cumulative", "delta")
    monotonic = arguments.literal("is_monotonic", bool)

    def change(view: View) -> bool:
        metric = view.metric
        if metric.WhichOneof("data") != "gauge":
            return False
        points = list(metric.gauge.data_points)
        metric.sum.aggregation_temporality = 2 if word == "cumulative" else 1
        metric.sum.is_monotonic = monotonic
        metric.sum.data_points.extend(points)
        return True

    return change


EDITORS: dict[str, Function] = {
    "set": function("target value", _set),
    "delete_key": function("target key", _delete_key),
    "delete_matching_keys": function("target pattern", _delete_matching_keys),
    "keep_matching_keys": function("target pattern", _keep_matching_keys),
    "keep_keys": function("target keys", _keep_keys),
    "limit": function("target limit priority_keys", _limit),
    "truncate_all": function("target limit [utf8_safe] [truncation_marker]", _truncate_all),
    "stringify_all": function("target", _stringify_all),
    "merge_maps": function("target source strategy", _merge_maps),
    "append": function("target [value] [values]", _append),
    "delete_index": function("target start_index [end_index]", _delete_index),
    "flatten": function("target [prefix] [depth] [resolve_conflicts]", _flatten),
    "convert_sum_to_gauge": function("", _to_gauge, ("metric",)),
    "convert_gauge_to_sum": function("aggregation_temporality is_monotonic", _to_sum, ("metric",)),
    **REPLACING,
}
