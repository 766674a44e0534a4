"""Tap: requests as they end, told to who watches, by their access records.

A record is written when everything about its request is known, so filters may ask for its status
and how long it took. What is more than anybody reads is left out and counted: `take` looks at
MOST_LOOKED records, and each viewer gets MOST_TOLD of them, in each call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import translate
from typing import Any

from proxy.kernel.spanscan import pick
from proxy.otlp.wire import fields
from proxy.recent.decode import record_at
from proxy.recent.query import FOREVER, MOST, Params, milliseconds, moment, truth, whole, word
from proxy.recent.ring import Stored

MOST_LOOKED = 2000
MOST_TOLD = 100
MOST_TEXT = 2048
STEP = 16

_ATTRIBUTES = 6  # field of a log record
_KEYS = (
    "http.request.method", "url.path", "url.query", "server.address", "server.port",
    "http.response.status_code", "spangate.route", "http.route", "spangate.upstream",
    "spangate.endpoint", "spangate.attempts", "spangate.duration_ms", "error.type",
    "client.address", "spangate.left_out",
)  # fmt: skip
_PLACES = {key.encode(): place for place, key in enumerate(_KEYS)}
_STATUS = re.compile(r"[1-5](?:xx|\d\d)|0", re.IGNORECASE)

# What `q` is looked for in.
_WORDS = (
    "method", "path", "query", "host", "status", "route", "template", "upstream", "address",
    "error", "client",
)  # fmt: skip

Event = dict[str, Any]
_Test = Callable[[Event], bool]


class Filter:
    """Which requests somebody wants to see. ValueError, in words, for what cannot be understood."""

    __slots__ = ("_tests",)

    def __init__(self, params: Params) -> None:
        known = {
            "route", "service", "status", "min_ms", "min", "path", "method", "error", "q",
            "since", "limit",
        }  # fmt: skip
        if unknown := sorted(params.keys() - known):
            raise ValueError(f"unknown parameter {unknown[0]!r}; known: {', '.join(sorted(known))}")
        moment(params, "since", FOREVER, 0)  # whoever watches sees what comes, and so all of that
        whole(params, "limit", 1, MOST)  # is counted by who sends (`admin/live.py`)
        self._tests = [*_tests(params)]

    def takes(self, event: Event) -> bool:
        return all(test(event) for test in self._tests)


def _tests(params: Params) -> list[_Test]:
    found: list[_Test] = []
    if route := word(params, "route"):
        found.append(lambda event: route in (event["route"], event["template"]))
    if service := word(params, "service"):
        found.append(lambda event: event["upstream"] == service)
    if (error := truth(params, "error")) is not None:
        found.append(lambda event: bool(event["error"] or event["status"] >= 500) == error)
    if status := word(params, "status"):
        found.append(_status(status))
    if path := word(params, "path"):
        matches = re.compile(translate(path)).match
        found.append(lambda event: matches(event["path"]) is not None)
    if method := word(params, "method"):
        methods = {one.strip().upper() for one in method.split(",")}
        found.append(lambda event: event["method"] in methods)
    if text := word(params, "q").lower():
        found.append(lambda event: any(text in str(event[key]).lower() for key in _WORDS))
    shortest = max(milliseconds(params, "min_ms", 0), milliseconds(params, "min", 0)) / 1e6
    if shortest:
        found.append(lambda event: event["duration_ms"] >= shortest)
    return found


def _status(text: str) -> _Test:
    words = [one.strip().lower() for one in text.split(",")]
    for one in words:
        if not _STATUS.fullmatch(one):
            raise ValueError(f"status is {one[:20]!r}; write 404, 5xx, or several with commas")
    exact = {one for one in words if not one.endswith("xx")}
    classes = {one[0] for one in words if one.endswith("xx")}

    def fits(event: Event) -> bool:
        status = str(event["status"])
        return status in exact or status[0] in classes

    return fits


class Viewer:
    """One who watches. `tell` gets lines of JSON, and how many requests were left out."""

    __slots__ = ("filter", "missed", "tell")

    def __init__(self, params: Params, tell: Callable[[Sequence[str], int], None]) -> None:
        self.filter = Filter(params)
        self.tell = tell
        self.missed = 0


def take(batches: Sequence[Stored], viewers: Sequence[Viewer]) -> Iterator[None]:
    """Tell the viewers of the access records in these batches, the latest of them at least.

    In steps of STEP records, less than half a millisecond each: a worker may wait for this core.
    """
    found = [
        (stored.data, start, stop)
        for stored in batches
        if stored.is_own and stored.signal == "logs"
        for number, wire, _, start, stop in fields(stored.data, 0, len(stored.data))
        if number == 2 and wire == 2
    ]
    skipped = max(0, len(found) - MOST_LOOKED)
    told: list[list[str]] = [[] for _ in viewers]
    for place, (buf, start, stop) in enumerate(found[skipped:]):
        if place % STEP == STEP - 1:
            yield
        event = _event(buf, start, stop)
        missed = event.pop("left_out")
        line = ""
        for viewer, lines in zip(viewers, told, strict=True):
            viewer.missed += missed
            if not viewer.filter.takes(event):
                continue
            if len(lines) >= MOST_TOLD:
                viewer.missed += 1
                continue
            line = line or _line(event, buf, start, stop)
            lines.append(line)
    for viewer, lines in zip(viewers, told, strict=True):
        missed, viewer.missed = viewer.missed + skipped, 0
        if lines or missed:
            viewer.tell(lines, missed)


def _event(buf: bytes, start: int, stop: int) -> Event:
    """What filters ask for."""
    picked = pick(buf, start, stop, _ATTRIBUTES, _PLACES)
    method, path, query, host, port, status, route, template, upstream, *rest = picked
    address, attempts, took, error, client, left_out = rest
    return {
        "method": _text(method),
        "path": _text(path),
        "query": _text(query),
        "host": _text(host) + (f":{port}" if isinstance(port, int) else ""),
        "status": status if isinstance(status, int) else 0,
        "route": _text(route) or _text(template),
        "template": _text(template),
        "upstream": _text(upstream),
        "address": _text(address),
        "tries": attempts if isinstance(attempts, int) else 0,
        "duration_ms": took if isinstance(took, float) else 0.0,
        "error": _text(error),
        "client": _text(client),
        "left_out": left_out if isinstance(left_out, int) else 0,
    }


def _line(event: Event, buf: bytes, start: int, stop: int) -> str:
    """The same with what takes more to read, as a line of JSON."""
    record = record_at(buf, start, stop)
    told = {key: value for key, value in event.items() if key != "template"}
    told["time_unix_ms"] = record.time / 1e6
    told["trace_id"] = record.trace_id.hex()
    told["span_id"] = record.span_id.hex()
    told["sampled"] = bool(record.flags & 1)
    return json.dumps(told, separators=(",", ":"))


def _text(value: object) -> str:
    return value[:MOST_TEXT].decode("utf-8", "replace") if isinstance(value, bytes) else ""
