"""What a request holds: one message, or a batch of them as a JSON list or as lines of JSON.

Each of a batch is a table: `value` (any JSON, written as JSON; null = a tombstone), or `text`, or
`base64`; and, if it likes, `key` and `headers`. One that is wrong is told apart, and keeps nobody
else from being written.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from proxy.messaging.message import Message, NotWritten
from proxy.tracing.propagate import TRACE_FIELDS

MOST = 10_000  # messages of one batch
LINES = ("application/x-ndjson", "application/jsonl", "application/json-lines")
JSON = ("content-type", b"application/json")

_KEYS = {"value", "text", "base64", "key", "headers"}
_KINDS = ("value", "text", "base64")


def messages(
    body: bytes, kind: str, carried: Sequence[tuple[str, bytes]]
) -> list[Message | NotWritten]:
    """Those of a batch; `carried`: headers that all of them get. NotWritten for what is none."""
    try:
        items = list(_items(body, kind))
    except ValueError as error:
        raise NotWritten(400, "malformed", f"the batch is no JSON: {error}") from None
    if len(items) > MOST:
        raise NotWritten(413, "too_many", f"a batch has at most {MOST} messages")
    return [_message(item, carried) for item in items]


def _items(body: bytes, kind: str) -> Iterator[Any]:
    if kind in LINES:
        for line in body.split(b"\n"):
            if line.strip():
                try:
                    yield msgspec.json.decode(line)
                except (ValueError, RecursionError) as error:
                    yield NotWritten(400, "malformed", f"the line is no JSON: {error}")
        return
    found = _decoded(body)
    if not isinstance(found, list):
        raise NotWritten(400, "malformed", "a batch is a JSON list, or lines (x-ndjson)")
    yield from found


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise NotWritten(400, "malformed", "the batch is nested too deeply") from None


def _message(item: Any, carried: Sequence[tuple[str, bytes]]) -> Message | NotWritten:
    if isinstance(item, NotWritten):
        return item
    try:
        if not isinstance(item, dict):
            raise ValueError("a message of a batch is a JSON object")
        if unknown := item.keys() - _KEYS:
            raise ValueError(f"{min(unknown)!r} is nothing of a message")
        said = [kind for kind in _KINDS if kind in item]
        if len(said) != 1:
            raise ValueError("a message has one of value, text, base64")
        headers = [*carried, *_headers(item.get("headers", {}))]
        if said[0] == "value" and item["value"] is not None:
            headers.append(JSON)
        return Message(_value(said[0], item[said[0]]), _key(item.get("key")), headers)
    except (ValueError, RecursionError) as error:
        return NotWritten(400, "malformed", str(error)[:200])


def _value(kind: str, value: Any) -> bytes | None:
    if kind == "value":
        return None if value is None else msgspec.json.encode(value)
    if not isinstance(value, str):
        raise ValueError(f"`{kind}` is a string")
    if kind == "text":
        return value.encode()
    try:
        return binascii.a2b_base64(value.encode(), strict_mode=True)
    except binascii.Error as error:
        raise ValueError(f"`base64`: {error}") from None


def _key(key: Any) -> bytes | None:
    if key is not None and not isinstance(key, str):
        raise ValueError("`key` is a string")
    return None if key is None else key.encode()


def _headers(headers: Any) -> Iterator[tuple[str, bytes]]:
    if not isinstance(headers, dict):
        raise ValueError("`headers` is an object")
    for name, value in headers.items():
        if not isinstance(value, str) or not name:
            raise ValueError("`headers` has strings by their names")
        if name.lower().encode() in TRACE_FIELDS:
            raise ValueError(f"{name} is the gateway's to write")
        yield name, value.encode()
