"""The end of every request: numbers, spans, access record, in that order.

A worker has one Recorder for its life. `configure` swaps what depends on the configuration; the
numbers in the registry stay. Nothing here waits, logs or reads a clock, and `finish` is the
hottest function of the package (benchmarks/micro_telemetry.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model import Config
from proxy.telemetry import instruments
from proxy.telemetry.access import RecordEncoder
from proxy.telemetry.blocks import GONE, METHODS, OTHER, ClientBlock, RouteBlocks, ServerBlock
from proxy.telemetry.facts import Attempt, Exchange
from proxy.telemetry.metrics import Number, Registry, Report
from proxy.telemetry.redact import Redactor
from proxy.telemetry.span import SpanEncoder

SCHEMES = ("http", "https", "ws", "wss")


class Recorder:
    """Turns exchanges into what is recorded of them, and keeps it until it is taken.

    `spans`, `logs`, `lines` say what is made; `configure` sets them, a test may too.
    `pending_bytes` is what waits to be taken, lines included. `spans_created` and `logs_created`
    only grow: they are the left side of created = exported + dropped + queued.
    """

    __slots__ = (
        "_active",
        "_body_sizes",
        "_entries",
        "_exemplars",
        "_lines",
        "_no_route",
        "_record",
        "_records",
        "_redactor",
        "_routes",
        "_span",
        "lines",
        "logs",
        "logs_created",
        "pending_bytes",
        "registry",
        "spans",
        "spans_created",
    )

    def __init__(self, config: Config, *, terminal: bool = False) -> None:
        self.registry = Registry()
        self._span = SpanEncoder()
        self._record = RecordEncoder()
        self._entries: list[bytes] = []
        self._records: list[bytes] = []
        self._lines: list[bytes] = []
        self._active: dict[str, Number] = {}
        self._routes: set[RouteBlocks] = set()  # which blocks were made for
        self.pending_bytes = 0
        self.spans_created = 0
        self.logs_created = 0
        self.configure(config, terminal=terminal)

    def configure(self, config: Config, *, terminal: bool = False) -> None:
        """Go by `config` from now on; `terminal`: stdout is one.

        Without a destination nothing is encoded: spans need [export] otlp or console with
        "traces" among its signals, OTLP logs need otlp with "logs".
        """
        export, access = config.export, config.access_log
        self.spans = "traces" in export.signals and bool(export.otlp or export.console)
        self.logs = access.otlp and "logs" in export.signals and bool(export.otlp)
        self.lines = terminal if access.stdout is None else access.stdout
        self.registry.cap = config.metrics.series
        self.registry.forget = config.metrics.forget
        self._body_sizes = config.metrics.body_sizes
        self._exemplars = config.metrics.exemplars
        self._redactor = Redactor(config.tracing.redact_query)
        self._no_route = RouteBlocks("", None, config.labels)
        for route in self._routes:  # who still has it makes its blocks anew, and is seen by that
            route.clear()
        self._routes.clear()

    def begin(self, exchange: Exchange) -> None:
        """Count `exchange` as active; `finish` ends that."""
        # From X-Forwarded-Proto it may be any word, and each would be a series for ever.
        scheme = exchange.counted = exchange.scheme if exchange.scheme in SCHEMES else OTHER
        number = self._active.get(scheme)
        if number is None:
            number = self.registry.number(instruments.ACTIVE, (("url.scheme", scheme),))
            self._active[scheme] = number
        number.value += 1

    def reject(self, reason: str) -> None:
        """Count input that never became an exchange; `reason` is one of a few words."""
        self.registry.number(instruments.REJECTED, (("spangate.reason", reason),)).value += 1

    def finish(self, exchange: Exchange) -> None:
        """Record `exchange`, whose every fact must be in place; call it once."""
        if exchange.counted:
            self._active[exchange.counted].value -= 1
            exchange.counted = ""
        if exchange.end < exchange.start:
            exchange.end = exchange.start  # a negative duration would make a sum fall
        block = self._server_block(exchange)
        took = exchange.end - exchange.start
        bucket = block.duration.record(took)
        if block.request_size is not None and block.response_size is not None:
            block.request_size.record(exchange.body_in)
            block.response_size.record(exchange.body_out)
        traced = exchange.sampled and self.spans
        query = exchange.query
        if query and (traced or self.logs or self.lines):
            query = self._redactor.query(query)
        if traced:
            self._keep_span(self._span.server(exchange, block, query))
            if self._exemplars:
                block.duration.exemplars[bucket] = (
                    exchange.trace_id, exchange.span_id, took, exchange.wall_ns + took
                )  # fmt: skip
        for attempt in exchange.attempts:
            self._attempt(exchange, attempt, query, traced)
        if self.logs:
            self._keep_record(self._record.record(exchange, block, query))
        if self.lines:
            line = self._record.line(exchange, block, query)
            self._lines.append(line)
            self.pending_bytes += len(line)

    def take_spans(self) -> tuple[bytes, int]:
        """`ScopeSpans.spans` entries since the last call, and how many."""
        entries, self._entries = self._entries, []
        spans = b"".join(entries)
        self.pending_bytes -= len(spans)
        return spans, len(entries)

    def take_logs(self) -> tuple[bytes, int]:
        """`ScopeLogs.log_records` entries since the last call, and how many."""
        records, self._records = self._records, []
        logs = b"".join(records)
        self.pending_bytes -= len(logs)
        return logs, len(records)

    def take_lines(self) -> bytes:
        """Lines of JSON for stdout since the last call."""
        lines, self._lines = self._lines, []
        text = b"".join(lines)
        self.pending_bytes -= len(text)
        return text

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
        for route in self._routes:
            route.let_go()

    def _server_block(self, exchange: Exchange) -> ServerBlock:
        route = exchange.route or self._no_route
        method = exchange.method if exchange.method in METHODS else OTHER
        error = GONE if exchange.client_gone else exchange.error
        kind = (method, exchange.status, error, exchange.scheme, exchange.version)
        block = route.servers.get(kind)
        if block is None:
            self._routes.add(route)
            block = route.server(kind, self.registry)
            if self._body_sizes:
                block.measure_bodies(route, kind, self.registry)
        return block

    def _attempt(self, exchange: Exchange, attempt: Attempt, query: str, traced: bool) -> None:
        block = self._client_block(exchange, attempt)
        end = attempt.end or exchange.end
        took = end - attempt.start
        bucket = block.duration.record(took if took > 0 else 0)
        if attempt.reused:
            block.reused.value += 1
        if attempt.ordinal:
            self._retried(exchange.route or self._no_route, attempt)
        if traced:
            self._keep_span(self._span.client(exchange, attempt, block, query))
            if self._exemplars:
                time = exchange.wall_ns + end - exchange.start
                block.duration.exemplars[bucket] = (
                    exchange.trace_id, attempt.span_id, took, time
                )  # fmt: skip

    def _client_block(self, exchange: Exchange, attempt: Attempt) -> ClientBlock:
        route = exchange.route or self._no_route
        kind = (
            exchange.method if exchange.method in METHODS else OTHER,
            attempt.address,
            attempt.upstream,
            attempt.scheme,
            attempt.version,
            attempt.status,
            GONE if exchange.client_gone and _is_cut(exchange, attempt) else attempt.error,
        )
        block = route.clients.get(kind)
        if block is None:
            self._routes.add(route)
            block = route.client(kind, (attempt.host, attempt.port), self.registry)
        return block

    def _retried(self, route: RouteBlocks, attempt: Attempt) -> None:
        attributes = (
            ("spangate.route", route.name),
            ("spangate.upstream", attempt.upstream),
            ("spangate.retry.reason", attempt.retry_reason),
        )
        self.registry.number(instruments.RETRIES, attributes).value += 1

    def _keep_span(self, entry: bytes) -> None:
        self._entries.append(entry)
        self.spans_created += 1
        self.pending_bytes += len(entry)

    def _keep_record(self, entry: bytes) -> None:
        self._records.append(entry)
        self.logs_created += 1
        self.pending_bytes += len(entry)


def _is_cut(exchange: Exchange, attempt: Attempt) -> bool:
    """Did the attempt end because the client left, and not by a fault or error of its own?"""
    return attempt is exchange.attempts[-1] and attempt.status < 400 and attempt.error in ("", GONE)
