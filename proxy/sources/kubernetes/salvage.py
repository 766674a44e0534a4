"""Parts of an object that can be read though the whole cannot: the rules of a route and the
listeners of a Gateway, each on its own.

A rule that says something unknown keeps its matches, so that its requests can be refused instead
of falling to another rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from proxy.sources.kubernetes.objects import (
    Gateway,
    GrpcMatch,
    GrpcRoute,
    GrpcRule,
    HttpMatch,
    HttpRoute,
    HttpRule,
    Listener,
    MethodMatch,
)

RULES: dict[str, tuple[Any, Any, Any]] = {
    "HTTPRoute": (HttpRoute, HttpRule, HttpMatch),
    "GRPCRoute": (GrpcRoute, GrpcRule, GrpcMatch),
}
# Matches that are refused, see `matches.py`.
NONE = {HttpMatch: HttpMatch(method="?"), GrpcMatch: GrpcMatch(method=MethodMatch(type="?"))}


def salvaged(kind: str, raw: bytes | msgspec.Raw) -> Any:
    """The object with what is wrong in its parts noted in them; None if that cannot be done."""
    try:
        tree = msgspec.json.decode(raw)
        if kind in RULES:
            struct, rule, match = RULES[kind]
            return _with(tree, struct, "rules", lambda one: _rule(one, rule, match))
        if kind == "Gateway":
            return _with(tree, Gateway, "listeners", _listener)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        pass
    return None


def _with(tree: Any, struct: Any, key: str, make: Callable[[Any], Any]) -> Any:
    spec = {name: value for name, value in tree["spec"].items() if name != key}
    parts = [make(one) for one in tree["spec"][key]]
    found = msgspec.convert({**tree, "spec": spec}, struct)
    return msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, **{key: parts}))


def _rule(one: Any, rule: Any, match: Any) -> Any:
    try:
        return msgspec.convert(one, rule)
    except msgspec.ValidationError as error:
        fault = str(error)
    matches = one.get("matches") if isinstance(one, dict) else None
    listed = matches if isinstance(matches, list) else [] if matches is None else [matches]
    return rule(matches=[_match(item, match) for item in listed], fault=fault)


def _match(item: Any, match: Any) -> Any:
    """One that no request meets, where it cannot be read."""
    try:
        return msgspec.convert(item, match)
    except msgspec.ValidationError:
        return NONE[match]


def _listener(one: Any) -> Listener:
    try:
        return msgspec.convert(one, Listener)
    except msgspec.ValidationError as error:
        fault = str(error)
    name = one.get("name") if isinstance(one, dict) else None
    return Listener(name=name if isinstance(name, str) else "", fault=fault)
