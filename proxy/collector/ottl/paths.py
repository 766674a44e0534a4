"""What a path means: which message of a View, which field of it, and which key inside.

A Place reads, and where that makes sense writes; a map is a repeated KeyValue, wherever it is, so
that what edits maps edits attributes, bodies, what is nested in them, and the cache alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.collector.editing.values import clean, find, put, scalar
from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl.fields import FIELDS, Field
from proxy.collector.ottl.values import OttlError, Value, kind, storable
from proxy.config.report import suggestion

# Context -> the contexts around it that its paths may name, its own first.
CONTEXTS: dict[str, tuple[str, ...]] = {
    "resource": ("resource",),
    "scope": ("scope", "resource"),
    "span": ("span", "scope", "resource"),
    "spanevent": ("spanevent", "span", "scope", "resource"),
    "metric": ("metric", "scope", "resource"),
    "datapoint": ("datapoint", "metric", "scope", "resource"),
    "log": ("log", "scope", "resource"),
}
PREFIXES = {**{name: name for name in CONTEXTS}, "instrumentation_scope": "scope"}


class View:
    """One item and what is around it, as decoded messages."""

    __slots__ = ("_cache", "datapoint", "log", "metric", "resource", "scope", "span", "spanevent")

    def __init__(self, resource: Any, scope: Any = None) -> None:
        self.resource = resource
        self.scope = scope
        self.span: Any = None
        self.spanevent: Any = None
        self.metric: Any = None
        self.datapoint: Any = None
        self.log: Any = None
        self._cache: Any = None

    @property
    def cache(self) -> Any:
        """What statements remember about this item: a map."""
        if self._cache is None:
            from opentelemetry.proto.common.v1.common_pb2 import KeyValueList

            self._cache = KeyValueList()
        return self._cache.values

    def forget(self) -> None:
        self._cache = None


Getter = Callable[[View], Value]
Setter = Callable[[View, Value], None]
Pairs = Callable[[View], Any]  # a repeated KeyValue, None where there is no map
Keys = list[Getter]


@dataclass(frozen=True, slots=True)
class Place:
    """What can be read or written. `enum` as of Field."""

    get: Getter
    set: Setter | None = None
    pairs: Pairs | None = None
    enum: str = ""


def place(context: str, path: str, keys: Keys, at: int) -> Place:
    """Raises ExpressionError for what is not there."""
    owner, rest = owner_of(context, path, at)
    if rest == "cache":
        return _in_map(lambda view: view.cache, keys)
    if rest == "attributes":
        return _in_map(lambda view: getattr(view, owner).attributes, keys)
    field = FIELDS[owner].get(rest)
    if field is None:
        known = ("attributes", "cache", *FIELDS[owner])
        hint = suggestion(rest, known) or f"known: {', '.join(sorted(known))}"
        raise ExpressionError(f"a {owner} has no {rest or path!r} here", at, hint)
    if not keys:
        if rest == "body":
            return _plain(owner, field, lambda view: _map_in(view.log.body))
        return _plain(owner, field, None)
    if rest == "body":
        return _in_value(lambda view: view.log.body, keys)
    if rest == "trace_state":
        return _in_trace_state(owner, keys)
    raise ExpressionError(f"{path!r} has no keys", at, f"write {path}")


def owner_of(context: str, path: str, at: int) -> tuple[str, str]:
    """The context that a path belongs to, and the path within it."""
    first, _, rest = path.partition(".")
    owner = PREFIXES.get(first)
    if owner is None or (path in FIELDS[context]):
        return context, path
    if owner not in CONTEXTS[context]:
        reach = ", ".join(CONTEXTS[context])
        raise ExpressionError(f"{path!r} is out of reach of a {context}", at, f"there is: {reach}")
    return owner, rest


def _plain(owner: str, field: Field, pairs: Pairs | None) -> Place:
    get, set_ = field.get, field.set

    def write(view: View, value: Value) -> None:
        assert set_ is not None
        set_(getattr(view, owner), storable(value) if pairs else value)

    reader: Getter = lambda view: get(getattr(view, owner))  # noqa: E731
    return Place(reader, write if set_ else None, pairs, field.enum)


def _in_map(pairs: Pairs, keys: Keys) -> Place:
    if not keys:
        return Place(lambda view: _plain_map(pairs(view)), _replace(pairs), pairs)
    first, rest = keys[0], keys[1:]

    def value(view: View, make: bool) -> Any:
        key = _key_of(first(view))
        content = pairs(view)
        found = find(content, key)
        if found is None and make:
            found = content.add(key=clean(key)).value
        return found

    return _keyed(value, rest)


def _in_value(of: Callable[[View], Any], keys: Keys) -> Place:
    return _keyed(lambda view, make: of(view), keys)


def _keyed(start: Callable[[View, bool], Any], keys: Keys) -> Place:
    """A value, or one in it; `start` finds the first and makes it if it is told to."""

    def value(view: View, make: bool) -> Any:
        found = start(view, make)
        for key in keys:
            if found is None:
                return None
            found = _inside(found, key(view), make)
        return found

    def read(view: View) -> Value:
        found = value(view, False)
        return None if found is None else scalar(found)

    def write(view: View, plain: Value) -> None:
        storable(plain)
        found = value(view, True)
        put(found, plain)

    def pairs(view: View) -> Any:
        found = value(view, False)
        return None if found is None else _map_in(found)

    return Place(read, write, pairs)


def _inside(value: Any, key: Value, make: bool) -> Any:
    if isinstance(key, str):
        if not value.HasField("kvlist_value"):
            if not make:
                return None
            value.kvlist_value.SetInParent()
        content = value.kvlist_value.values
        found = find(content, key)
        return content.add(key=clean(key)).value if found is None and make else found
    if isinstance(key, bool) or not isinstance(key, int):
        raise OttlError(f"a key is a text or a number, not {kind(key)}")
    items = value.array_value.values
    if not 0 <= key < len(items):
        raise OttlError(f"a list of {len(items)} has no element {key}")
    return items[key]


def _key_of(key: Value) -> str:
    if not isinstance(key, str):
        raise OttlError(f"a key is a text, not {kind(key)}")
    return key


def _map_in(value: Any) -> Any:
    return value.kvlist_value.values if value.HasField("kvlist_value") else None


def _plain_map(pairs: Any) -> dict[str, Value]:
    return {pair.key: scalar(pair.value) for pair in pairs}


def _replace(pairs: Pairs) -> Setter:
    def write(view: View, value: Value) -> None:
        if not isinstance(value, dict):
            raise OttlError(f"it is a map, not {kind(value)}")
        content = pairs(view)
        del content[:]
        for key, item in value.items():
            put(content.add(key=clean(key)).value, item)

    return write


def _in_trace_state(owner: str, keys: Keys) -> Place:
    """One member of W3C tracestate."""

    def members(view: View) -> dict[str, str]:
        parts = (part.partition("=") for part in getattr(view, owner).trace_state.split(","))
        return {key.strip(): value for key, sign, value in parts if sign}

    def read(view: View) -> Value:
        return members(view).get(_key_of(keys[0](view)))

    def write(view: View, value: Value) -> None:
        if not isinstance(value, str):
            raise OttlError(f"a member of trace_state is a text, not {kind(value)}")
        key = _key_of(keys[0](view))
        changed = {key: value} | {k: v for k, v in members(view).items() if k != key}
        getattr(view, owner).trace_state = clean(",".join(f"{k}={v}" for k, v in changed.items()))

    return Place(read, write)
