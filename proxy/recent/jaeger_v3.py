"""Jaeger's API of version 3, which its UI of 2026 asks: traces as OTLP's JSON, and summaries.

Names of parameters may be written in camelCase or with underscores, and have a `query.` before
them. Source: jaegertracing/jaeger-idl proto/api_v3/query_service.proto, jaegertracing/jaeger-ui
src/api/v3 (client.ts, schemas.ts).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from proxy.otlp.ids import is_span_id, is_trace_id
from proxy.recent.desk import JSON, Answer, Asked, Reply, reply
from proxy.recent.jaeger_query import (
    calls_between,
    limit_of,
    operations_of,
    tags_of,
    tree_of,
)
from proxy.recent.model import Attributes, Event, Link, Span, Value
from proxy.recent.names import operations
from proxy.recent.otlpjson import traces_data
from proxy.recent.peer import between, most_spans, padded_id
from proxy.recent.pieces import encoded, runs
from proxy.recent.query import FOREVER, Params, Query, duration, moment, word
from proxy.recent.search import STEP, Found, Summary, search
from proxy.recent.selection import Selection, Some
from proxy.recent.show import cut
from proxy.recent.traces import runs as rows_of
from proxy.recent.traces import traces_of
from proxy.recent.view import Step, recall

_GRPC = {400: 3, 404: 5, 501: 12}  # INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED
# What it is called in requests of its UI, which are older than the names of today.
_ALIASES = {
    "operationName": ("operation_name", "spanName", "span_name"),
    "searchDepth": ("search_depth", "numTraces", "num_traces", "pagination.pageSize"),
}


def answer(asked: Asked) -> Answer:
    """Anything under /jaeger/api/v3."""
    path = asked.path[3:]
    try:
        return (yield from _handler(path)(asked))
    except ValueError as error:
        return refusal(400, str(error))


def _handler(path: tuple[str, ...]) -> Callable[[Asked], Answer]:
    known: dict[tuple[str, ...], Callable[[Asked], Answer]] = {
        ("services",): _services,
        ("operations",): _operations,
        ("traces",): _traces,
        ("trace-summaries",): _summaries,
        ("dependencies",): _dependencies,
    }
    if path[:1] == ("traces",) and len(path) == 2:
        return _trace
    return known.get(path, _unknown)


def _unknown(asked: Asked) -> Answer:
    yield
    return refusal(404, "not found")


def refusal(code: int, why: str) -> Reply:
    told = {"grpcCode": _GRPC.get(code, 2), "httpCode": code, "message": why}
    return reply({"error": told | {"httpStatus": HTTPStatus(code).phrase}}, code)


def _services(asked: Asked) -> Answer:
    return reply({"services": sorted((yield from operations(asked.store)))})


def _operations(asked: Asked) -> Answer:
    service = word(asked.params, "service")
    if not service:
        raise ValueError("parameter 'service' is required")
    found = yield from operations(asked.store)
    kind = word(asked.params, "spanKind") or word(asked.params, "span_kind")
    return reply({"operations": operations_of(found.get(service, ()), kind.lower())})


def _trace(asked: Asked) -> Answer:
    trace_id = padded_id(asked.path[4])
    since = _moment(asked.params, ("startTime", "start_time"), asked.now, 0)
    until = _moment(asked.params, ("endTime", "end_time"), asked.now, FOREVER)
    spans = (yield from traces_of(asked.store, [trace_id])).get(trace_id, [])
    if not between(spans, since, until):
        return refusal(404, "trace not found")
    return (yield from _written(spans))


def _traces(asked: Asked) -> Answer:
    found = yield from _found(asked)
    spans = yield from traces_of(asked.store, most_spans(found.traces))
    return (yield from _written([span for trace in spans.values() for span in trace]))


def _written(spans: list[Span]) -> Answer:
    """In the envelope of grpc-gateway."""
    written: list[bytes] = []
    for run in runs(spans):
        written.append(encoded(traces_data(map(strict, run))["resourceSpans"])[1:-1])
        yield
    return Reply(200, b'{"result":{"resourceSpans":[' + b",".join(written) + b"]}}", JSON)


def _summaries(asked: Asked) -> Answer:
    found = yield from _found(asked)
    orphans = yield from _orphans(asked, [summary.trace_id for summary in found.traces])
    rows = [_summary(summary, orphans[summary.trace_id]) for summary in found.traces]
    yield
    return reply({"summaries": rows})


def _summary(summary: Summary, orphans: int) -> dict[str, Any]:
    return {
        "traceId": summary.trace_id.hex(),
        "rootServiceName": cut(summary.service),
        "rootOperationName": cut(summary.name),
        "minStartTimeUnixNano": str(summary.start),
        "maxEndTimeUnixNano": str(summary.end),
        "spanCount": summary.spans,
        "errorSpanCount": summary.errors,
        "orphanSpanCount": orphans,
        "services": [
            {
                "name": cut(name),
                "spanCount": number,
                "errorSpanCount": summary.failures.get(name, 0),
            }
            for name, number in sorted(summary.services.items())
        ],
    }


def _orphans(asked: Asked, wanted: Iterable[bytes]) -> Generator[Step, None, dict[bytes, int]]:
    """Of each trace, the spans whose parents are not there."""
    ids: dict[bytes, set[bytes]] = {trace_id: set() for trace_id in wanted}
    parents: dict[bytes, list[bytes]] = {trace_id: [] for trace_id in ids}
    yield from recall(asked.store, ids)
    since = 0
    for _, _, rows in rows_of(asked.store) if ids else ():
        for row in rows:
            if row[0] in ids and row[1] not in ids[row[0]]:
                ids[row[0]].add(row[1])
                if row[2]:
                    parents[row[0]].append(row[2])
        since += len(rows)
        if since >= STEP:
            since = 0
            yield
    return {
        trace_id: sum(parent not in ids[trace_id] for parent in of_trace)
        for trace_id, of_trace in parents.items()
    }


def _dependencies(asked: Asked) -> Answer:
    since = _moment(asked.params, ("startTime", "start_time"), asked.now, 0)
    until = _moment(asked.params, ("endTime", "end_time"), asked.now, FOREVER)
    rows = yield from calls_between(asked, since, until)
    return reply(
        {
            "dependencies": [
                {"parent": parent, "child": child, "callCount": str(calls)}
                for parent, child, calls in rows
            ]
        }
    )


def _found(asked: Asked) -> Generator[Step, None, Found]:
    """What is asked for by `query.…`."""
    params = named(asked.params)
    if word(params, "filter"):
        raise ValueError("structured filters are not supported; use attributes")
    if word(params, "pagination.pageToken"):
        raise ValueError("there are no further pages; raise searchDepth")
    shortest, longest = word(params, "durationMin"), word(params, "durationMax")
    lasting = (
        duration(shortest) if shortest else 0,
        duration(longest) if longest else FOREVER,
    )
    query = Query(
        since=moment(params, "startTimeMin", asked.now, 0),
        until=moment(params, "startTimeMax", asked.now, FOREVER),
        limit=limit_of(params, "searchDepth"),
    )
    tree = tree_of(
        word(params, "serviceName"),
        word(params, "operationName"),
        lasting,
        tags_of(word(params, "attributes")),
    )
    return (yield from search(asked.store, query, Selection(query, Some(tree))))


def named(params: Params) -> Params:
    """By their names of today, without `query.`."""
    older = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
    found: dict[str, list[str]] = {}
    for name, values in params.items():
        short = name.removeprefix("query.")
        short = older.get(short) or older.get(_camel(short)) or _camel(short)
        found.setdefault(short, []).extend(values)
    return found


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _moment(params: Params, names: Sequence[str], now: int, default: int) -> int:
    return moment(params, next((n for n in names if n in params), names[0]), now, default)


def strict(span: Span) -> Span:
    """As its UI wants it: each value is one, ids are ids, numbers are finite."""
    return replace(
        span,
        attributes=_strict(span.attributes),
        resource=_strict_shared(span),
        parent_id=span.parent_id if is_span_id(span.parent_id) else b"",
        events=[Event(event.time, event.name, _strict(event.attributes)) for event in span.events],
        links=[
            Link(link.trace_id, link.span_id, link.trace_state, _strict(link.attributes))
            for link in span.links
            if is_trace_id(link.trace_id) and is_span_id(link.span_id)
        ],
    )


def _strict_shared(span: Span) -> Any:
    """The same object where there is nothing to mend: spans are put together by it."""
    made = _strict(span.resource)
    return span.resource if made == span.resource else made


def _strict(attributes: Any) -> Attributes:
    return {key: _strict_value(value) for key, value in attributes.items()}


def _strict_value(value: Value) -> Value:
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_strict_value(one) for one in value]
    return _strict(value) if isinstance(value, dict) else value
