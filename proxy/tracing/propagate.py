"""The table of propagation formats, and the two that walk it: Extractor and Injector.

A format is one row of `FORMATS`. Both directions are chosen once per configuration, so that a
request pays one call where one format is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.tracing import b3, w3c
from proxy.tracing.context import TraceContext

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

    __slots__ = ("_rows", "extract")

    def __init__(self, formats: Sequence[str]) -> None:
        self._rows = tuple(FORMATS[name].extract for name in formats)
        self.extract: Extract = self._rows[0] if len(self._rows) == 1 else self._first_valid

    def _first_valid(self, fields: Mapping[bytes, bytes]) -> TraceContext | None:
        for row in self._rows:
            context = row(fields)
            if context is not None:
                return context
        return None


class Injector:
    """Writes a context in every configured format, as (lower-case name, value) pairs.

    `inject(trace_id, span_id, sampled, random, context)`: ids as hex bytes, `span_id` of the span
    that makes the call, `context` what was received, for what it adds (tracestate, debug).
    `random_flag`: write that flag of W3C level 2; `state`: pass tracestate on.
    """

    __slots__ = ("_rows", "inject")

    def __init__(
        self, formats: Sequence[str], *, random_flag: bool = True, state: bool = True
    ) -> None:
        rows = [FORMATS[name] for name in formats]
        self._rows = tuple(row.inject if random_flag else row.inject_plain for row in rows)
        self.inject: Inject = self._rows[0] if len(self._rows) == 1 else self._all
        if not state:
            self.inject = _without_state(self.inject)

    def _all(
        self,
        trace_id: bytes,
        span_id: bytes,
        sampled: bool,
        random: bool,
        context: TraceContext | None,
    ) -> list[Pair]:
        pairs: list[Pair] = []
        for row in self._rows:
            pairs += row(trace_id, span_id, sampled, random, context)
        return pairs


def _without_state(inject: Inject) -> Inject:
    def injected(
        trace_id: bytes, span_id: bytes, sampled: bool, random: bool, context: TraceContext | None
    ) -> list[Pair]:
        pairs = inject(trace_id, span_id, sampled, random, context)
        return [pair for pair in pairs if pair[0] != b"tracestate"]

    return injected
