"""Host: everything of a collector but its process: pipelines, rings, stdout, books.

It is the same in a process of its own (process.py) and in the hub's (`processes = "small"`). Until
it has started, rings wait; what was recorded meanwhile is in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from proxy.collector.books import Books, Standing
from proxy.collector.change import Change
from proxy.collector.frames import SeriesTable, Setup
from proxy.collector.page import Page
from proxy.collector.pipeline import Pipeline
from proxy.collector.reception import Reception
from proxy.collector.rings import Rings
from proxy.collector.stdout import Stdout
from proxy.telemetry.metrics import Series

FLUSH_DEADLINE = 5.0  # seconds that pipelines get to deliver what they hold
STDOUT_GRACE = 1.0  # seconds that whoever reads the access lines has at the end
READ_OUT = 1.0  # seconds for what workers left that have ended
SETTLE = 5.0  # seconds after which nothing is expected of a collector that died


class Host:
    """One collector. `finished` is called with the number of each ring that is done with."""

    def __init__(
        self, finished: Callable[[int], None], page: Page | None = None, out: BinaryIO | None = None
    ) -> None:
        self.books = Books(page)
        self._finished = finished
        self._page = page
        self._lines_lost = page.lines_dropped if page is not None else 0  # by those before
        self._out = out
        self._setup: Setup | None = None
        self._next: tuple[Setup, Change] | None = None
        self._pipeline: Pipeline | None = None
        self._rings: Rings | None = None
        self._stdout: Stdout | None = None
        self._waiting: list[tuple[int, int, int]] = []
        self.reception: Reception | None = None  # from `start` on

    async def start(self, setup: Setup) -> None:
        """Raises ConfigError when the settings cannot work."""
        loop = asyncio.get_running_loop()
        pipeline = Pipeline(
            setup.export,
            setup.resource,
            collector=setup.collector,
            books=self.books,
            recent=setup.recent,
        )
        await pipeline.start()
        self._setup, self._pipeline = setup, pipeline
        self.reception = Reception(pipeline.recent)
        self._follow(setup)
        self._stdout = Stdout(self._out, loop.call_soon_threadsafe)
        self._rings = Rings(pipeline, self._stdout, self._finished)
        for ring in self._waiting:
            self._rings.add(*ring)
        self._waiting.clear()
        loop.call_later(SETTLE, self.books.settle)

    def add_ring(self, number: int, memory: int, pipe: int) -> None:
        """Read it; the descriptors belong to the host from now on."""
        if self._rings is None:
            self._waiting.append((number, memory, pipe))
        else:
            self._rings.add(number, memory, pipe)

    async def prepare(self, setup: Setup) -> None:
        """Start the next configuration, which is not in force yet; raises ConfigError."""
        assert self._pipeline is not None
        change = await self._pipeline.prepare(
            setup.export, setup.resource, setup.collector, setup.recent
        )
        self._next = setup, change

    async def adopt(self, deadline: float) -> None:
        """Bring it into force; what was before delivers what it has."""
        if self._next is not None and self._pipeline is not None:
            (setup, change), self._next = self._next, None
            await self._pipeline.adopt(change, deadline)
            self._setup = setup
            self._follow(setup)

    async def abandon(self) -> None:
        if self._next is not None:
            (_, change), self._next = self._next, None
            await change.abandon()

    def _follow(self, setup: Setup) -> None:
        pipeline, reception = self._pipeline, self.reception
        if pipeline is not None:
            pipeline.graph.gateway.logs_are_taken = setup.takes_logs
        if pipeline is not None and reception is not None:
            reception.desk.about = setup.about
            reception.desk.archive = pipeline.keeper.archive

    def report(self, table: SeriesTable) -> None:
        """Offer metrics of the gateway to the pipelines."""
        pipeline, setup = self._pipeline, self._setup
        if pipeline is not None and setup is not None and pipeline.wants("metrics"):
            from proxy.otlp import metrics  # protobuf: only for whom it is needed

            for payload, points in metrics.requests(
                table.series(), setup.resource, table.started, table.now
            ):
                pipeline.offer_metrics(payload, points)

    def catch_up(self) -> None:
        """Bring in everything that workers have published until now."""
        if self._rings is not None:
            self._rings.catch_up()
        if self._page is not None:
            self._page.lines_dropped = self.lines_dropped

    @property
    def lines_dropped(self) -> int:
        """Access lines that stdout did not take."""
        return self._lines_lost + (self._stdout.dropped if self._stdout is not None else 0)

    def series(self) -> Iterator[Series]:
        if self._pipeline is not None:
            yield from self._pipeline.series()

    def standings(self) -> list[Standing]:
        return self.books.standings()

    def view(self) -> Mapping[str, Any]:
        return self._pipeline.view() if self._pipeline is not None else {}

    async def stop(self, deadline: float, patience: float = 0.0) -> None:
        """Deliver what the workers have left within `deadline` seconds, then close everything.

        `patience`: seconds that workers have to end before that.
        """
        if self.reception is not None:
            await self.reception.close()
        if self._rings is not None:
            await self._rings.read_out(max(patience, min(deadline, READ_OUT)))
        if self._pipeline is not None:
            await self._pipeline.stop(deadline)
        if self._stdout is not None:
            self.catch_up()
            await asyncio.to_thread(self._stdout.close, STDOUT_GRACE)
        if self._rings is not None:
            self._rings.close()
