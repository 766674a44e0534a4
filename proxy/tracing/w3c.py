"""W3C Trace Context: `traceparent` and `tracestate`, from header values and back.

Knows nothing of trust, sampling or other formats. Rules: W3C Trace Context Level 2 §3 with the
tracestate key grammar of June 2026 (w3c/trace-context PR 584).
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.kernel.hexes import parent_fields, split_parent
from proxy.kernel.states import MAX_MEMBERS, mentions, plain_members
from proxy.tracing.context import TraceContext

# §3.3.1.5 asks for 512 at least. Half of the 8 KiB that nginx and Apache accept for one header
# line, so that what we pass on is never the reason for a 431 further down.
MAX_STATE = 4096
MAX_PARTS = 256  # empty members are allowed; sixty thousand of them cost 4 ms to look at
LONG_MEMBER = 128  # §3.3.1.5: longer members go first when a tracestate is cut

Pair = tuple[bytes, bytes]

_OWS = b" \t"
_VERSIONS = frozenset(b"%02x" % n for n in range(255))  # ff is forbidden, §3.2.2.1


def extract(fields: Mapping[bytes, bytes]) -> TraceContext | None:
    """The caller's context, or None where `traceparent` is absent or invalid.

    A tracestate that cannot be used is dropped alone (§3.3); without a traceparent it is ignored.
    """
    header = fields.get(b"traceparent")
    if header is None:
        return None
    context = parse_parent(header)
    if context is not None:
        state = fields.get(b"tracestate")
        if state is not None:
            context.state = parse_state(state)
    return context


def parse_parent(header: bytes) -> TraceContext | None:
    """A `traceparent` value as a context without state; None if it is invalid (§3.2)."""
    parts = split_parent(header)
    if parts is None:
        return _parse_unusual(header)
    trace_id, span_id, flags = parts
    # Without a call of __init__ it takes half as long where compiled (benchmarks/micro_tracing.py).
    context = TraceContext.__new__(TraceContext)
    context.trace_id = trace_id
    context.span_id = span_id
    context.sampled = flags & 1 == 1
    context.debug = False
    context.random = flags & 2 == 2  # bits that we do not know are ignored, §3.2.2.5
    context.state = b""
    context.format = 0
    return context


def _parse_unusual(header: bytes) -> TraceContext | None:
    """Values with white space around them, and versions above 00, read by their first 55 bytes."""
    value = header.strip(_OWS)
    version = value[:2]
    if version == b"00":
        return parse_parent(value) if len(value) == 55 and value != header else None
    known = value[:55]
    if version not in _VERSIONS or len(known) != 55 or value[55:56] not in (b"", b"-"):
        return None
    return parse_parent(b"00" + known[2:]) if known.count(b"-") == 3 and known[52] == 45 else None


def parse_state(header: bytes) -> bytes:
    """A usable tracestate, fit to be passed on (§3.3.1); b"" if there is none or it is invalid.

    Members keep their order and their duplicates; empty ones go; an overlong state is cut.
    """
    value = header.strip(_OWS)
    if not plain_members(value):  # which nearly every one is
        if value.count(b",") >= MAX_PARTS:
            return b""
        members = _members(value)
        if len(members) > MAX_MEMBERS or not _are_members(members):
            return b""
        value = b",".join(members)
    return value if len(value) <= MAX_STATE else cut_state(value, MAX_STATE)


def _are_members(members: list[bytes]) -> bool:
    return all(plain_members(entry) == 1 for entry in members)


def cut_state(state: bytes, limit: int) -> bytes:
    """`state` in at most `limit` bytes: whole members only, the long ones go first (§3.3.1.5)."""
    members = _members(state)
    size = sum(map(len, members)) + len(members) - 1
    for shortest in (LONG_MEMBER + 1, 0):
        for index in range(len(members) - 1, -1, -1):
            if size <= limit:
                return b",".join(members)
            if len(members[index]) >= shortest:
                size -= len(members.pop(index)) + 1
    return b",".join(members)


def put_first(state: bytes, key: bytes, value: bytes) -> bytes:
    """`state` with the member `key` replaced by one at the left, or only removed if value is b"".

    A changed member moves to the front; what overflows is dropped at the right (§3.5).
    """
    prefix = key + b"="
    members = [m for m in _members(state) if not m.startswith(prefix)]
    if value:
        members.insert(0, prefix + value)
    return cut_state(b",".join(members[:MAX_MEMBERS]), MAX_STATE)


def member(state: bytes, key: bytes) -> bytes:
    """The value of the first member called `key`; b"" if there is none."""
    prefix = key + b"="
    if mentions(state, prefix):
        for entry in _members(state):
            if entry.startswith(prefix):
                return entry[len(prefix) :]
    return b""


def _members(state: bytes) -> list[bytes]:
    return [m for m in (part.strip(_OWS) for part in state.split(b",")) if m]


def inject(
    trace_id: bytes, span_id: bytes, sampled: bool, random: bool, context: TraceContext | None
) -> list[Pair]:
    """`traceparent`, and `tracestate` where the context has one; always version 00."""
    state = b"" if context is None else context.state
    return parent_fields(trace_id, span_id, sampled + random + random, state)


def inject_plain(
    trace_id: bytes, span_id: bytes, sampled: bool, random: bool, context: TraceContext | None
) -> list[Pair]:
    """The same without the random flag, as level 1 writes it."""
    return inject(trace_id, span_id, sampled, False, context)
