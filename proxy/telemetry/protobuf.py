"""Protobuf wire format, as much of it as OTLP needs to be written, and nothing to read it.

Knows field numbers of AnyValue and KeyValue (opentelemetry/proto/common/v1/common.proto) and no
other message. Everything here returns bytes that can be concatenated, which is what makes it
possible to encode the constants of a route once and the rest of a span around them. What is needed
for every span is in kernel/pen.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from proxy.kernel.pen import DELIMITED as DELIMITED
from proxy.kernel.pen import FIXED32 as FIXED32
from proxy.kernel.pen import FIXED64 as FIXED64
from proxy.kernel.pen import TEXT_LIMIT as TEXT_LIMIT
from proxy.kernel.pen import VARINT as VARINT
from proxy.kernel.pen import IntAttribute as IntAttribute
from proxy.kernel.pen import TextAttribute as TextAttribute
from proxy.kernel.pen import delimited as delimited
from proxy.kernel.pen import text as text
from proxy.kernel.pen import varint as varint

Value = str | bytes | bool | int | float | Sequence[str]

_DOUBLE = struct.Struct("<d")


def tag(field: int, wire: int) -> bytes:
    return varint(field << 3 | wire)


def any_value(value: Value) -> bytes:
    """The content of an AnyValue message."""
    if isinstance(value, str | bytes):
        return delimited(1, text(value))
    if isinstance(value, bool):
        return tag(2, VARINT) + varint(value)
    if isinstance(value, int):
        return tag(3, VARINT) + varint(value)
    if isinstance(value, float):
        return tag(4, FIXED64) + _DOUBLE.pack(value)
    return delimited(5, b"".join(delimited(1, any_value(item)) for item in value))


def key_value(key: str, value: Value) -> bytes:
    """A KeyValue message with its length, to be put behind the tag of the field it goes into."""
    content = delimited(1, text(key)) + delimited(2, any_value(value))
    return varint(len(content)) + content


def attributes(field: int, pairs: Iterable[tuple[str, Value]]) -> bytes:
    """KeyValues as entries of the repeated field `field`, one after the other."""
    head = tag(field, DELIMITED)
    return b"".join([head + key_value(key, value) for key, value in pairs])
