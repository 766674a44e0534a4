"""Match: which conditions of a query a span fulfils, told by its bytes.

An attribute that is a text or a whole number is looked for as the bytes that OTLP has for it, so
that no span is decoded. Each condition is a bit; a trace fits when all bits are there, whichever
of its spans has brought them.

Source: opentelemetry-proto common/v1, KeyValue: key = 1, value = 2; AnyValue: string_value = 1,
bool_value = 2, int_value = 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxy.kernel.spanscan import Row
from proxy.recent.model import Value, text
from proxy.recent.query import FOREVER, Query
from proxy.telemetry.protobuf import delimited, varint

Condition = Callable[[str, bytes, bytes, "Row"], bool]  # service, buffer, its lower case, row

_PAIR = re.compile(r"([\w.\-/]{1,200})=(.{1,512})")
_HEX = re.compile(r"[0-9a-f]{4,32}")


class Match:
    """One query's conditions."""

    __slots__ = ("_all", "_conditions", "_folded", "_hex", "_lower", "_query", "looks")

    def __init__(self, query: Query) -> None:
        self._query = query
        self._hex = query.text.lower() if _HEX.fullmatch(query.text.lower()) else ""
        self._conditions = _conditions(query)
        self._all = (1 << len(self._conditions)) - 1
        self._folded: tuple[bytes, bytes] = (b"", b"")
        self._lower = bool(query.text)
        self.looks = bool(self._conditions)

    def bits(self, resource: Mapping[str, Value], buf: bytes, row: Row) -> int:
        """The conditions that this span fulfils."""
        service = text(resource.get("service.name", ""))
        lower = self._fold(buf) if self._lower else b""
        found = 0
        for place, condition in enumerate(self._conditions):
            if condition(service, buf, lower, row):
                found |= 1 << place
        return found

    def takes(self, trace_id: bytes, trace: Any) -> bool:
        """Whether that trace fits, of which all spans were looked at."""
        if not is_within(self._query, trace):
            return False
        if trace.fits == self._all:
            return True
        # The text is the last condition, if there is one; an id may stand for it.
        rest = self._all & ~trace.fits
        by_id = self._hex and rest == 1 << len(self._conditions) - 1
        return bool(by_id) and trace_id.hex().startswith(self._hex)

    def _fold(self, buf: bytes) -> bytes:
        if self._folded[0] is not buf:
            self._folded = (buf, buf.lower())
        return self._folded[1]


def is_within(query: Query, trace: Any) -> bool:
    """Whether time, duration and failures of that trace are what is asked for."""
    return (
        query.error in (None, bool(trace.errors))
        and query.since <= trace.end
        and trace.start <= query.until
        and query.shortest <= trace.end - trace.start <= query.longest
    )


def _conditions(query: Query) -> list[Condition]:
    found: list[Condition] = []
    if query.route:
        said = ("spangate.route", "http.route", "url.template")
        found.append(_any([one for key in said for one in pair(key, query.route)]))
    spanwise = [_service(query.service)] if query.service else []
    if query.operation:
        spanwise.append(_operation(query.operation))
    if query.shortest_span or query.longest_span < FOREVER:
        spanwise.append(_lasting(query.shortest_span, query.longest_span))
    spanwise += [_any(pair(key, value)) for key, value in query.tags.items()]
    if len(spanwise) == 1:
        found.append(spanwise[0])
    elif spanwise:  # of one and the same span
        found.append(lambda *span: all(condition(*span) for condition in spanwise))
    if query.text:
        found.append(_text(query.text))
    return found


def pair(key: str, value: str) -> list[bytes]:
    """What a KeyValue is that says so: a text, or what the text may stand for."""
    named = delimited(1, key.encode("utf-8", "replace"))
    values = [delimited(1, value.encode("utf-8", "replace"))]
    if value in ("true", "false"):
        values.append(b"\x10" + varint(value == "true"))
    elif re.fullmatch(r"-?\d{1,18}", value):
        values.append(b"\x18" + varint(int(value) & (1 << 64) - 1))
    return [named + delimited(2, value) for value in values]


def _any(needles: list[bytes]) -> Condition:
    def fits(service: str, buf: bytes, lower: bytes, row: Row) -> bool:
        return any(buf.find(needle, row[8], row[9]) >= 0 for needle in needles)

    return fits


def _service(name: str) -> Condition:
    called = _any(pair("peer.service", name))

    def fits(service: str, buf: bytes, lower: bytes, row: Row) -> bool:
        return service == name or called(service, buf, lower, row)

    return fits


def _operation(name: str) -> Condition:
    wanted = name.encode("utf-8", "replace")
    return lambda service, buf, lower, row: row[3] == wanted


def _lasting(shortest: int, longest: int) -> Condition:
    return lambda service, buf, lower, row: shortest <= row[6] - row[5] <= longest


def _text(wanted: str) -> Condition:
    needle = wanted.encode("utf-8", "replace").lower()
    exact = _PAIR.fullmatch(wanted)
    named = _any(pair(exact[1], exact[2])) if exact else None

    def fits(service: str, buf: bytes, lower: bytes, row: Row) -> bool:
        if lower.find(needle, row[8], row[9]) >= 0 or wanted.lower() == service.lower():
            return True
        return named is not None and named(service, buf, lower, row)

    return fits
