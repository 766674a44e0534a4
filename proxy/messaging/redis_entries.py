"""Entries of streams as messages: `value` and `key` are fields, all others are headers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proxy.messaging.message import Taken

VALUE, KEY, TOMBSTONE = b"value", b"key", b"tombstone"
OWN = ("value", "key", "tombstone")


def read(topic: str, name: str, fields: Sequence[bytes]) -> Taken:
    value = key = None
    is_tombstone = False
    headers: list[tuple[str, bytes]] = []
    for field, content in zip(fields[::2], fields[1::2], strict=False):
        if field == VALUE:
            value = content
        elif field == KEY:
            key = content
        elif field == TOMBSTONE:
            is_tombstone = True
        else:
            headers.append((field.decode("utf-8", "replace"), content))
    if value is None and not is_tombstone:
        value, headers = _of_fields(headers)
    at = int(name.partition("-")[0] or 0)
    return Taken(topic, None, name, key, value, headers, at)


def _of_fields(headers: list[tuple[str, bytes]]) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The value of an entry that has no such field: all of them as JSON."""
    table = {name: content.decode("utf-8", "replace") for name, content in headers}
    return msgspec.json.encode(table), [*headers, ("content-type", b"application/json")]
