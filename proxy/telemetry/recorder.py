"""The end of every request: numbers, spans, access record, in that order.

A worker has one Recorder for its life. `configure` swaps what depends on the configuration; the
numbers stay. Nothing here waits, logs or reads a clock. Hottest: `finish` (micro_telemetry.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.access_places import secret_queries
from proxy.config.model import Config
from proxy.kernel.counts import Number
from proxy.kernel.pen import Pen
from proxy.telemetry import attempted, calls, instruments
from proxy.telemetry.access import RecordEncoder
from proxy.telemetry.blocks import GONE, OTHER, TRIES, ClientBlock, RouteBlocks, ServerBlock
from proxy.telemetry.contexts import HINTS, Contexts, Few, Seen, traces_begin
from proxy.telemetry.facts import Attempt, Exchange
from proxy.telemetry.metrics import Registry, Report
from proxy.telemetry.people import WHOLE, Look
from proxy.telemetry.redact import Redactor
from proxy.telemetry.sink import Sink
from proxy.telemetry.span import SpanEncoder

SCHEMES = ("http", "https", "ws", "wss")


class Recorder:
    """Turns exchanges into what is recorded of them, which is in the sink when `finish` returns.

    `spans`, `logs`, `lines` say what is made; `configure` sets them, a test may too. `hints`: some
    requests that are not recorded leave an access record, for who looks at recent telemetry.
    `watched`: so do as many as anybody can read, for who watches."""

    __slots__ = (
        "_active", "_active_number", "_active_scheme", "_body_sizes", "_exemplars", "_few",
        "_line_lane", "_line_window", "_log_lane", "_log_window", "_methods", "_no_route", "_pen",
        "_record", "_redactor", "_routes", "_seen", "_span", "_span_lane", "_span_window",
        "contexts", "finished", "hints", "json", "lines", "logs", "registry", "sink", "spans",
        "watched",
    )  # fmt: skip

    def __init__(self, config: Config, sink: Sink, *, json: bool = True) -> None:
        self.registry = Registry()
        self.sink = sink
        self._pen = Pen()
        self._span, self._record = SpanEncoder(self._pen), RecordEncoder(self._pen)
        self._span_lane, self._span_window = sink.spans, sink.spans.window
        self._log_lane, self._log_window = sink.logs, sink.logs.window
        self._line_lane, self._line_window = sink.lines, sink.lines.window
        self._active: dict[str, Number] = {}
        self._active_scheme = ""  # that of the number that was counted in last
        self._active_number = Number()
        self.contexts = Contexts(self.registry)
        self._few, self._seen = Few(HINTS), Seen()
        self.finished = 0  # exchanges
        self._routes: set[RouteBlocks] = set()  # which blocks were made for
        self.watched = False
        self.configure(config, json=json)

    def configure(self, config: Config, *, json: bool = True, look: Look = WHOLE) -> None:
        """Go by `config` from now on; access lines are JSON, or text for people with that look.
        Without a destination nothing is encoded: spans need [export] otlp or console with
        "traces" among its signals, OTLP logs need otlp with "logs".
        """
        export, access = config.export, config.access_log
        self.spans = "traces" in export.signals and bool(export.otlp or export.console)
        self.logs = access.otlp and "logs" in export.signals and bool(export.otlp)
        self.hints = config.recent.size > 0 and traces_begin(config)
        self.lines = access.stdout
        self.json, self._record.look = json, look
        self._methods = frozenset(config.tracing.known_methods)
        self.registry.cap = config.metrics.series
        self.registry.forget = config.metrics.forget
        self._body_sizes, self._exemplars = config.metrics.body_sizes, config.metrics.exemplars
        self._redactor = Redactor([*config.tracing.redact_query, *secret_queries(config)])
        self._no_route = RouteBlocks("", None, config.labels)
        for route in self._routes:  # who still has it makes its blocks anew, and is seen by that
            route.clear()
        self._routes.clear()

    def begin(self, exchange: Exchange) -> None:
        """Count `exchange` as active; `finish` ends that."""
        scheme = exchange.scheme
        if scheme != self._active_scheme:
            # From X-Forwarded-Proto it may be any word, and each would be a series for ever.
            scheme = scheme if scheme in SCHEMES else OTHER
            self._activate(scheme)
        exchange.counted = scheme
        self._active_number.value += 1

    def _activate(self, scheme: str) -> None:
        """Count in that scheme's number from now on."""
        number = self._active.get(scheme)
        if number is None:
            number = self.registry.number(instruments.ACTIVE, (("url.scheme", scheme),))
            self._active[scheme] = number
        self._active_scheme, self._active_number = scheme, number

    def _deactivate(self, exchange: Exchange) -> None:
        if exchange.counted:
            if exchange.counted != self._active_scheme:
                self._activate(exchange.counted)
            self._active_number.value -= 1
            exchange.counted = ""

    def reject(self, reason: str) -> None:
        """Count input that never became an exchange; `reason` is one of a few words."""
        self.registry.number(instruments.REJECTED, (("spangate.reason", reason),)).value += 1

    def finish(self, exchange: Exchange) -> None:
        """Record `exchange`, whose every fact is in place, once; before the answer's last byte."""
        self.finished += 1
        self._deactivate(exchange)
        # A negative duration would make a sum fall.
        if exchange.end < exchange.start:
            exchange.end = exchange.start
        block = self._server_block(exchange)
        if block.parts == TRIES:
            self.tried(exchange, False)
            return
        if block.request_size is not None and block.response_size is not None:
            block.request_size.record(exchange.body_in)
            block.response_size.record(exchange.body_out)
        traced, query = exchange.sampled and self.spans, exchange.query
        hinted = self.hints and not exchange.sampled and self._few.lets(exchange.end)
        logged = self.logs or hinted or (self.watched and self._is_seen(exchange, block))
        if query and (traced or logged or self.lines):
            query = self._redactor.query(query)
        try:
            if traced:
                self._trace(exchange, block, query)
            else:
                self._count(exchange, block)
            self._tell(exchange, block, query, logged, hinted)
        except BaseException:  # half an entry, or one that would not be counted
            self._pen.clear()
            raise

    def _is_seen(self, exchange: Exchange, block: ServerBlock) -> bool:
        """Whether it is told to who watches."""
        failed, took = bool(block.error) or exchange.status >= 500, exchange.end - exchange.start
        return self._seen.lets(exchange.end, took, failed)

    def aside(self, exchange: Exchange, attempt: Attempt) -> None:
        """Record an attempt that is none of its request's; `exchange` tells of it alone."""
        client = self._client_block(exchange, attempt)
        client.duration.record(max(attempt.end - attempt.start, 0))
        try:
            if exchange.sampled and self.spans:
                query = self._redactor.query(exchange.query) if exchange.query else ""
                self._span.client(exchange, attempt, client, query)
                self._pen.pour(self._span_window, self._span_lane, 1)
        except BaseException:
            self._pen.clear()
            raise

    def _count(self, exchange: Exchange, block: ServerBlock) -> None:
        """Its numbers alone."""
        took = exchange.end - exchange.start
        block.duration.record(took)
        if block.call_duration is not None:
            block.call_duration.record(took)
        attempts = [] if block.parts else exchange.attempts
        for attempt in attempts:
            client = self._client_block(exchange, attempt)
            took = max((attempt.end or exchange.end) - attempt.start, 0)
            client.duration.record(took)
            if client.call_duration is not None:
                client.call_duration.record(took)

    def _trace(self, exchange: Exchange, block: ServerBlock, query: str) -> None:
        """Its numbers, with exemplars that lead to its spans, and these."""
        span, exemplars = self._span, self._exemplars
        offset, trace_id = exchange.wall_ns - exchange.start, exchange.trace_id
        took = exchange.end - exchange.start
        if exemplars:
            time = exchange.end + offset
            block.duration.record_traced(took, trace_id, exchange.span_id, time)
        else:
            block.duration.record(took)
        if block.call_duration is not None:
            block.call_duration.record(took)
        span.server(exchange, block, query)
        items = 1
        attempts = [] if block.parts else exchange.attempts
        for attempt in attempts:
            items += 1
            client = self._client_block(exchange, attempt)
            end = attempt.end or exchange.end
            took = end - attempt.start
            if took < 0:
                took = 0
            if exemplars:
                client.duration.record_traced(took, trace_id, attempt.span_id, end + offset)
            else:
                client.duration.record(took)
            if client.call_duration is not None:
                client.call_duration.record(took)
            span.client(exchange, attempt, client, query)
        self._pen.pour(self._span_window, self._span_lane, items)

    def tried(self, exchange: Exchange, remote: bool) -> None:
        """Record the tries alone: of a copy (`server/mirrors.py`) or a delivery; or of what has a
        span of the client's own, which is `remote` (`server/mesh_story.py`), with its record."""
        exchange.end = max(exchange.end, exchange.start)
        traced = exchange.sampled and self.spans
        query = (
            self._redactor.query(exchange.query) if exchange.query and (traced or remote) else ""
        )
        try:
            for attempt in exchange.attempts:
                client, took = self._client_block(exchange, attempt), attempt.end or exchange.end
                took = max(took - attempt.start, 0)
                client.duration.record(took)
                if client.call_duration is not None:
                    client.call_duration.record(took)
                if traced:
                    self._span.client(exchange, attempt, client, query, remote)
                    self._pen.pour(self._span_window, self._span_lane, 1)
            if remote and (self.logs or self.lines or self.watched):
                exchange.span_id, block = attempt.span_id, self._server_block(exchange)
                block.keep_quiet()
                logged = self.logs or (self.watched and self._is_seen(exchange, block))
                self._tell(exchange, block, query, logged, False)
        except BaseException:  # as in `finish`
            self._pen.clear()
            raise

    def _tell(self, x: Exchange, block: ServerBlock, query: str, logged: bool, hint: bool) -> None:
        """Its access records: one with how many were left out before it, and a line."""
        if logged:
            left_out, self._seen.left_out = self._seen.left_out, 0
            self._record.record(x, block, query, hint, left_out)
            self._pen.pour(self._log_window, self._log_lane, 1)
        if self.lines:
            if self.json:
                self._record.line(x, block, query)
            else:
                self._record.people(x, block, query)
            self._pen.pour(self._line_window, self._line_lane, 1)

    def reports(self, now: float) -> Iterator[Report]:
        """Numbers that changed since the last pass, in slices that must all reach the hub.

        `now` in monotonic seconds. A slice and the blocks of what it forgets go in one turn.
        """
        for report in self.registry.reports(now):
            if report.forgotten:
                self._let_go()
            yield report

    def _let_go(self) -> None:
        self._active = {scheme: n for scheme, n in self._active.items() if n.kept}
        self._active_scheme = ""
        self.contexts.let_go()
        for route in self._routes:
            route.let_go()

    def _server_block(self, exchange: Exchange) -> ServerBlock:
        route = exchange.route
        if route is None:
            route = self._no_route
        error = GONE if exchange.client_gone else exchange.error
        if exchange.call is not None:
            return self._call_block(route, exchange, error)
        block = route.last
        if (
            block is not None
            and block.status == exchange.status
            and block.method == exchange.method
            and block.kind_error == error
            and block.scheme == exchange.scheme
            and block.version == exchange.version
        ):
            return block
        method = exchange.method if exchange.method in self._methods else OTHER
        kind = (method, exchange.status, error, exchange.scheme, exchange.version)
        block = route.servers.get(kind)
        if block is None:
            self._routes.add(route)
            block = route.server(kind, self.registry)
            if self._body_sizes:
                block.measure_bodies(route, kind, self.registry)
        route.last = block
        return block

    def _call_block(self, route: RouteBlocks, exchange: Exchange, error: str) -> ServerBlock:
        """The block of a gRPC call."""
        assert exchange.call is not None
        method = exchange.method if exchange.method in self._methods else OTHER
        kind = (method, exchange.status, error, exchange.scheme, exchange.version)
        block, is_new = calls.server_block(route, kind, exchange.call, self.registry)
        if is_new:
            self._routes.add(route)
            if self._body_sizes:
                block.measure_bodies(route, kind, self.registry)
        return block

    def _client_block(self, exchange: Exchange, attempt: Attempt) -> ClientBlock:
        """The block of its kind, which has counted what there is to count but its duration."""
        route = exchange.route
        if route is None:
            route = self._no_route
        if attempt.ordinal:
            attempted.count_retry(self.registry, route, attempt)
        error = attempt.error
        if exchange.client_gone and attempted.is_cut(exchange, attempt):
            error = GONE
        block = route.latest.get(attempt.address)
        if (
            exchange.call is not None
            or block is None
            or block.status != attempt.status
            or block.method != exchange.method
            or block.upstream != attempt.upstream
            or block.kind_error != error
            or block.scheme != attempt.scheme
            or block.version != attempt.version
        ):
            block = self._other_client_block(route, exchange, attempt, error)
        if attempt.reused:
            block.reused.value += 1
        return block

    def _other_client_block(
        self, route: RouteBlocks, exchange: Exchange, attempt: Attempt, error: str
    ) -> ClientBlock:
        kind = (
            exchange.method if exchange.method in self._methods else OTHER,
            attempt.address,
            attempt.upstream,
            attempt.scheme,
            attempt.version,
            attempt.status,
            error,
        )
        address = (attempt.host, attempt.port)
        if exchange.call is not None:
            self._routes.add(route)
            return calls.client_block(
                route, kind, address, exchange.call, attempt.code, self.registry
            )
        block = route.clients.get(kind)
        if block is None:
            self._routes.add(route)
            block = route.client(kind, address, self.registry)
        route.latest[attempt.address] = block
        return block
