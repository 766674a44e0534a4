"""`/api/traces` and `/api/traces/{id}`: what is found of traces, and one of them whole."""

from __future__ import annotations

import re

from proxy.recent.desk import Answer, Asked, refusal, reply, unknown
from proxy.recent.otlpjson import traces_data
from proxy.recent.query import query_of, word
from proxy.recent.search import records_of, search, trace_of
from proxy.recent.show import found_as_json, trace_as_json

_ID = re.compile(r"[0-9a-fA-F]{32}")


def answer(asked: Asked) -> Answer:
    """To a question whose path begins with these two words."""
    if len(asked.path) == 2:
        return _found(asked)
    return _trace(asked) if len(asked.path) == 3 else unknown(asked)


def _found(asked: Asked) -> Answer:
    found = yield from search(asked.store, query_of(asked.params, asked.now))
    return reply(found_as_json(found))


def _trace(asked: Asked) -> Answer:
    yield
    trace_id = _id_of(asked.path[2])
    spans = trace_of(asked.store, trace_id)
    if not spans:
        return refusal(404, "no such trace is here; it may have made room for newer ones")
    yield
    if word(asked.params, "format") == "otlp":
        return reply(traces_data(spans))
    records = records_of(asked.store, trace_id)
    yield
    return reply(trace_as_json(spans, records, asked.about.trace_url))


def _id_of(text: str) -> bytes:
    """16 bytes; ValueError for what is no trace id."""
    if not _ID.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no trace id: 32 hexadecimal digits")
    return bytes.fromhex(text)
