"""Desk: what is asked of recent telemetry, answered in steps.

`ask` gives a generator: it yields None where the loop may have its turn, or a future that has to be
waited for before the next step, and returns a Reply. What a path or a parameter names of traces on
disk is at hand before anybody answers. Paths that are not here are somebody else's. Everything is
GET, and changes nothing.

/api/traces, /api/traces/{id}     proxy/recent/listed.py
/api/map                          proxy/recent/map.py
/jaeger/…, /zipkin/…, /tempo/…    what those projects' tools ask, each in a module of its own
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from proxy.recent.query import MOST, Params
from proxy.recent.ring import Store
from proxy.recent.view import Archive, Step, View, recall

JSON = "application/json; charset=utf-8"
MOST_PARAMETERS = 64

_ANY_ID = re.compile(r"[0-9a-fA-F]{1,32}")
_TRACES = ("traceID", "traceIds")  # parameters that name some


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of HTTP."""

    status: int
    body: bytes
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class About:
    """What is known of the configuration."""

    trace_url: str = ""  # of [ui]: where a trace is kept for good; has {trace_id} in it
    w3c_sent: bool = True  # whether upstreams are sent W3C trace context
    receives: bool = False  # whether applications can send their spans here


@dataclass(frozen=True, slots=True)
class Asked:
    """A question. `path` is unquoted segment by segment; `now` in Unix ns."""

    path: tuple[str, ...]
    params: Params
    accept: str
    now: int
    store: Store
    about: About = About()
    memory: Any = None  # what handlers keep from one question to the next (`Desk.memory`)


Answer = Generator[Step, None, Reply]
Handler = Callable[[Asked], Answer]

# Modules with `answer(asked) -> Answer`, imported when they are first asked.
_MODULES = {
    ("jaeger",): "proxy.recent.jaeger",
    ("zipkin",): "proxy.recent.zipkin",
    ("tempo",): "proxy.recent.tempo",
    ("api", "traces"): "proxy.recent.listed",
    ("api", "map"): "proxy.recent.map",
    ("api", "doctor"): "proxy.recent.examine",
}


class Desk:
    """Answers for one store, and for what is on disk of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.archive: Archive | None = None
        self.about = About()
        self.memory: dict[str, Any] = {}

    def ask(self, target: str, accept: str, now: int) -> Answer:
        """`target` is path and query of a URL; raises nothing."""
        if self.store.is_off:
            return refusal(404, "nothing is kept: [recent] size = 0")
        try:
            split = urlsplit(target)
            path = tuple(unquote(segment) for segment in split.path.strip("/").split("/"))
            params = parse_qs(split.query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
            store = View(self.store, self.archive) if self.archive is not None else self.store
            asked = Asked(path, params, accept, now, store, self.about, self.memory)
            yield from recall(store, _named(path, params))
            return (yield from _handler(path)(asked))
        except ValueError as error:
            return refusal(400, str(error))


def _named(path: tuple[str, ...], params: Params) -> list[bytes]:
    """The traces that a question is about, as far as it tells: ids of 64 bits are such of 128."""
    words = [
        path[-1],
        *(w for key in _TRACES for value in params.get(key, ()) for w in value.split(",")),
    ]
    return [bytes.fromhex(word.zfill(32)) for word in words[:MOST] if _ANY_ID.fullmatch(word)]


def _handler(path: tuple[str, ...]) -> Handler:
    for prefix, module in _MODULES.items():
        if path[: len(prefix)] == prefix:
            found: Handler = importlib.import_module(module).answer
            return found
    return unknown


def reply(value: Mapping[str, Any] | list[Any], status: int = 200) -> Reply:
    """As JSON; halves of surrogate pairs, which UTF-8 cannot hold, are escaped."""
    return Reply(status, json.dumps(value, separators=(",", ":")).encode())


def refusal(status: int, why: str) -> Reply:
    return reply({"error": why}, status)


def unknown(asked: Asked) -> Answer:
    """For a path that is nobody's."""
    yield
    return refusal(404, "there is no such thing here")
