"""The messages of OTLP as the kernel's readers know them: numbers, types, names, which are ids.

Read from the generated classes, so that there is one truth about them. A field that would not fit
(a number above 31, a type that OTLP never had) is an error when this is imported.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from proxy.kernel.wire import Schema
from proxy.otlp.messages import REQUESTS
from proxy.otlp.wire import PATHS

# As the kernel numbers them (kernel/wire.pxd).
_REPEATED, _PRESENCE, _ONEOF, _PART, _ITEM = 1, 2, 4, 8, 16
_IDS = {"trace_id": 32, "span_id": 64, "parent_span_id": 128}
_ROLES = {"Span": 1, "Link": 2, "LogRecord": 3, "Exemplar": 3, "Metric": 4}
_TYPES = frozenset((1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18))


_Field = tuple[int, int, int, int, bytes]  # number, type, flags, the message's place, JSON name


def schema(signal: str) -> Schema:
    """All messages of that signal's request."""
    top = REQUESTS[signal].DESCRIPTOR
    places: dict[Any, int] = {top: 0}
    steps = _steps(top, signal)
    plans: list[tuple[int, list[_Field]]] = []
    queue = [top]
    for message in queue:  # which grows meanwhile
        entries: list[_Field] = []
        for field in message.fields:
            child = field.message_type
            if child is not None and child not in places:
                places[child] = len(queue)
                queue.append(child)
            flags = _flags(field) | steps.get((message, field.number), 0)
            place = places[child] if child is not None else 0
            entries.append((field.number, _type(field), flags, place, field.json_name.encode()))
        plans.append((_ROLES.get(message.name, 0), entries))
    return Schema(plans)


def _steps(message: Any, signal: str) -> dict[tuple[Any, int], int]:
    """The fields on the way down to the items: they are counted."""
    found: dict[tuple[Any, int], int] = {}
    level = {message}
    path = PATHS[signal]
    for depth, numbers in enumerate(path):
        is_last = depth == len(path) - 1
        below = set()
        for one in level:
            for number in numbers:
                # A metric's kinds are no level of their own: their points are its.
                counted = signal != "metrics" or depth != 3
                found[one, number] = _PART | (_ITEM if is_last else 0) if counted else 0
                below.add(one.fields_by_number[number].message_type)
        level = below
    return found


def _type(field: Any) -> int:
    kind = int(field.type)
    if kind not in _TYPES or field.number > 31:
        raise ValueError(f"{field.full_name} is of a type or number that OTLP never had")
    return kind


def _flags(field: Any) -> int:
    flags = _IDS.get(field.name, 0) if field.type == FieldDescriptor.TYPE_BYTES else 0
    if field.is_repeated:
        flags |= _REPEATED
    if field.has_presence:
        flags |= _PRESENCE
    oneof = field.containing_oneof
    if oneof is not None and len(oneof.fields) > 1:
        flags |= _ONEOF
    return flags


SCHEMAS = {signal: schema(signal) for signal in REQUESTS}
