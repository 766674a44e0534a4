"""Which tags there are, and which values they have, for the lists in Grafana's editor.

Names are read from the first spans of each kind (service and name), MOST_LIKE of each: spans that
are called the same have the same attributes. Values are picked from all spans.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from proxy.recent.conditions import Condition, Field, Reading, Whole
from proxy.recent.decode import spans_in
from proxy.recent.desk import Answer, Asked, reply
from proxy.recent.model import KINDS, STATUSES, Span, Value, text
from proxy.recent.query import Params, Query, whole, word
from proxy.recent.ring import Store
from proxy.recent.search import STEP, search
from proxy.recent.selection import Some
from proxy.recent.show import cut
from proxy.recent.traceql import INTRINSICS, MOST_LENGTH, field_of, parse
from proxy.recent.traces import runs
from proxy.recent.view import Step
from proxy.telemetry.protobuf import delimited

MOST_LIKE = 20
MOST_VALUES = 1000
MOST_TAGS = 5000
DECODED = 200  # spans between two steps

_SCOPES = ("resource", "span", "intrinsic", "event", "link", "instrumentation")
_WHOLE = Whole(0, "", "")

Tags = dict[str, set[str]]  # by scope


def handler(path: tuple[str, ...]) -> Callable[[Asked], Answer] | None:
    """Of what is behind /api; None for what is not here."""
    if path == ("search", "tags"):
        return _tags
    if path == ("v2", "search", "tags"):
        return _tags_v2
    if path[-1:] == ("values",):
        if len(path) == 4 and path[:2] == ("search", "tag"):
            return _values
        if len(path) == 5 and path[:3] == ("v2", "search", "tag"):
            return _values_v2
    return None


def _tags(asked: Asked) -> Answer:
    """The older form knows no scopes."""
    found = yield from _names(asked.store)
    names = {name for scope in _scopes(asked.params) for name in found.get(scope, ())}
    return reply({"tagNames": sorted(names), "metrics": {}})


def _tags_v2(asked: Asked) -> Answer:
    found = yield from _names(asked.store)
    scopes = [
        {"name": scope, "tags": sorted(found[scope])}
        for scope in _scopes(asked.params)
        if found.get(scope)
    ]
    return reply({"scopes": scopes, "metrics": {}})


def _scopes(params: Params) -> Iterable[str]:
    scope = word(params, "scope")
    if scope in ("", "all", "none"):
        return _SCOPES
    if scope not in _SCOPES:
        raise ValueError(f"invalid scope: {scope[:40]!r}; it may be {', '.join(_SCOPES)}")
    return (scope,)


def _names(store: Store) -> Generator[Step, None, Tags]:
    found: Tags = {scope: set() for scope in _SCOPES}
    found["intrinsic"].update(INTRINSICS)
    looked: dict[tuple[str, bytes], int] = {}
    since = 0
    for resource, buf, rows in runs(store):
        found["resource"].update(map(cut, resource))
        service = text(resource.get("service.name", ""))
        for row in rows:
            key = (service, row[3])
            number = looked.get(key, 0)
            if number < MOST_LIKE and len(looked) < MOST_TAGS:
                looked[key] = number + 1
                _note(found, _decoded(buf, row[8], row[9]))
                since += STEP // DECODED
        since += len(rows)
        if since >= STEP:
            since = 0
            yield
    return found


def _decoded(buf: bytes, begin: int, end: int) -> Span:
    alone = delimited(2, buf[begin:end])
    return spans_in([({}, "", alone, 0, len(alone))])[0]


def _note(found: Tags, span: Span) -> None:
    for scope, names in (
        ("span", [span.attributes]),
        ("event", [event.attributes for event in span.events]),
        ("link", [link.attributes for link in span.links]),
    ):
        for attributes in names:
            if len(found[scope]) < MOST_TAGS:
                found[scope].update(map(cut, attributes))


def _values(asked: Asked) -> Answer:
    found = yield from _found(asked, _bare(asked.path[4]))
    return reply({"tagValues": sorted({value for _, value in found}), "metrics": {}})


def _bare(tag: str) -> Field:
    """A name without a scope, or an intrinsic."""
    return field_of(tag if tag in INTRINSICS else f".{tag}")


def _values_v2(asked: Asked) -> Answer:
    found = yield from _found(asked, field_of(asked.path[5]))
    values = [{"type": kind, "value": value} for kind, value in sorted(found)]
    return reply({"tagValues": values, "metrics": {}})


def _found(asked: Asked, field: Field) -> Generator[Step, None, set[tuple[str, str]]]:
    """Types and values."""
    limit = min(whole(asked.params, "limit", MOST_VALUES, 1_000_000), MOST_VALUES)
    if field.scope == "trace":
        return (yield from _of_roots(asked, field, limit))
    if field.scope == "intrinsic" and field.name in ("status", "kind"):
        yield
        words = STATUSES if field.name == "status" else ("unspecified", *KINDS[1:])
        return {("keyword", one) for one in words}
    if field.scope == "intrinsic" and field.name not in ("name", "statusMessage"):
        yield
        return set()
    return (yield from _picked(asked, field, limit))


def _picked(asked: Asked, field: Field, limit: int) -> Generator[Step, None, set[tuple[str, str]]]:
    reading, only = Reading(field), _filter(word(asked.params, "q", MOST_LENGTH))
    bit = 0 if only is None else only.bit(_WHOLE)
    found: set[tuple[str, str]] = set()
    since = 0
    for resource, buf, rows in runs(asked.store):
        for row in rows:
            if only is None or only.mask(resource, buf, row) & bit:
                value = reading.of(resource, buf, row)
                if value is not None and len(found) < limit:
                    found.add(_typed(value))
        since += len(rows)
        if since >= STEP:
            since = 0
            yield
    return found


def _of_roots(
    asked: Asked, field: Field, limit: int
) -> Generator[Step, None, set[tuple[str, str]]]:
    found = yield from search(asked.store, Query(limit=limit))
    if field.name == "duration":
        return set()
    names = (one.name if field.name == "rootName" else one.service for one in found.traces)
    return {("string", cut(name)) for name in names}


def _filter(q: str) -> Condition | None:
    """Of one pair of braces; what cannot be read filters nothing, as with Tempo."""
    if not q:
        return None
    try:
        wanted = parse(q).wanted
        return Condition(wanted.tree) if isinstance(wanted, Some) else None
    except ValueError:
        return None


def _typed(value: Value) -> tuple[str, str]:
    if isinstance(value, bool):
        return "bool", "true" if value else "false"
    if isinstance(value, int):
        return "int", str(value)
    return ("float" if isinstance(value, float) else "string"), cut(str(value))


def logfmt(line: str) -> list[tuple[str, str]]:
    """`a=b c="d e"`; ValueError for what is none."""
    found: list[tuple[str, str]] = []
    rest = line.strip()
    while rest:
        key, equals, rest = rest.partition("=")
        if not equals or not key.strip() or " " in key.strip() or '"' in key:
            raise ValueError(f'invalid tags: {key.strip()[:40]!r}; write key=value key2="a b"')
        value, rest = _quoted(rest) if rest.startswith('"') else _plain(rest)
        found.append((key.strip(), value))
    return found


def _plain(rest: str) -> tuple[str, str]:
    value, _, rest = rest.partition(" ")
    return value, rest.strip()


def _quoted(rest: str) -> tuple[str, str]:
    value: list[str] = []
    at = 1
    while at < len(rest) and rest[at] != '"':
        at += rest[at] == "\\"
        value.append(rest[at : at + 1])
        at += 1
    if at >= len(rest):
        raise ValueError("invalid tags: a quote is not closed")
    return "".join(value), rest[at + 1 :].strip()
