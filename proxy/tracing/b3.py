"""B3, the propagation of Zipkin and older meshes: one `b3` header, or several `x-b3-…`.

Knows nothing of trust, sampling or other formats. Rules: openzipkin/b3-propagation README, and
where it is silent what its reference implementation (Brave) does, unless noted.

Upper-case hex is accepted and lowered: B3 says "lower-hex", yet Python and .NET tracers send and
accept upper case, and refusing it would cut a trace in two where the ids are plain to see. W3C is
not given this freedom, because there the specification demands that such a value is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.kernel.hexes import is_hex
from proxy.tracing.context import FORMATS, TraceContext

Pair = tuple[bytes, bytes]

SINGLE_FIELDS = frozenset({b"b3"})
MULTI_FIELDS = frozenset(
    {b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"}
)

SINGLE, MULTI = FORMATS.index("b3"), FORMATS.index("b3multi")

_OWS = b" \t"
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16
# state -> (sampled, debug)
_STATES: dict[bytes, tuple[bool, bool]] = {
    b"0": (False, False),
    b"1": (True, False),
    b"d": (True, True),
}
_SAMPLED = {b"0": False, b"1": True, b"false": False, b"true": True}  # words: early tracers


def extract(fields: Mapping[bytes, bytes]) -> TraceContext | None:
    """The single header before the several; they are read too where it is invalid."""
    header = fields.get(b"b3")
    if header is not None:
        context = parse_single(header)
        if context is not None:
            context.format = SINGLE
            return context
    return extract_multi(fields)


def parse_single(header: bytes) -> TraceContext | None:
    """`{trace}-{span}[-{state}][-{parent}]`, or a state alone; None if it is neither."""
    value = header.strip(_OWS)
    if value in _STATES:
        sampled, debug = _STATES[value]
        return TraceContext(b"", b"", sampled, debug=debug)
    trace_id, _, rest = value.partition(b"-")
    span_id, _, tail = rest.partition(b"-")
    context = _context(trace_id, span_id)
    if context is None or not tail:
        # no state: the decision is deferred; a dash that nothing follows is malformed
        return context if value.count(b"-") < 2 else None
    state, dash, parent = tail.partition(b"-")
    if state in _STATES:
        context.sampled, context.debug = _STATES[state]
        return context if not dash or is_hex(parent.lower(), 16) else None
    # The state is optional also where a parent follows (Brave; Go's SDK refuses it).
    return context if is_hex(tail.lower(), 16) else None


def extract_multi(fields: Mapping[bytes, bytes]) -> TraceContext | None:
    """The `x-b3-…` headers; a decision without ids is a context too.

    X-B3-ParentSpanId is not looked at: it names a span that is neither ours nor our parent's.
    """
    trace_id = fields.get(b"x-b3-traceid")
    said = fields.get(b"x-b3-sampled")
    debug = fields.get(b"x-b3-flags", b"").strip(_OWS) == b"1"
    if trace_id is None:
        if said is None and not debug:
            return None
        context = TraceContext(b"", b"", None)
    else:
        span_id = fields.get(b"x-b3-spanid", b"")
        parsed = _context(trace_id.strip(_OWS), span_id.strip(_OWS))
        if parsed is None:
            return None
        context = parsed
    context.format = MULTI
    if debug:  # implies accept, whatever X-B3-Sampled says
        context.sampled = context.debug = True
    elif said is not None:
        context.sampled = _SAMPLED.get(said.strip(_OWS))
        if context.sampled is None:
            return None
    return context


def _context(trace_id: bytes, span_id: bytes) -> TraceContext | None:
    trace_id = trace_id.lower()
    span_id = span_id.lower()
    if len(trace_id) == 16:
        trace_id = _NO_SPAN + trace_id  # the low 64 bits stay what they are
    if not (is_hex(trace_id, 32) and is_hex(span_id, 16)):
        return None
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, None)


def inject_single(
    trace_id: bytes, span_id: bytes, sampled: bool, random: bool, context: TraceContext | None
) -> list[Pair]:
    """One `b3` header with ids and state. B3 has no place for the random flag."""
    if not sampled:
        state = b"0"
    elif context is not None and context.debug:
        state = b"d"
    else:
        state = b"1"
    return [(b"b3", b"-".join((trace_id, span_id, state)))]


def inject_multi(
    trace_id: bytes, span_id: bytes, sampled: bool, random: bool, context: TraceContext | None
) -> list[Pair]:
    """X-B3-TraceId, -SpanId, and -Sampled or, in debug, -Flags; never -ParentSpanId.

    OpenTelemetry's propagators must not send the parent (api-propagators, B3 requirements).
    """
    if not sampled:
        decision = (b"x-b3-sampled", b"0")
    elif context is not None and context.debug:
        decision = (b"x-b3-flags", b"1")
    else:
        decision = (b"x-b3-sampled", b"1")
    return [(b"x-b3-traceid", trace_id), (b"x-b3-spanid", span_id), decision]
