"""The access record: one line of text or JSON and one OTLP LogRecord for each request.

Everything a client wrote is escaped so that a record stays one line of valid JSON in plain ASCII,
whatever bytes were sent: no newline, escape or delete character gets to a terminal.
Source of the record: opentelemetry/proto/logs/v1, LogRecord.
"""

from __future__ import annotations

from proxy.kernel.lines import Lines, quote
from proxy.kernel.pen import Doubles, IntAttribute, Pen, TextAttribute
from proxy.kernel.sources import Sources
from proxy.telemetry import people
from proxy.telemetry.blocks import LOG_ATTRIBUTES, NO_MESSAGE, ServerBlock
from proxy.telemetry.calls import originals
from proxy.telemetry.facts import Exchange
from proxy.telemetry.protobuf import attributes
from proxy.telemetry.span import SAID
from proxy.tracing import brought
from proxy.tracing.brought import ORDINARY

_ASKED_FOR = attributes(LOG_ATTRIBUTES, [(SAID, True)])
_NOT_ASKED_FOR = attributes(LOG_ATTRIBUTES, [(SAID, False)])


class RecordEncoder:
    """Writes access records with that pen."""

    __slots__ = (
        "_duration", "_in", "_lines", "_out", "_parent", "_path", "_pen", "_query", "_request_id",
        "_sources", "look",
    )  # fmt: skip

    def __init__(self, pen: Pen) -> None:
        self.look = people.WHOLE
        self._pen = pen
        self._lines = Lines(pen)
        self._sources = Sources(pen, LOG_ATTRIBUTES)
        self._path = TextAttribute(LOG_ATTRIBUTES, "url.path")
        self._query = TextAttribute(LOG_ATTRIBUTES, "url.query")
        self._request_id = TextAttribute(LOG_ATTRIBUTES, "spangate.request_id")
        self._parent = TextAttribute(LOG_ATTRIBUTES, "spangate.parent_span_id")
        self._duration = Doubles(LOG_ATTRIBUTES, "spangate.duration_ms")
        self._in = IntAttribute(LOG_ATTRIBUTES, "http.request.body.size")
        self._out = IntAttribute(LOG_ATTRIBUTES, "http.response.body.size")

    def record(
        self,
        exchange: Exchange,
        block: ServerBlock,
        query: str,
        hinted: bool = False,
        left_out: int = 0,
    ) -> None:
        """A `ScopeLogs.log_records` entry (field 2); `query` without secrets.

        `hinted`: it stands in for a span that is not recorded, and tells what that would of its
        trace. `left_out`: requests before it that have none, because nobody could read so many.
        """
        pen, sources = self._pen, self._sources
        took = exchange.end - exchange.start
        flags = 0
        if exchange.trace_id:
            flags = (1 if exchange.sampled else 0) | (2 if exchange.flags_random else 0)
        pen.record(exchange.wall_ns, exchange.wall_ns + took, flags, block.log)
        pen.text(self._path, exchange.path)
        sources.asked(exchange.host, exchange.host_port, exchange.user_agent)
        sources.sent_by(exchange.client, exchange.peer, exchange.peer_port)
        pen.doubles(self._duration, took / 1e6)
        pen.number(self._in, exchange.body_in)
        pen.number(self._out, exchange.body_out)
        if exchange.trace_id:
            pen.trace(exchange.trace_id, exchange.span_id)
        if query:
            pen.text(self._query, query)
        if exchange.request_id:
            pen.text(self._request_id, exchange.request_id)
        attempts = exchange.attempts
        if attempts:
            last = attempts[len(attempts) - 1]
            sources.destination(last.upstream, last.address, len(attempts))
        if block.other:
            pen.put(attributes(LOG_ATTRIBUTES, originals(exchange, block.method)))
        if exchange.why:
            pen.put(attributes(LOG_ATTRIBUTES, [("spangate.error.message", exchange.why)]))
        if hinted:
            self._hint(exchange)
        if left_out:
            pen.put(attributes(LOG_ATTRIBUTES, [("spangate.left_out", left_out)]))
        pen.end()

    def _hint(self, exchange: Exchange) -> None:
        """What the SERVER span would have said of the trace context that came."""
        context, pen = exchange.context, self._pen
        if exchange.brought > ORDINARY:
            pen.put(attributes(LOG_ATTRIBUTES, brought.attributes(exchange.brought)))
        if context is not None and context.span_id:
            pen.text(self._parent, context.span_id)
            if context.sampled is not None:
                pen.put(_ASKED_FOR if context.sampled else _NOT_ASKED_FOR)

    def line(self, exchange: Exchange, block: ServerBlock, query: str) -> None:
        """A line of JSON; `query` without secrets. All keys are always there."""
        lines = self._lines
        lines.begin(exchange.wall_ns, exchange.method, exchange.path, query)
        lines.members(_because(block.json, exchange.why) if exchange.why else block.json)
        took = exchange.end - exchange.start
        attempts = exchange.attempts
        if attempts:
            last = attempts[len(attempts) - 1]
            lines.outcome(took, last.upstream, last.address, len(attempts))
        else:
            lines.outcome(took, "", "", 0)
        lines.caller(
            exchange.body_in, exchange.body_out, exchange.client, exchange.host,
            exchange.user_agent,
        )  # fmt: skip
        lines.end(exchange.request_id, exchange.trace_id, exchange.span_id, exchange.sampled)

    def people(self, exchange: Exchange, block: ServerBlock, query: str) -> None:
        """A line of text, as `look` says; `query` without secrets."""
        self._pen.line(people.line(exchange, block, query, self.look))


def _because(members: str, why: str) -> str:
    """A block's constant members, with the error's reason in the place of none."""
    return members.removesuffix(NO_MESSAGE) + f'"error_message":{quote(why)},'
