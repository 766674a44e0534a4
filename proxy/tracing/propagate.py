"""The table of propagation formats, and the two that walk it: Extractor and Injector.

A format is one row of `FORMATS`. W3C, which nearly everybody has configured first, is called by
its name: that is an eighth of the price of a call through the table where both are compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.http.headers import TRACE, bits, own
from proxy.kernel.hexes import parent_fields
from proxy.kernel.scan import Head
from proxy.tracing import b3, w3c
from proxy.tracing.brought import NOTHING, trusted_as, unread, untrusted_as
from proxy.tracing.context import TraceContext
from proxy.tracing.w3c import extract as extract_w3c
from proxy.tracing.w3c import parse_parent, parse_state

PARENT, STATE = own(b"traceparent"), own(b"tracestate")
_PARENT, _STATE, _CONTEXT = bits([PARENT]), bits([STATE]), bits(TRACE)

STATE_WITHHELD, ALL_WITHHELD = 1, 2

Pair = tuple[bytes, bytes]
Extract = Callable[[Mapping[bytes, bytes]], TraceContext | None]
Inject = Callable[[bytes, bytes, bool, bool, TraceContext | None], list[Pair]]


@dataclass(frozen=True, slots=True)
class Format:
    """How one format is read and written, and which header fields belong to it (lower case)."""

    extract: Extract
    inject: Inject
    inject_plain: Inject  # for those who know no flag but sampled
    fields: frozenset[bytes]


FORMATS: dict[str, Format] = {
    "w3c": Format(
        w3c.extract, w3c.inject, w3c.inject_plain, frozenset({b"traceparent", b"tracestate"})
    ),
    "b3": Format(
        b3.extract, b3.inject_single, b3.inject_single, b3.SINGLE_FIELDS | b3.MULTI_FIELDS
    ),
    "b3multi": Format(b3.extract_multi, b3.inject_multi, b3.inject_multi, b3.MULTI_FIELDS),
}

# Removed from every request before our own are written, whatever the formats configured: a field
# left over from the caller would contradict ours.
TRACE_FIELDS: frozenset[bytes] = frozenset().union(*(row.fields for row in FORMATS.values()))


class Extractor:
    """Reads a request's context: the first valid format in the configured order wins.

    `formats` are names from FORMATS; another raises KeyError. `extract(fields)` takes the field
    values by lower-case name, those that came several times joined with ", ".
    """

    __slots__ = ("_reads", "_rows", "_w3c_first")

    def __init__(self, formats: Sequence[str]) -> None:
        rows = tuple(FORMATS[name].extract for name in formats)
        self._reads = frozenset(formats)
        self._w3c_first = rows[:1] == (w3c.extract,)
        self._rows: tuple[Extract, ...] = rows[1:] if self._w3c_first else rows

    def extract(self, fields: Mapping[bytes, bytes]) -> TraceContext | None:
        """The context of a request, or None."""
        if self._w3c_first:
            context = extract_w3c(fields)
            if context is not None:
                return context
        for row in self._rows:
            context = row(fields)
            if context is not None:
                return context
        return None

    def read(self, head: Head, seen: int) -> TraceContext | None:
        """As `extract` with the fields of a head, of which `seen` has the bits."""
        # without a dict 700 less, uncompiled with fewer calls 1,500 (make bench-check)
        if self._w3c_first and seen & _PARENT:
            header = head.field(PARENT)
            context = parse_parent(header) if header is not None else None
            if context is not None:
                state = head.field(STATE) if seen & _STATE else None
                if state is not None:
                    context.state = parse_state(state)
                return context
        return self.extract(head.some(_CONTEXT)) if seen & _CONTEXT else None

    def brought(self, context: TraceContext | None, trusted: bool, head: Head, seen: int) -> int:
        """An index of brought.BROUGHT: what the head had, of which `read` has made `context`."""
        if context is None:
            return unread(head.some(_CONTEXT), self._reads) if seen & _CONTEXT else NOTHING
        return trusted_as(context) if trusted else untrusted_as(context)


class Injector:
    """Writes a context in every configured format, as (lower-case name, value) pairs.

    `inject(trace_id, span_id, sampled, random, context)`: ids as hex bytes, `span_id` of the span
    that makes the call, `context` what was received, for what it adds (tracestate, debug).
    `random_flag`: write that flag of W3C level 2; `state`: pass tracestate on. `withheld`: what
    whoever is called does not get, 0 or one of the two below.
    """

    __slots__ = ("_random_flag", "_rows", "_state", "_w3c_only", "withheld")

    def __init__(
        self, formats: Sequence[str], *, random_flag: bool = True, state: bool = True
    ) -> None:
        rows = [FORMATS[name] for name in formats]
        self._rows = tuple(row.inject if random_flag else row.inject_plain for row in rows)
        self._w3c_only = list(formats) == ["w3c"]
        self._random_flag = random_flag
        self._state = state
        self.withheld = (0 if state else STATE_WITHHELD) if formats else ALL_WITHHELD

    def inject(
        self,
        trace_id: bytes,
        span_id: bytes,
        sampled: bool,
        random: bool,
        context: TraceContext | None,
    ) -> list[Pair]:
        """The fields to send."""
        if self._w3c_only:
            flags = sampled + 2 * (random and self._random_flag)
            state = context.state if context is not None and self._state else b""
            return parent_fields(trace_id, span_id, flags, state)
        pairs: list[Pair] = []
        for row in self._rows:
            pairs += row(trace_id, span_id, sampled, random, context)
        return pairs if self._state else [pair for pair in pairs if pair[0] != b"tracestate"]
