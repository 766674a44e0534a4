"""Tempo: what Grafana's data source asks of a Tempo server, under /tempo.

Traces leave as the bytes that came in: Tempo's Trace is OTLP's TracesData. Searching is here, the
lists of tags in `tempo_tags.py`, the language in `traceql.py`.

Source: grafana/tempo docs/sources/tempo/api_docs and pkg/tempopb/tempo.proto, grafana/grafana
pkg/tsdb/tempo.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from proxy import __version__

if TYPE_CHECKING:
    from proxy.kernel.spanscan import Row
from proxy.otlp.wire import WireError, split
from proxy.recent import tempo_tags
from proxy.recent.conditions import Both, Compare, Field, Not, Reading, Tree, Truth, Whole
from proxy.recent.desk import JSON, Answer, Asked, Reply, reply
from proxy.recent.model import text
from proxy.recent.otlpjson import any_value
from proxy.recent.peer import padded_id, unix
from proxy.recent.pieces import encoded
from proxy.recent.query import FOREVER, SECOND, Params, Query, duration, whole, word
from proxy.recent.search import STEP, Summary, payload_of, search
from proxy.recent.selection import Selection, Some
from proxy.recent.show import cut, plain
from proxy.recent.traceql import MOST_LENGTH, Asking, parse
from proxy.recent.traces import runs
from proxy.recent.view import Step, recall
from proxy.telemetry.protobuf import delimited

DEFAULT_LIMIT, MOST_TRACES = 20, 1000
DEFAULT_SPANS, MOST_SPANS = 3, 100  # of one trace that are shown

_PROTOBUF = "application/protobuf"
_TEXT = "text/plain; charset=utf-8"
_PIECE = 64 * 1024  # bytes of OTLP that become JSON at once: about 10 ms

_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def answer(asked: Asked) -> Answer:
    """Anything under /tempo; errors as text, as Tempo tells them."""
    try:
        return (yield from _handler(asked.path[1:])(asked))
    except ValueError as error:
        return Reply(400, str(error).encode(), _TEXT)


def _handler(path: tuple[str, ...]) -> Callable[[Asked], Answer]:
    if path == ("ready",):
        return _ready
    if path[:1] != ("api",):
        return _unknown
    rest = path[1:]
    if len(rest) == 2 and rest[0] == "traces":
        return _trace
    if len(rest) == 3 and rest[:2] == ("v2", "traces"):
        return _trace_v2
    if rest[:1] == ("metrics",):
        return _metrics
    return _HANDLERS.get(rest) or tempo_tags.handler(rest) or _unknown


def _ready(asked: Asked) -> Answer:
    yield
    return Reply(200, b"ready\n", _TEXT)


def _echo(asked: Asked) -> Answer:
    yield
    return Reply(200, b"echo", _TEXT)


def _buildinfo(asked: Asked) -> Answer:
    """Our own version: below 2.2, so Grafana does not try Tempo's streams over gRPC."""
    yield
    words = dict.fromkeys(("revision", "branch", "buildUser", "buildDate", "goVersion"), "")
    return reply({"version": __version__, **words})


def _metrics(asked: Asked) -> Answer:
    yield
    why = "TraceQL metrics are not supported; the gateway's own metrics are at /metrics"
    return Reply(501, why.encode(), _TEXT)


def _unknown(asked: Asked) -> Answer:
    yield
    return Reply(404, b"404 page not found\n", _TEXT)


def _trace(asked: Asked) -> Answer:
    payload = yield from _payload(asked, padded_id(asked.path[3]))
    if not payload:
        return Reply(404, b"trace not found", _TEXT)
    if _PROTOBUF in asked.accept:
        return Reply(200, payload, _PROTOBUF)
    return Reply(200, b'{"batches":' + (yield from _as_json(payload)) + b"}", JSON)


def _trace_v2(asked: Asked) -> Answer:
    """TraceByIDResponse: trace = 1."""
    payload = yield from _payload(asked, padded_id(asked.path[4]))
    if not payload:
        return Reply(404, b"trace not found", _TEXT)
    if _PROTOBUF in asked.accept:
        return Reply(200, delimited(1, payload), _PROTOBUF)
    body = yield from _as_json(payload)
    return Reply(200, b'{"trace":{"resourceSpans":' + body + b'},"metrics":{}}', JSON)


def _payload(asked: Asked, trace_id: bytes) -> Generator[Step, None, bytes]:
    _window(asked.params)  # it finds more than what was then, but not by words
    yield from recall(asked.store, (trace_id,))
    return (yield from payload_of(asked.store, trace_id))


def _as_json(payload: bytes) -> Generator[Step, None, bytes]:
    """Its ResourceSpans as protobuf's mapping has them: ids in base64, enums by name."""
    written: list[bytes] = []
    try:
        for piece, _ in split("traces", payload, _PIECE):
            told = MessageToDict(TracesData.FromString(piece)).get("resourceSpans", [])
            written += [encoded(one) for one in told]
            yield
    except (WireError, DecodeError):
        pass
    return b"[" + b",".join(written) + b"]"


def _window(params: Params) -> tuple[int, int]:
    return unix(params, "start", SECOND, 0), unix(params, "end", SECOND, FOREVER)


def _search(asked: Asked) -> Answer:
    params = asked.params
    asking = parse(q) if (q := word(params, "q", MOST_LENGTH)) else _by_tags(word(params, "tags"))
    since, until = _window(params)
    limit = min(whole(params, "limit", DEFAULT_LIMIT, 1_000_000), MOST_TRACES)
    shown = min(whole(params, "spss", DEFAULT_SPANS, 1_000_000), MOST_SPANS)
    query = Query(
        shortest=_duration(params, "minDuration", 0),
        longest=_duration(params, "maxDuration", FOREVER),
        since=since,
        until=until,
        limit=MOST_TRACES if asking.counts else limit,
    )
    selection = Selection(query, asking.wanted)
    found = yield from search(asked.store, query, selection)
    sets = yield from _matched(asked, found.traces, selection, _shown(asking), shown)
    traces = [
        _summary(summary, sets[summary.trace_id])
        for summary in found.traces
        if all(_COMPARE[op](sets[summary.trace_id].number, n) for op, n in asking.counts)
    ]
    return reply(
        {
            "traces": traces[:limit],
            "metrics": {
                "inspectedTraces": found.all,
                "inspectedSpans": str(found.spans),
                "completedJobs": 1,
                "totalJobs": 1,
            },
        }
    )


def _duration(params: Params, name: str, default: int) -> int:
    value = word(params, name)
    return duration(value) if value else default


class _Matched:
    """The spans of one trace that fit: the first of them, and their number."""

    __slots__ = ("ids", "spans")

    def __init__(self) -> None:
        self.ids: set[bytes] = set()
        self.spans: list[tuple[int, dict[str, Any]]] = []

    @property
    def number(self) -> int:
        return len(self.ids)


def _matched(
    asked: Asked, found: list[Summary], selection: Selection, fields: list[Field], most: int
) -> Generator[Step, None, dict[bytes, _Matched]]:
    """A second pass, over the traces that were found."""
    yield from recall(asked.store, [one.trace_id for one in found])
    readings = [Reading(field) for field in fields]
    wholes = {s.trace_id: Whole(s.end - s.start, s.name, s.service) for s in found}
    sets = {trace_id: _Matched() for trace_id in wholes}
    since = 0
    for resource, buf, rows in runs(asked.store) if sets else ():
        for row in rows:
            matched = sets.get(row[0])
            if matched is None or row[1] in matched.ids:
                continue
            if selection.is_matched(resource, buf, row, wholes[row[0]]):
                matched.ids.add(row[1])
                if len(matched.spans) < most:
                    matched.spans.append((row[5], _span(resource, buf, row, readings)))
        since += len(rows)
        if since >= STEP:
            since = 0
            yield
    return sets


def _span(resource: Any, buf: bytes, row: Row, readings: list[Reading]) -> dict[str, Any]:
    return {
        "spanID": row[1].hex(),
        "name": cut(row[3].decode("utf-8", "replace")),
        "startTimeUnixNano": str(row[5]),
        "durationNanos": str(max(0, row[6] - row[5])),
        "attributes": [
            {"key": cut(one.field.name), "value": any_value(plain(value))}
            for one in readings
            if (value := one.of(resource, buf, row)) is not None
        ],
    }


def _shown(asking: Asking) -> list[Field]:
    """What spans are shown with: what was asked of them, and what was selected."""
    fields = [*_asked_of(asking.wanted), *asking.select]
    hidden = ("name", "duration", "id", "parentID", "traceID", "nestedSetParent")
    return [
        field
        for field in dict.fromkeys(fields)
        if field.scope != "trace" and not (field.scope == "intrinsic" and field.name in hidden)
    ]


def _asked_of(wanted: Any) -> Iterator[Field]:
    if isinstance(wanted, Some):
        yield from _asked_of(wanted.tree)
    elif isinstance(wanted, Compare):
        yield wanted.field
    elif isinstance(wanted, Not):
        yield from _asked_of(wanted.inner)
    else:
        for part in getattr(wanted, "parts", ()):
            yield from _asked_of(part)


def _summary(summary: Summary, matched: _Matched) -> dict[str, Any]:
    matched.spans.sort(key=lambda one: one[0])
    return {
        "traceID": summary.trace_id.hex(),
        "rootServiceName": cut(summary.service),
        "rootTraceName": cut(summary.name),
        "startTimeUnixNano": str(summary.start),
        "durationMs": max(0, summary.end - summary.start) // 1_000_000,
        "spanSets": [{"spans": [one for _, one in matched.spans], "matched": matched.number}],
        "serviceStats": {
            cut(text(name)): {
                "spanCount": number,
                **({"errorCount": failed} if (failed := summary.failures.get(name, 0)) else {}),
            }
            for name, number in summary.services.items()
        },
    }


_TAGS = {
    "name": Field("intrinsic", "name"),
    "status": Field("intrinsic", "status"),
    "status.code": Field("intrinsic", "status"),
    "root.name": Field("trace", "rootName"),
    "root.service.name": Field("trace", "rootService"),
}


def _by_tags(tags: str) -> Asking:
    """logfmt; each value is looked for in the attribute, whatever its case."""
    parts: list[Tree] = [
        Compare(_TAGS.get(key) or Field("any", key), "has", value)
        for key, value in tempo_tags.logfmt(tags)
    ]
    return Asking(Some(Both(tuple(parts)) if parts else Truth()))


_HANDLERS: dict[tuple[str, ...], Callable[[Asked], Answer]] = {
    ("echo",): _echo,
    ("status", "buildinfo"): _buildinfo,
    ("search",): _search,
}
