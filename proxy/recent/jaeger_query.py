"""What Jaeger's two APIs ask of spans, services and calls, as our own questions."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping

from proxy.recent.conditions import Both, Compare, Either, Field, Holds, Not, Tree
from proxy.recent.desk import Asked
from proxy.recent.map import dependencies
from proxy.recent.match import pair
from proxy.recent.model import KINDS
from proxy.recent.query import FOREVER, Params, whole
from proxy.recent.view import Step

DEFAULT_LIMIT = 100
MOST_TRACES = 1500  # as its UI offers

_KINDS = {name: number for number, name in enumerate(KINDS) if name}


def operations_of(names: Iterable[tuple[str, int]], kind: str) -> list[dict[str, str]]:
    """Those of that kind, "" for any."""
    if kind and kind not in _KINDS and kind != "unspecified":
        raise ValueError(f"spanKind is {kind[:40]!r}; it may be {', '.join(_KINDS)}")
    return [
        {"name": name, "spanKind": KINDS[number] if number < len(KINDS) else ""}
        for name, number in sorted(names)
        if not kind or _KINDS.get(kind, 0) == number
    ]


def limit_of(params: Params, name: str) -> int:
    return min(whole(params, name, DEFAULT_LIMIT, 1_000_000), MOST_TRACES)


def tags_of(value: str) -> dict[str, str]:
    """A JSON object, or key:value."""
    if not value:
        return {}
    if not value.lstrip().startswith("{"):
        return pairs_of([value])
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("malformed 'tags' parameter, cannot unmarshal JSON") from None
    scalars = (str, int, float, bool)
    if not isinstance(found, dict) or not all(isinstance(v, scalars) for v in found.values()):
        raise ValueError("malformed 'tags' parameter: write an object of texts")
    return {
        key: one if isinstance(one, str) else json.dumps(one)  # true, not True
        for key, one in found.items()
    }


def pairs_of(values: Iterable[str]) -> dict[str, str]:
    found = {}
    for value in values:
        key, colon, rest = value.partition(":")
        if not colon:
            raise ValueError(f"malformed 'tag' parameter, expecting key:value: {value[:40]!r}")
        found[key] = rest
    return found


def tree_of(
    service: str, operation: str, lasting: tuple[int, int], tags: Mapping[str, str]
) -> Tree:
    """What one span must be like; durations in ns."""
    parts: list[Tree] = []
    if service:
        recorded = Compare(Field("resource", "service.name"), "=", service)
        called = Compare(Field("span", "peer.service"), "=", service)
        parts.append(Either((recorded, called)))
    if operation:
        parts.append(Compare(Field("intrinsic", "name"), "=", operation))
    shortest, longest = lasting
    if shortest:
        parts.append(Compare(Field("intrinsic", "duration"), ">=", shortest))
    if longest < FOREVER:
        parts.append(Compare(Field("intrinsic", "duration"), "<=", longest))
    parts += [_tag(key, value) for key, value in tags.items()]
    return Both(tuple(parts))


def _tag(key: str, value: str) -> Tree:
    """What OTLP has as fields and Jaeger as tags; else an attribute of the span or its events."""
    said = Compare(Field("any", key), "is", value)
    if key == "error":
        failed = Compare(Field("intrinsic", "status"), "=", "error")
        return Not(failed) if value == "false" else Either((failed, said))
    if key == "span.kind":
        return Compare(Field("intrinsic", "kind"), "=", value)
    if key == "otel.status_code":
        return Compare(Field("intrinsic", "status"), "=", value.lower())
    return Either((said, Holds(tuple(pair(key, value)))))


def calls_between(
    asked: Asked, since: int, until: int
) -> Generator[Step, None, list[tuple[str, str, int]]]:
    """Parents, children and calls; an edge counts whole if some of it was then."""
    found = yield from dependencies(asked)
    return [
        (one.source, one.target, one.calls)
        for one in found
        if one.first <= until and one.last >= since
    ]
