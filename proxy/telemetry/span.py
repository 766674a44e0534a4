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
from typing import Any

from proxy.kernel.pen import Doubles, Pen, TextAttribute
from proxy.kernel.sources import Sources
from proxy.telemetry.blocks import LOST, SPAN_ATTRIBUTES, ClientBlock, ServerBlock, because
from proxy.telemetry.calls import originals
from proxy.telemetry.facts import ASIDE, Attempt, Exchange
from proxy.telemetry.protobuf import FIXED64, Value, attributes, delimited, tag, text
from proxy.tracing import brought
from proxy.tracing.brought import ORDINARY
from proxy.tracing.context import TraceContext
from proxy.tracing.propagate import ALL_WITHHELD

# Span.flags: bits 0–7 are the W3C trace flags, the others say what we know of the parent.
SAMPLED, RANDOM, HAS_IS_REMOTE, IS_REMOTE = 0x1, 0x2, 0x100, 0x200
OURS = SAMPLED | HAS_IS_REMOTE
OURS_RANDOM = OURS | RANDOM

SAID = "spangate.trace_context.sampled"  # the flag that came, where it is not the one that counts
WITHHELD = "spangate.trace_context.withheld"
_ALL_WITHHELD = attributes(SPAN_ATTRIBUTES, [(WITHHELD, "all")])
_STATE_WITHHELD = attributes(SPAN_ATTRIBUTES, [(WITHHELD, "tracestate")])
_NOT_SAMPLED = attributes(SPAN_ATTRIBUTES, [(SAID, False)])


class SpanEncoder:
    """Writes spans with that pen."""

    __slots__ = (
        "_all_phases", "_own_only", "_path", "_pen", "_query", "_request_id", "_sources",
        "_unanswered", "_url",
    )  # fmt: skip

    def __init__(self, pen: Pen) -> None:
        self._pen = pen
        self._sources = Sources(pen, SPAN_ATTRIBUTES)
        self._path = TextAttribute(SPAN_ATTRIBUTES, "url.path")
        self._query = TextAttribute(SPAN_ATTRIBUTES, "url.query")
        self._url = TextAttribute(SPAN_ATTRIBUTES, "url.full")
        self._request_id = TextAttribute(SPAN_ATTRIBUTES, "spangate.request_id")
        queue, connect, first_byte, overhead = (
            f"spangate.phase.{name}_ms" for name in ("queue", "connect", "first_byte", "overhead")
        )
        self._all_phases = Doubles(SPAN_ATTRIBUTES, queue, connect, first_byte, overhead)
        self._unanswered = Doubles(SPAN_ATTRIBUTES, queue, connect, overhead)
        self._own_only = Doubles(SPAN_ATTRIBUTES, overhead)

    def server(self, exchange: Exchange, block: ServerBlock, query: str) -> None:
        """The SERVER span; `query` without secrets."""
        pen, sources, context = self._pen, self._sources, exchange.context
        flags = OURS_RANDOM if exchange.flags_random else OURS
        parent = b""
        if context is not None and context.span_id:
            parent = context.span_id
            flags |= IS_REMOTE
        wall = exchange.wall_ns
        end = wall + exchange.end - exchange.start
        pen.span(exchange.trace_id, exchange.span_id, parent, wall, end, flags)
        pen.put(because(block.span, exchange.why) if exchange.why else block.span)
        pen.text(self._path, exchange.path)
        sources.asked(exchange.host, exchange.host_port, exchange.user_agent)
        sources.sent_by(exchange.client, exchange.peer, exchange.peer_port)
        self._phases(exchange)
        if exchange.is_id_given:
            pen.text(self._request_id, exchange.request_id)
        if exchange.tls is not None:
            pen.put(exchange.tls)
        if query:
            pen.text(self._query, query)
        if context is not None and context.state:
            pen.put(delimited(3, text(context.state)))
        if exchange.link is not None or exchange.captured:
            pen.put(_rare(exchange))
        if exchange.brought > ORDINARY:
            pen.put(attributes(SPAN_ATTRIBUTES, brought.attributes(exchange.brought)))
        if context is not None and context.sampled is False:
            pen.put(_NOT_SAMPLED)  # the caller did not ask for what is recorded here
        if block.other:
            pen.put(attributes(SPAN_ATTRIBUTES, originals(exchange, block.method)))
        pen.end()

    def client(
        self,
        exchange: Exchange,
        attempt: Attempt,
        block: ClientBlock,
        query: str,
        remote: bool = False,
    ) -> None:
        """The CLIENT span of one attempt; `query` without secrets. `remote`: its parent is the
        span of somebody else, as there is no SERVER span."""
        pen, context = self._pen, exchange.context
        flags = OURS_RANDOM if exchange.flags_random else OURS
        if remote and exchange.span_id:
            flags |= IS_REMOTE
        offset = exchange.wall_ns - exchange.start
        start, end = attempt.start + offset, (attempt.end or exchange.end) + offset
        pen.span(exchange.trace_id, attempt.span_id, exchange.span_id, start, end, flags)
        pen.put(because(block.span, attempt.why) if attempt.why else block.span)
        pen.url(self._url, block.url, exchange.sent_path or exchange.path, query)
        if attempt.peer is not None:
            self._sources.peer(attempt.peer)
        if attempt.tls is not None:
            pen.put(attempt.tls)
        if attempt.ordinal:
            pen.put(_resend(exchange, attempt))
        if block.other:
            pen.put(attributes(SPAN_ATTRIBUTES, originals(exchange, block.method)))
        if context is not None and context.state:  # also where it is not sent: it has our share
            pen.put(delimited(3, text(context.state)))
        if attempt.withheld:
            pen.put(_ALL_WITHHELD if attempt.withheld == ALL_WITHHELD else _STATE_WITHHELD)
        if remote or not exchange.span_id:
            pen.put(_rare(exchange))  # nor has a copy a SERVER span
            if exchange.brought > ORDINARY:
                pen.put(attributes(SPAN_ATTRIBUTES, brought.attributes(exchange.brought)))
        pen.end()

    def _phases(self, exchange: Exchange) -> None:
        """The attributes named at the top of this file, as far as they came to pass."""
        attempts = exchange.attempts
        total = exchange.end - exchange.start
        if not attempts:
            self._pen.doubles(self._own_only, total / 1e6)
            return
        first = attempts[0]
        queue = first.start - exchange.start
        connect = first_byte = upstream = 0
        answered = False
        for at, attempt in enumerate(attempts):
            end = attempt.end or exchange.end
            if attempt.error == LOST:  # beside another one, whose time is counted
                if attempt.retry_reason == "hedge" or at + 1 == len(attempts):
                    continue
                end = attempts[at + 1].start
            if not attempt.connected:  # it ended while dialling
                connect += end - attempt.start
            elif not attempt.reused:
                connect += attempt.cost_connect
                queue += attempt.connected - attempt.start - attempt.cost_connect
            if attempt.sent:
                upstream += end - attempt.sent
            if attempt.first_byte:
                first_byte += attempt.first_byte - attempt.sent
                answered = True
        own = max(total - connect - upstream, 0) / 1e6  # tries may have overlapped
        if answered:
            self._pen.doubles(self._all_phases, queue / 1e6, connect / 1e6, first_byte / 1e6, own)
        else:
            self._pen.doubles(self._unanswered, queue / 1e6, connect / 1e6, own)


def _resend(exchange: Exchange, attempt: Attempt) -> bytes:
    if attempt.retry_reason == ASIDE:  # it is none, and has an Exchange of its own
        return attributes(SPAN_ATTRIBUTES, list(exchange.captured))
    pairs: list[tuple[str, Value]] = [("http.request.resend_count", attempt.ordinal)]
    if attempt.retry_reason:
        pairs.append(("spangate.retry.reason", attempt.retry_reason))
    return attributes(SPAN_ATTRIBUTES, pairs)


def _rare(exchange: Exchange) -> bytes:
    """Captured headers, custom attributes, and the link to a trace that was not believed."""
    block = _captured(exchange.captured)
    if exchange.told is not None and exchange.told.denied is not None:
        block += _denied(*exchange.told.denied)
    link = exchange.link
    if link is None or not link.trace_id or not link.span_id:
        return block
    return block + link_to(link)


def _denied(check: str, reason: str, at: int) -> bytes:
    """An event of the span (Span.events): which check refused the request, and why."""
    told = [("spangate.check", check), ("spangate.denied.reason", reason)]
    event = (
        tag(1, FIXED64) + at.to_bytes(8, "little") + delimited(2, text("spangate.access.denied"))
    )
    return delimited(11, event + attributes(3, told))


_Captured = list[tuple[str, str | int]]
_KNOWN: dict[tuple[tuple[str, str | int], ...], bytes] = {}
_MOST_KNOWN = 1024  # blocks of what clients and upstreams say again and again are remembered,
_LONGEST_KNOWN = 512  # bytes of such a block: 10,000 a value less (benchmarks/features.py)


def _captured(pairs: _Captured) -> bytes:
    key = tuple(pairs)
    block = _KNOWN.get(key)
    if block is None:
        block = _encoded(pairs)
        if len(block) <= _LONGEST_KNOWN:
            if len(_KNOWN) >= _MOST_KNOWN:
                _KNOWN.clear()
            _KNOWN[key] = block
    return block


def _encoded(pairs: _Captured) -> bytes:
    # A field that came twice is one attribute with two values: keys must be unique.
    fields: dict[str, list[Any]] = {}
    for key, value in pairs:
        fields.setdefault(key, []).append(value)
    # Header fields are lists by convention; attributes of a user's own are what they read.
    return attributes(
        SPAN_ATTRIBUTES,
        [(k, values if k.startswith("http.") else values[0]) for k, values in fields.items()],
    )


def link_to(context: TraceContext) -> bytes:
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
