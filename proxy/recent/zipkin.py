"""Zipkin: what its UI and Grafana's data source ask of a Zipkin server, under /zipkin.

Spans become Zipkin's as the exporter makes them (`formats/zipkin/from_otlp.py`), by way of
protobuf. Names keep their case, which Zipkin's own server would make small.

Source: openzipkin/zipkin-api zipkin2-api.yaml; openzipkin/zipkin ZipkinQueryApiV2.java for what is
left out there (errors as plain text, `all`, defaults).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.formats.zipkin.from_otlp import from_otlp
from proxy.formats.zipkin.model import Span
from proxy.kernel import spanscan
from proxy.otlp.wire import WireError, split
from proxy.recent.comparers import as_text
from proxy.recent.conditions import Both, Compare, Either, Field, Holds, Tree
from proxy.recent.desk import JSON, Answer, Asked, Reply, reply
from proxy.recent.map import dependencies
from proxy.recent.match import pair
from proxy.recent.names import MOST, operations, peers
from proxy.recent.peer import most_spans, padded_id, unix
from proxy.recent.pieces import encoded
from proxy.recent.query import FOREVER, MS, Params, Query, whole, word
from proxy.recent.ring import Stored
from proxy.recent.search import STEP, search
from proxy.recent.selection import Selection, Sets, Some
from proxy.recent.show import cut
from proxy.recent.traces import runs
from proxy.recent.view import Step, at_hand, recall
from proxy.telemetry.protobuf import delimited

DEFAULT_LIMIT, MOST_TRACES = 10, 1000
US = 1000
# Whose values are worth a list in its UI.
KEYS = ("error.type", "http.request.method", "http.response.status_code", "http.route",
        "spangate.route", "spangate.upstream")  # fmt: skip

_PIECE = 128 * 1024  # bytes of OTLP that are read at once: about 8 ms
_TEXT = "text/plain; charset=utf-8"
_ATTRIBUTES = 9

Traces = dict[bytes, list[Span]]


def answer(asked: Asked) -> Answer:
    """Anything under /zipkin; errors as Zipkin tells them."""
    path = asked.path[1:]
    try:
        return (yield from _handler(path)(asked))
    except ValueError as error:
        return Reply(400, str(error).encode(), _TEXT)


def _handler(path: tuple[str, ...]) -> Callable[[Asked], Answer]:
    if path[:2] == ("api", "v2"):
        if path[2:3] == ("trace",) and len(path) == 4:
            return _trace
        return _HANDLERS.get(path[2:], _unknown)
    return _health if path == ("health",) else _config if path == ("config.json",) else _unknown


def _services(asked: Asked) -> Answer:
    return reply(sorted((yield from operations(asked.store))))


def _spans(asked: Asked) -> Answer:
    found = yield from operations(asked.store)
    return reply(sorted({name for name, _ in found.get(_required(asked, "serviceName"), ())}))


def _remote(asked: Asked) -> Answer:
    return reply((yield from peers(asked.store, _required(asked, "serviceName"))))


def _required(asked: Asked, name: str) -> str:
    if value := word(asked.params, name):
        return value
    raise ValueError(f"parameter {name} is required")


def _traces(asked: Asked) -> Answer:
    query, wanted = _query(asked.params, asked.now)
    found = yield from search(asked.store, query, Selection(query, wanted))
    return (yield from _written(asked, most_spans(found.traces)))


def _many(asked: Asked) -> Answer:
    ids = _required(asked, "traceIds").split(",")[:MOST_TRACES]
    return (yield from _written(asked, list(dict.fromkeys(padded_id(one) for one in ids))))


def _written(asked: Asked, wanted: list[bytes]) -> Answer:
    """An array of traces."""
    found = yield from _read(asked, wanted)
    written: list[bytes] = []
    for spans in found.values():
        written.append(encoded(spans))  # 1 µs a span
        yield
    return Reply(200, b"[" + b",".join(written) + b"]", JSON)


def _trace(asked: Asked) -> Answer:
    trace_id = padded_id(asked.path[4])
    found = yield from _read(asked, [trace_id])
    if not found:
        return Reply(404, f"{asked.path[4]} not found".encode(), _TEXT)
    return Reply(200, encoded(found[trace_id]), JSON)


def _read(asked: Asked, wanted: list[bytes]) -> Generator[Step, None, Traces]:
    """All spans of these traces, each once, by time."""
    yield from recall(asked.store, wanted)
    found: dict[bytes, dict[str | None, Span]] = {}
    for request in _requests(asked, dict.fromkeys(wanted)):
        for span in from_otlp(request):
            trace_id = bytes.fromhex(span.trace_id or "")
            found.setdefault(trace_id, {}).setdefault(span.id, span)
        yield
    return {
        trace_id: sorted(found[trace_id].values(), key=lambda span: span.timestamp or 0)
        for trace_id in wanted
        if trace_id in found
    }


def _requests(asked: Asked, wanted: dict[bytes, None]) -> Iterator[Any]:
    for stored in at_hand(asked.store):
        if stored.signal == "traces" and (only := _only(stored, wanted)) is not None:
            try:
                for piece, _ in split("traces", only.payload, _PIECE):
                    yield ExportTraceServiceRequest.FromString(piece)
            except (WireError, DecodeError):
                continue


def _only(stored: Stored, wanted: dict[bytes, None]) -> Stored | None:
    if len(wanted) <= 8 and not any(trace_id in stored.data for trace_id in wanted):
        return None
    return stored.only(wanted)


def _query(params: Params, now: int) -> tuple[Query, Sets]:
    """What its search form asks for; annotations may be of several spans of the service."""
    service, name, remote = (
        "" if value == "all" else value
        for value in (
            word(params, "serviceName"),
            word(params, "spanName"),
            word(params, "remoteServiceName"),
        )
    )
    until = unix(params, "endTs", MS, FOREVER)
    lookback = whole(params, "lookback", 0, 10**15) * MS
    query = Query(
        since=max(0, min(until, now) - lookback) if lookback else 0,
        until=until,
        limit=min(whole(params, "limit", DEFAULT_LIMIT, 1_000_000), MOST_TRACES),
    )
    whose: list[Tree] = []
    if service:
        recorded = Compare(Field("resource", "service.name"), "=", service)
        called = Compare(Field("span", "peer.service"), "=", service)
        whose.append(Either((recorded, called)))
    like = list(whose)
    if name:
        like.append(Compare(Field("intrinsic", "name"), "=", name))
    if remote:
        like.append(Compare(Field("span", "peer.service"), "=", remote))
    like += _lasting(params)
    noted = [
        Some(Both((*whose, _annotation(text)))) for text in _words(word(params, "annotationQuery"))
    ]
    return query, Sets((Some(Both(tuple(like))), *noted), is_all=True)


def _lasting(params: Params) -> list[Tree]:
    """Durations of the span in µs."""
    shortest, longest = whole(params, "minDuration", 0, 10**15), word(params, "maxDuration")
    parts: list[Tree] = []
    if shortest:
        parts.append(Compare(Field("intrinsic", "duration"), ">=", shortest * US))
    if longest:
        most = whole(params, "maxDuration", 0, 10**15)
        if not shortest:
            raise ValueError("maxDuration is only valid with minDuration")
        if most < shortest:
            raise ValueError("maxDuration < minDuration")
        parts.append(Compare(Field("intrinsic", "duration"), "<=", most * US))
    return parts


def _words(query: str) -> list[str]:
    return [text.strip() for text in query.split(" and ") if text.strip()]


def _annotation(text: str) -> Tree:
    """key=value, or the name of a tag, or what an annotation says."""
    key, equals, value = text.partition("=")
    if equals:
        said = Compare(Field("any", key), "is", value)
        return Either((said, Holds(tuple(pair(key, value)))))
    failed = Compare(Field("intrinsic", "status"), "=", "error")
    raw = text.encode("utf-8", "replace")
    # An Event's name is its field 2, a key of an attribute is field 1.
    noted: Tree = Holds((delimited(2, raw), delimited(1, raw)))
    return Either((failed, noted)) if text == "error" else noted


def _dependencies(asked: Asked) -> Answer:
    until = unix(asked.params, "endTs", MS, 0)
    if not until:
        raise ValueError("parameter endTs is required")
    lookback = whole(asked.params, "lookback", 0, 10**15) * MS
    since = max(0, until - lookback) if lookback else 0
    found = yield from dependencies(asked)
    links: list[dict[str, Any]] = []
    for one in found:
        if one.first <= until and one.last >= since:
            link = {"parent": cut(one.source), "child": cut(one.target), "callCount": one.calls}
            links.append(link | ({"errorCount": one.errors} if one.errors else {}))
    return reply(links)


def _keys(asked: Asked) -> Answer:
    yield
    return reply(list(KEYS))


def _values(asked: Asked) -> Answer:
    key = _required(asked, "key")
    keys = {key.encode("utf-8", "replace"): 0}
    found: set[str] = set()
    since = 0
    for _, buf, rows in runs(asked.store):
        for row in rows:
            (value,) = spanscan.pick(buf, row[8], row[9], _ATTRIBUTES, keys)
            if value is not None and len(found) < MOST:
                found.add(cut(as_text(value)))
        since += len(rows)
        if since >= STEP:
            since = 0
            yield
    return reply(sorted(found))


def _health(asked: Asked) -> Answer:
    yield
    return reply({"status": "UP", "zipkin": {"status": "UP"}})


def _config(asked: Asked) -> Answer:
    """For its UI (zipkin-lens)."""
    yield
    return reply(
        {
            "environment": "",
            "queryLimit": DEFAULT_LIMIT,
            "defaultLookback": 900_000,
            "searchEnabled": True,
            "dependency": {"enabled": True, "lowErrorRate": 0.5, "highErrorRate": 0.75},
        }
    )


def _unknown(asked: Asked) -> Answer:
    yield
    return Reply(404, b"not found", _TEXT)


_HANDLERS: Mapping[tuple[str, ...], Callable[[Asked], Answer]] = {
    ("services",): _services,
    ("spans",): _spans,
    ("remoteServices",): _remote,
    ("traces",): _traces,
    ("traceMany",): _many,
    ("dependencies",): _dependencies,
    ("autocompleteKeys",): _keys,
    ("autocompleteValues",): _values,
}
