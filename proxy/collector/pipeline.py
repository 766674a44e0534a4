"""Pipeline: the collector as its host sees it, one object for the life of the process.

`offer` is called for each run of entries from a ring; nothing here blocks or raises, and every item
offered is in the books from that instant on. What is behind it is a graph, which a reload
replaces; [export] is no more than a short form for one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from proxy import tasks
from proxy.collector import observe
from proxy.collector.batch import Signal
from proxy.collector.books import Books
from proxy.collector.build import build
from proxy.collector.change import Change
from proxy.collector.counters import Meters
from proxy.collector.fanout import NOBODY as NOBODY
from proxy.collector.graph import Graph, World
from proxy.collector.rates import INTERVAL, Rates
from proxy.collector.recent_disk.keeper import Keeper
from proxy.collector.shortform import NOTHING_RECENT, lengthen
from proxy.config.observe import Collector, Export
from proxy.config.see_model import Recent
from proxy.otlp.turns import Turns
from proxy.recent.ring import Ring
from proxy.telemetry.metrics import Series

Resource = Mapping[str, str | int]


class Pipeline:
    """Everything between the workers' rings, or other receivers, and the back ends.

    A signal of the gateway that no pipeline takes is booked as created and dropped{no_exporter}
    under the exporter "none", so that the books say what was made in vain; `wants` tells
    beforehand whether making it is worth while.

    Raises ConfigError for endpoints that cannot be used; `start` raises it for bad certificates
    and addresses that are taken.
    """

    def __init__(
        self,
        settings: Export,
        resource: Resource,
        *,
        collector: Collector | None = None,
        books: Books | None = None,
        console: TextIO | None = None,
        recent: Recent = NOTHING_RECENT,
    ) -> None:
        self.books = Books() if books is None else books
        self.meters = Meters()
        self._console = console
        self._turns = Turns()
        self.recent = Ring(recent.size, recent.failed)
        self.keeper = Keeper(self.recent)
        self._settings = recent
        plan = lengthen(settings, collector, recent)
        self.graph: Graph = build(plan, self._world(resource))
        self.graph.connect()
        self._flushing: set[asyncio.Task[None]] = set()
        self._rates = Rates()
        self._sampling: asyncio.Task[None] | None = None
        self._stopped = False

    def wants(self, signal: Signal) -> bool:
        """Whether anything takes that signal from the gateway."""
        return self.graph.gateway.wants(signal)

    async def start(self) -> None:
        """Open exporters and receivers; what was offered before waits in their queues."""
        await self.graph.start()
        await self.keeper.follow(self._settings)
        self._sampling = tasks.spawn(self._sample(), "rates of flows")

    def series(self) -> Iterator[Series]:
        """What the collector counts, for /metrics and OTLP; the books are told elsewhere."""
        yield from observe.series(self.graph)
        yield from self.keeper.series()

    def view(self) -> dict[str, Any]:
        """For /pipelines."""
        view = observe.view(self.graph, self._rates.at(time.monotonic()))
        if disk := self.keeper.view():
            view["recent"] = {"disk": disk}
        return view

    def offer(self, signal: Signal, entries: bytes, items: int, receipt: object = None) -> None:
        """Take concatenated `ScopeSpans.spans` or `ScopeLogs.log_records` fields (number 2)."""
        self.graph.gateway.offer(signal, entries, items, receipt)

    def offer_metrics(self, payload: bytes, items: int) -> None:
        """Take a serialised ExportMetricsServiceRequest with so many data points."""
        self.graph.gateway.offer_request("metrics", payload, items)

    def note_dropped(self, signal: Signal, items: int, reason: str) -> None:
        """Book what was lost before it came here, as the workers report it."""
        self.graph.gateway.note_dropped(signal, items, reason)

    async def prepare(
        self,
        settings: Export,
        resource: Resource,
        collector: Collector | None = None,
        recent: Recent = NOTHING_RECENT,
    ) -> Change:
        """The next configuration, started beside this one; raises ConfigError.

        It has no effect until `adopt`; `Change.abandon` gives it up.
        """
        plan = lengthen(settings, collector, recent)
        change = Change(self.graph, plan, self._world(resource))
        change.recent = recent
        await change.begin()
        return change

    async def adopt(self, change: Change, deadline: float) -> None:
        """Switch over; what is not needed any more delivers what it has within `deadline` s."""
        flush = await change.commit(deadline)
        self.recent.resize(change.recent.size, change.recent.failed)
        await self.keeper.follow(change.recent)
        self.graph = change.after
        self._flushing.add(flush)
        flush.add_done_callback(self._flushing.discard)

    async def stop(self, deadline_seconds: float) -> None:
        """Flush and deliver within the time; what remains is dropped{shutdown}."""
        if self._stopped:
            return
        self._stopped = True
        await tasks.cancel(self._sampling)
        begun = time.monotonic()
        if self._flushing:  # into exporters that have to run until that is over
            await asyncio.wait(self._flushing, timeout=deadline_seconds / 2)
        await self.graph.stop(max(0.0, deadline_seconds - (time.monotonic() - begun)))
        await asyncio.gather(*self._flushing, return_exceptions=True)
        await self.keeper.stop()

    async def _sample(self) -> None:
        while True:
            self._rates.sample(self.meters.flows.values(), time.monotonic())
            await asyncio.sleep(INTERVAL)

    def _world(self, resource: Resource) -> World:
        return World(self.books, self.meters, resource, self._console, self._turns, self.recent)
