"""Jaeger: what its UI and Grafana's data source ask of jaeger-query, under /jaeger.

The API of version 1 (`/api/traces`, …) is here, that of version 3 in `jaeger_v3.py`, and what a
span is in JSON in `jaeger_json.py`.

Source: jaegertracing/jaeger 1.x cmd/query/app (http_handler.go, query_parser.go), grafana/grafana
pkg/tsdb/jaeger.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from proxy.recent import jaeger_v3
from proxy.recent.conditions import Tree
from proxy.recent.desk import JSON, Answer, Asked, Reply, reply
from proxy.recent.jaeger_json import trace_as_json
from proxy.recent.jaeger_query import (
    MOST_TRACES,
    calls_between,
    limit_of,
    operations_of,
    pairs_of,
    tags_of,
    tree_of,
)
from proxy.recent.names import operations
from proxy.recent.peer import between, most_spans, padded_id, unix
from proxy.recent.query import FOREVER, MS, Params, Query, duration, whole, word
from proxy.recent.search import search
from proxy.recent.selection import Selection, Some
from proxy.recent.traces import traces_of

US = 1000


def answer(asked: Asked) -> Answer:
    """Anything under /jaeger; errors as Jaeger tells them."""
    path = asked.path[1:]
    if path[:2] == ("api", "v3"):
        return (yield from jaeger_v3.answer(asked))
    try:
        return (yield from _handler(path)(asked))
    except ValueError as error:
        return refusal(400, str(error))


def _handler(path: tuple[str, ...]) -> Callable[[Asked], Answer]:
    known: dict[tuple[str, ...], Callable[[Asked], Answer]] = {
        ("api", "services"): _services,
        ("api", "operations"): _operations,
        ("api", "traces"): _traces,
        ("api", "dependencies"): _dependencies,
    }
    if found := known.get(path):
        return found
    if path[:2] == ("api", "services") and len(path) == 4 and path[3] == "operations":
        return _names
    if path[:2] == ("api", "traces") and len(path) == 3:
        return _trace
    return _metrics if path[:2] == ("api", "metrics") else _unknown


def structured(data: Any, total: int = 0) -> Reply:
    return reply({"data": data, "total": total, "limit": 0, "offset": 0, "errors": None})


def refusal(code: int, why: str) -> Reply:
    errors = [{"code": code, "msg": why}]
    return reply({"data": None, "total": 0, "limit": 0, "offset": 0, "errors": errors}, code)


def _services(asked: Asked) -> Answer:
    found = sorted((yield from operations(asked.store)))
    return structured(found, len(found))


def _names(asked: Asked) -> Answer:
    """Of spans of one service, of all kinds."""
    found = yield from operations(asked.store)
    names = sorted({name for name, _ in found.get(asked.path[3], ())})
    return structured(names, len(names))


def _operations(asked: Asked) -> Answer:
    service = _service(asked.params)
    found = yield from operations(asked.store)
    rows = operations_of(found.get(service, ()), word(asked.params, "spanKind"))
    return structured(rows, len(rows))


def _service(params: Params) -> str:
    if service := word(params, "service"):
        return service
    raise ValueError("parameter 'service' is required")


def _traces(asked: Asked) -> Answer:
    if ids := asked.params.get("traceID"):
        return (yield from _by_ids(asked, dict.fromkeys(map(padded_id, ids))))
    query, tree = _query(asked.params, asked.now)
    found = yield from search(asked.store, query, Selection(query, Some(tree)))
    wanted = most_spans(found.traces)
    return (yield from _written(asked, wanted, []))


def _by_ids(asked: Asked, wanted: Mapping[bytes, None]) -> Answer:
    spans = yield from traces_of(asked.store, list(wanted)[:MOST_TRACES])
    errors = [
        {"msg": "trace not found", "traceID": trace_id.hex()}
        for trace_id in wanted
        if trace_id not in spans
    ]
    return (yield from _written(asked, list(wanted)[:MOST_TRACES], errors))


def _trace(asked: Asked) -> Answer:
    trace_id = padded_id(asked.path[3])
    since, until = _window(asked.params)
    spans = yield from traces_of(asked.store, [trace_id])
    if not between(spans.get(trace_id, []), since, until):
        return refusal(404, "trace not found")
    return (yield from _written(asked, [trace_id], []))


def _window(params: Params) -> tuple[int, int]:
    return unix(params, "start", US, 0), unix(params, "end", US, FOREVER)


def _written(asked: Asked, wanted: list[bytes], errors: list[dict[str, str]]) -> Answer:
    spans = yield from traces_of(asked.store, wanted)
    traces: list[bytes] = []
    for of_trace in spans.values():
        traces.append((yield from trace_as_json(of_trace)))
        yield
    after = json.dumps({"total": 0, "limit": 0, "offset": 0, "errors": errors or None})
    body = b'{"data":[' + b",".join(traces) + b"]," + after[1:].encode()
    return Reply(200, body, JSON)


def _query(params: Params, now: int) -> tuple[Query, Tree]:
    """What its search form asks for; all of it of one and the same span."""
    shortest, longest = _durations(params)
    since, until = _window(params)
    lookback = word(params, "lookback")
    if not since and lookback and lookback != "custom":  # which its form says beside start and end
        since = max(0, now - duration(lookback))
    query = Query(since=since, until=until, limit=limit_of(params, "limit"))
    tags = {**pairs_of(params.get("tag", ())), **tags_of(word(params, "tags"))}
    service = _service(params)
    return query, tree_of(service, word(params, "operation"), (shortest, longest), tags)


def _durations(params: Params) -> tuple[int, int]:
    shortest, longest = word(params, "minDuration"), word(params, "maxDuration")
    least = duration(shortest) if shortest else 0
    most = duration(longest) if longest else FOREVER
    if most < least:
        raise ValueError("'maxDuration' should be greater than 'minDuration'")
    return least, most


def _dependencies(asked: Asked) -> Answer:
    rows = yield from calls_between(asked, *_lookback(asked.params, asked.now))
    service = word(asked.params, "service")
    return structured(
        [
            {"parent": parent, "child": child, "callCount": calls}
            for parent, child, calls in rows
            if not service or service in (parent, child)
        ]
    )


def _lookback(params: Params, now: int) -> tuple[int, int]:
    """In ms; the gateway knows no more than it holds, whatever it is asked for."""
    until = unix(params, "endTs", MS, now)
    lookback = whole(params, "lookback", 0, 10**15) * MS
    return (max(0, until - lookback) if lookback else 0), until


def _metrics(asked: Asked) -> Answer:
    """As a Jaeger without a store for metrics; its UI explains what to do then."""
    yield
    return refusal(501, "metrics querying is currently disabled")


def _unknown(asked: Asked) -> Answer:
    yield
    return refusal(404, "not found")
