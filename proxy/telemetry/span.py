"""One exchange as spans: bytes of `ScopeSpans.spans` entries (field 2), ready to be sent.

One SERVER span for the exchange and one CLIENT span for each attempt, which is its child. Names,
attributes and statuses come from the blocks; here they are put together with ids, times and the
few attributes that differ from request to request. Source: opentelemetry/proto/trace/v1, Span.

What time was spent on, as attributes of the SERVER span, in milliseconds, over all attempts:

spangate.phase.queue_ms       from the complete request head until a connection was at hand,
                              without dialling and without what earlier attempts took
spangate.phase.connect_ms     dialling; 0 on warm connections
spangate.phase.first_byte_ms  from the request head's writing to the response head
spangate.phase.overhead_ms    the gateway's own share: the whole time, less dialling and less
                              what passed between writing the head and the upstream's last byte
"""

from __future__ import annotations

from binascii import unhexlify
from struct import Struct

from proxy.telemetry.blocks import SPAN_ATTRIBUTES, ClientBlock, ServerBlock, because
from proxy.telemetry.facts import Attempt, Exchange
from proxy.telemetry.protobuf import (
    TextAttribute,
    Value,
    attributes,
    delimited,
    double_head,
    entry,
    text,
)
from proxy.telemetry.sources import Sources
from proxy.tracing.context import TraceContext

# Span.flags: bits 0–7 are the W3C trace flags, the others say what we know of the parent.
SAMPLED, RANDOM, HAS_IS_REMOTE, IS_REMOTE = 0x1, 0x2, 0x100, 0x200

# start_time_unix_nano (7), end_time_unix_nano (8), flags (16): tags 0x39, 0x41, 0x85 0x01
_TIMES = Struct("<BQBQHI")

_QUEUE, _CONNECT, _FIRST_BYTE, _OVERHEAD = (
    double_head(SPAN_ATTRIBUTES, f"spangate.phase.{name}_ms")
    for name in ("queue", "connect", "first_byte", "overhead")
)
_ALL_PHASES = Struct(
    "<" + "".join(f"{len(h)}sd" for h in (_QUEUE, _CONNECT, _FIRST_BYTE, _OVERHEAD))
)
_UNANSWERED = Struct("<" + "".join(f"{len(h)}sd" for h in (_QUEUE, _CONNECT, _OVERHEAD)))
_OWN_ONLY = Struct(f"<{len(_OVERHEAD)}sd")


class SpanEncoder:
    """Makes spans; holds only what it has encoded before."""

    __slots__ = ("_path", "_query", "_sources", "_url")

    def __init__(self) -> None:
        self._sources = Sources(SPAN_ATTRIBUTES)
        self._path = TextAttribute(SPAN_ATTRIBUTES, "url.path")
        self._query = TextAttribute(SPAN_ATTRIBUTES, "url.query")
        self._url = TextAttribute(SPAN_ATTRIBUTES, "url.full")

    def server(self, exchange: Exchange, block: ServerBlock, query: str) -> bytes:
        """The SERVER span; `query` without secrets."""
        flags = SAMPLED | HAS_IS_REMOTE
        if exchange.flags_random:
            flags |= RANDOM
        context = exchange.context
        ids = b"0a10%b1208%b" % (exchange.trace_id, exchange.span_id)
        if context is not None and context.span_id:
            ids += b"2208" + context.span_id
            flags |= IS_REMOTE
        wall = exchange.wall_ns
        end = wall + exchange.end - exchange.start
        sources = self._sources
        parts = [
            unhexlify(ids),
            _TIMES.pack(0x39, wall, 0x41, end, 0x0185, flags),
            because(block.span, exchange.why) if exchange.why else block.span,
            self._path.encode(text(exchange.path)),
            sources.asked(exchange),
            sources.sent_by(exchange),
            _phases(exchange),
        ]
        if query:
            parts.append(self._query.encode(text(query)))
        if context is not None and context.state:
            parts.append(delimited(3, text(context.state)))
        if exchange.link is not None or exchange.captured:
            parts.append(_rare(exchange))
        if block.other:
            parts.append(_original(exchange))
        return entry(b"".join(parts))

    def client(self, exchange: Exchange, attempt: Attempt, block: ClientBlock, query: str) -> bytes:
        """The CLIENT span of one attempt; `query` without secrets."""
        flags = SAMPLED | HAS_IS_REMOTE  # the parent, our SERVER span, is not remote
        if exchange.flags_random:
            flags |= RANDOM
        offset = exchange.wall_ns - exchange.start
        times = (attempt.start + offset, (attempt.end or exchange.end) + offset)
        url = block.url + (exchange.sent_path or exchange.path).encode("utf-8", "replace")
        if query:
            url += b"?" + query.encode("utf-8", "replace")
        parts = [
            unhexlify(
                b"0a10%b1208%b2208%b" % (exchange.trace_id, attempt.span_id, exchange.span_id)
            ),
            _TIMES.pack(0x39, times[0], 0x41, times[1], 0x0185, flags),
            because(block.span, attempt.why) if attempt.why else block.span,
            self._url.encode(text(url)),
        ]
        if attempt.peer is not None:
            parts.append(self._sources.peer(attempt.peer))
        if attempt.ordinal:
            parts.append(_resend(attempt))
        if block.other:
            parts.append(_original(exchange))
        context = exchange.context
        if context is not None and context.state:
            parts.append(delimited(3, text(context.state)))
        return entry(b"".join(parts))


def _phases(exchange: Exchange) -> bytes:
    """The attributes named at the top of this file, as far as they came to pass."""
    attempts = exchange.attempts
    total = exchange.end - exchange.start
    if not attempts:
        return _OWN_ONLY.pack(_OVERHEAD, total / 1e6)
    queue = attempts[0].start - exchange.start
    connect = first_byte = upstream = 0
    answered = False
    for attempt in attempts:
        if attempt.connected:
            connect += attempt.cost_connect
            queue += attempt.connected - attempt.start - attempt.cost_connect
        else:  # it ended while dialling
            connect += (attempt.end or exchange.end) - attempt.start
        if attempt.sent:
            upstream += (attempt.end or exchange.end) - attempt.sent
        if attempt.first_byte:
            first_byte += attempt.first_byte - attempt.sent
            answered = True
    own = (total - connect - upstream) / 1e6
    if answered:
        return _ALL_PHASES.pack(
            _QUEUE, queue / 1e6, _CONNECT, connect / 1e6, _FIRST_BYTE, first_byte / 1e6,
            _OVERHEAD, own,
        )  # fmt: skip
    return _UNANSWERED.pack(_QUEUE, queue / 1e6, _CONNECT, connect / 1e6, _OVERHEAD, own)


def _resend(attempt: Attempt) -> bytes:
    pairs: list[tuple[str, Value]] = [("http.request.resend_count", attempt.ordinal)]
    if attempt.retry_reason:
        pairs.append(("spangate.retry.reason", attempt.retry_reason))
    return attributes(SPAN_ATTRIBUTES, pairs)


def _original(exchange: Exchange) -> bytes:
    return attributes(SPAN_ATTRIBUTES, [("http.request.method_original", exchange.method)])


def _rare(exchange: Exchange) -> bytes:
    """Captured headers, custom attributes, and the link to a trace that was not believed."""
    # A field that came twice is one attribute with two values: keys must be unique.
    fields: dict[str, list[str]] = {}
    for key, value in exchange.captured:
        fields.setdefault(key, []).append(value)
    # Header fields are lists by convention; attributes of a user's own are what they read.
    block = attributes(
        SPAN_ATTRIBUTES,
        [(k, values if k.startswith("http.") else values[0]) for k, values in fields.items()],
    )
    link = exchange.link
    if link is None or not link.trace_id or not link.span_id:
        return block
    return block + _link(link)


def _link(context: TraceContext) -> bytes:
    """Span.links (13): trace_id 1, span_id 2, trace_state 3, flags 6 (fixed32)."""
    flags = HAS_IS_REMOTE | IS_REMOTE
    if context.sampled:
        flags |= SAMPLED
    if context.random:
        flags |= RANDOM
    content = unhexlify(b"0a10%b1208%b" % (context.trace_id, context.span_id))
    if context.state:
        content += delimited(3, text(context.state))
    return delimited(13, content + b"\x35" + flags.to_bytes(4, "little"))
