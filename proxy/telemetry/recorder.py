"""The end of every request: numbers, spans, access record, in that order.

A worker has one Recorder for its life. `configure` swaps what depends on the configuration; the
numbers in the registry stay. Nothing here waits, logs or reads a clock, and `finish` is the
hottest function of the package (benchmarks/micro_telemetry.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from proxy.config.model import Config
from proxy.telemetry import instruments
from proxy.telemetry.access import RecordEncoder
from proxy.telemetry.blocks import GONE, OTHER, ClientBlock, RouteBlocks, ServerBlock
from proxy.telemetry.facts import Attempt, Exchange
from proxy.telemetry.metrics import Number, Registry, Report
from proxy.telemetry.redact import Redactor
from proxy.telemetry.span import SpanEncoder

SCHEMES = ("http", "https", "ws", "wss")


class Lane(Protocol):
    """Where entries of one kind go. It takes them at once, or drops and counts them."""

    def write(self, entries: bytes, items: int) -> object: ...


class Sink(Protocol):
    """Where records go: `ScopeSpans.spans` and `ScopeLogs.log_records` entries, lines of JSON."""

    @property
    def spans(self) -> Lane: ...
    @property
    def logs(self) -> Lane: ...
    @property
    def lines(self) -> Lane: ...


class Recorder:
    """Turns exchanges into what is recorded of them, which is in the sink when `finish` returns.

    `spans`, `logs`, `lines` say what is made; `configure` sets them, a test may too.
    """

    __slots__ = (
        "_active",
        "_body_sizes",
        "_exemplars",
        "_line",
        "_methods",
        "_no_route",
        "_record",
        "_redactor",
        "_routes",
        "_span",
        "_write_line",
        "_write_log",
        "_write_spans",
        "finished",
        "lines",
        "logs",
        "registry",
        "sink",
        "spans",
    )

    def __init__(self, config: Config, sink: Sink, *, json: bool = True) -> None:
        self.registry = Registry()
        self.sink = sink
        self._span = SpanEncoder()
        self._record = RecordEncoder()
        self._write_spans = sink.spans.write
        self._write_log = sink.logs.write
        self._write_line = sink.lines.write
        self._active: dict[str, Number] = {}
        self.finished = 0  # exchanges
        self._routes: set[RouteBlocks] = set()  # which blocks were made for
        self.configure(config, json=json)

    def configure(self, config: Config, *, json: bool = True) -> None:
        """Go by `config` from now on; access lines are JSON, or text for people.

        Without a destination nothing is encoded: spans need [export] otlp or console with
        "traces" among its signals, OTLP logs need otlp with "logs".
        """
        export, access = config.export, config.access_log
        self.spans = "traces" in export.signals and bool(export.otlp or export.console)
        self.logs = access.otlp and "logs" in export.signals and bool(export.otlp)
        self.lines = access.stdout
        self._line = self._record.line if json else self._record.people
        self._methods = frozenset(config.tracing.known_methods)
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
        try:  # here and below: 100 instructions less than get() (make bench-check)
            number = self._active[scheme]
        except KeyError:
            number = self.registry.number(instruments.ACTIVE, (("url.scheme", scheme),))
            self._active[scheme] = number
        number.value += 1

    def reject(self, reason: str) -> None:
        """Count input that never became an exchange; `reason` is one of a few words."""
        self.registry.number(instruments.REJECTED, (("spangate.reason", reason),)).value += 1

    def finish(self, exchange: Exchange) -> None:
        """Record `exchange`, whose every fact must be in place; call it once.

        Before the answer's last byte is written, so that what was answered is told, whoever dies.
        """
        self.finished += 1
        if exchange.counted:
            self._active[exchange.counted].value -= 1
            exchange.counted = ""
        start, end = exchange.start, exchange.end
        # A negative duration would make a sum fall.
        exchange.end = end = end if end > start else start
        took = end - start
        block = self._server_block(exchange)
        bucket = block.duration.record(took)
        if block.request_size is not None and block.response_size is not None:
            block.request_size.record(exchange.body_in)
            block.response_size.record(exchange.body_out)
        traced = exchange.sampled and self.spans
        query = exchange.query
        if query and (traced or self.logs or self.lines):
            query = self._redactor.query(query)
        spans = b""
        if traced:
            spans = self._span.server(exchange, block, query)
            if self._exemplars:
                block.duration.exemplars[bucket] = (
                    exchange.trace_id, exchange.span_id, took, exchange.wall_ns + took
                )  # fmt: skip
        for attempt in exchange.attempts:
            spans += self._attempt(exchange, attempt, query, traced)
        if traced:
            self._write_spans(spans, 1 + len(exchange.attempts))
        if self.logs:
            self._write_log(self._record.record(exchange, block, query), 1)
        if self.lines:
            self._write_line(self._line(exchange, block, query), 1)

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
        method = exchange.method if exchange.method in self._methods else OTHER
        error = GONE if exchange.client_gone else exchange.error
        kind = (method, exchange.status, error, exchange.scheme, exchange.version)
        try:
            block = route.servers[kind]
        except KeyError:
            self._routes.add(route)
            block = route.server(kind, self.registry)
            if self._body_sizes:
                block.measure_bodies(route, kind, self.registry)
        return block

    def _attempt(self, exchange: Exchange, attempt: Attempt, query: str, traced: bool) -> bytes:
        """Its span, if it is traced."""
        block = self._client_block(exchange, attempt)
        end = attempt.end or exchange.end
        took = end - attempt.start
        bucket = block.duration.record(took if took > 0 else 0)
        if attempt.reused:
            block.reused.value += 1
        if attempt.ordinal:
            self._retried(exchange.route or self._no_route, attempt)
        if not traced:
            return b""
        if self._exemplars:
            time = exchange.wall_ns + end - exchange.start
            block.duration.exemplars[bucket] = (
                exchange.trace_id, attempt.span_id, took, time
            )  # fmt: skip
        return self._span.client(exchange, attempt, block, query)

    def _client_block(self, exchange: Exchange, attempt: Attempt) -> ClientBlock:
        route = exchange.route or self._no_route
        kind = (
            exchange.method if exchange.method in self._methods else OTHER,
            attempt.address,
            attempt.upstream,
            attempt.scheme,
            attempt.version,
            attempt.status,
            GONE if exchange.client_gone and _is_cut(exchange, attempt) else attempt.error,
        )
        try:
            block = route.clients[kind]
        except KeyError:
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


def _is_cut(exchange: Exchange, attempt: Attempt) -> bool:
    """Did the attempt end because the client left, and not by a fault or error of its own?"""
    return attempt is exchange.attempts[-1] and attempt.status < 400 and attempt.error in ("", GONE)
