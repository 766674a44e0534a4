"""Pipeline: the workers' telemetry in, batches out to every configured exporter.

It owns the wiring and its order; what each part does is in batch, queue, retry, export_*. The
gateway's link calls `offer` for each frame; nothing here blocks or raises, and every item offered
is in the books from that instant on.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TextIO

from proxy.collector.batch import SIGNALS, Batch, Batcher, Bounds, Format, Signal
from proxy.collector.books import Books, Ledger, Place
from proxy.collector.export_console import ConsoleExporter
from proxy.collector.export_otlp import OtlpExporter
from proxy.collector.queue import Queue
from proxy.collector.retry import Backoff
from proxy.collector.stage import Stage
from proxy.config.model import Export
from proxy.errors import ConfigError, Problem
from proxy.otlp.connect import connect
from proxy.otlp.endpoint import Endpoint, parse
from proxy.otlp.envelope import Envelope
from proxy.otlp.transport import MAX_REQUEST, Options
from proxy.otlp.wire import WireError, split, split_entries

NOBODY = "none"  # the exporter under which items are booked that no exporter takes


class Pipeline:
    """Everything between the workers' link and the collectors.

    A signal that no exporter takes (none configured, or left out of `[export] signals`) is booked
    as created and dropped{no_exporter} under the exporter "none", so that the books say what was
    made in vain; `wants` tells beforehand whether making it is worth while.

    Raises ConfigError for endpoints that cannot be used; `start` raises it for bad certificates.
    Pass the `books` of the pipeline that this one replaces, and its counters go on.
    """

    def __init__(
        self,
        settings: Export,
        resource: Mapping[str, str | int],
        *,
        books: Books | None = None,
        console: TextIO | None = None,
    ) -> None:
        self.books = Books() if books is None else books
        self._settings = settings
        self._stages: list[Stage] = []
        self._takers: dict[Signal, list[Stage]] = {signal: [] for signal in SIGNALS}
        self._ledgers: dict[Signal, list[Ledger]] = {signal: [] for signal in SIGNALS}
        self._places: list[tuple[Ledger, Place]] = []
        self._stopped = False
        for endpoint in _endpoints(settings.otlp):
            self._add_otlp(endpoint)
        if settings.console:
            self._add_console(console or sys.stderr)
        envelope = Envelope(resource)
        entries = Format(envelope.request, envelope.overhead, split_entries)
        requests = Format(b"".join, 0, partial(split, "metrics"))
        self._batchers = {
            signal: self._batcher(signal, requests if signal == "metrics" else entries)
            for signal in SIGNALS
            if self._takers[signal]
        }
        self._nobody = {
            signal: self.books.open(signal, NOBODY)
            for signal in SIGNALS
            if not self._takers[signal]
        }

    def wants(self, signal: Signal) -> bool:
        """Whether anything takes that signal."""
        return bool(self._takers[signal])

    async def start(self) -> None:
        """Open exporters; what was offered before waits in their queues."""
        try:
            for stage in self._stages:
                await stage.start()
        except ConfigError:
            await self.stop(0)
            raise

    def offer(self, signal: Signal, entries: bytes, items: int) -> None:
        """Take concatenated `ScopeSpans.spans` or `ScopeLogs.log_records` fields (number 2)."""
        self._add(signal, entries, items)

    def offer_metrics(self, payload: bytes, items: int) -> None:
        """Take a serialised ExportMetricsServiceRequest with so many data points."""
        self._add("metrics", payload, items)

    def note_dropped(self, signal: Signal, items: int, reason: str) -> None:
        """Book what was lost before it came here, as the workers report it."""
        for ledger in self._ledgers[signal] or [self._nobody[signal]]:
            ledger.created += items
            ledger.drop(items, reason)

    async def stop(self, deadline_seconds: float) -> None:
        """Flush and deliver within the time; what remains is dropped{shutdown}."""
        if self._stopped:
            return
        for batcher in self._batchers.values():
            batcher.flush()
        self._stopped = True
        await asyncio.gather(*(stage.stop(deadline_seconds) for stage in self._stages))
        for ledger, place in self._places:  # the books live on, this pipeline need not
            ledger.places.remove(place)

    def _add(self, signal: Signal, piece: bytes, items: int) -> None:
        ledgers = self._ledgers[signal]
        if self._stopped or not ledgers:
            self.note_dropped(signal, items, "shutdown" if ledgers else "no_exporter")
            return
        for ledger in ledgers:
            ledger.created += items
        try:
            self._batchers[signal].add(piece, items)
        except WireError:
            for ledger in ledgers:
                ledger.drop(items, "malformed")

    def _fan_out(self, batch: Batch) -> None:
        for stage in self._takers[batch.signal]:
            stage.consume(batch)

    def _batcher(self, signal: Signal, form: Format) -> Batcher:
        settings = self._settings
        size = min(settings.batch_bytes or MAX_REQUEST, settings.queue_bytes or MAX_REQUEST)
        batcher = Batcher(
            signal,
            Bounds(settings.batch_items, min(size, MAX_REQUEST), settings.batch_age),
            form,
            self._fan_out,
        )
        for ledger in self._ledgers[signal]:
            self._seat(ledger, lambda: batcher.items)
        return batcher

    def _add_otlp(self, endpoint: Endpoint) -> None:
        settings, retry = self._settings, self._settings.retry
        ledgers = {signal: self._ledger(signal, endpoint.name) for signal in settings.signals}
        exporter = OtlpExporter(
            endpoint.name,
            connect(endpoint, _options(settings)),
            Queue(settings.queue_bytes),
            Backoff(retry.initial, retry.max, retry.elapsed),
            ledgers,
            concurrency=settings.concurrency,
        )
        self._attach(exporter, ledgers)

    def _add_console(self, stream: TextIO) -> None:
        if "traces" in self._settings.signals:
            ledger = self._ledger("traces", "console")
            self._attach(ConsoleExporter(stream, ledger), {"traces": ledger})

    def _ledger(self, signal: Signal, exporter: str) -> Ledger:
        ledger = self.books.open(signal, exporter)
        self._ledgers[signal].append(ledger)
        return ledger

    def _attach(self, stage: Stage, ledgers: Mapping[Signal, Ledger]) -> None:
        self._stages.append(stage)
        for signal, ledger in ledgers.items():
            self._takers[signal].append(stage)
            self._seat(ledger, partial(stage.held, signal))

    def _seat(self, ledger: Ledger, place: Place) -> None:
        ledger.places.append(place)
        self._places.append((ledger, place))


def _endpoints(urls: Iterable[str]) -> list[Endpoint]:
    """Parsed, without doubles; raises ConfigError naming each that cannot be used."""
    found: dict[str, Endpoint] = {}
    problems = []
    for index, url in enumerate(urls):
        try:
            endpoint = parse(url)
            found.setdefault(endpoint.name, endpoint)
        except ValueError as error:
            problems.append(Problem(f"export.otlp[{index}]", str(error)))
    if problems:
        raise ConfigError(problems)
    return list(found.values())


def _options(settings: Export) -> Options:
    tls = settings.tls
    return Options(
        headers=settings.headers,
        gzip=settings.compression == "gzip",
        timeout=settings.timeout,
        concurrency=settings.concurrency,
        ca=tls.ca,
        cert=tls.cert,
        key=tls.key,
        verify=not tls.insecure_skip_verify,
    )
