"""What tests of single components need: settings from TOML, a place to stand in, batches."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from proxy.collector import registry
from proxy.collector.batch import Batch, Signal
from proxy.collector.books import Account, Books, Shelf
from proxy.collector.context import Context
from proxy.collector.counters import Counters, Flow
from proxy.collector.fanout import Entry, Step
from proxy.collector.pipeline import Pipeline
from proxy.config.load import loads
from proxy.config.observe import Export
from proxy.otlp.envelope import Envelope
from tests.otlp import samples


def settings(kind: str, id: str, toml: str = "") -> Any:
    """The settings of a component as `spangate check` reads them; raises ConfigError."""
    text = f'[collector.{kind}s."{id}"]\n{toml}\n'
    collector = loads(text, "test.toml", {}).config.collector
    return getattr(collector, f"{kind}s")[id]


class Place:
    """Where a component under test stands: `context` is its own, and what comes out is here.

    `send` is what a pipeline does: the books of `ledger` are kept around the component, which is
    balanced at every moment or the test fails. `room = False` lets everything behind it refuse.
    """

    def __init__(self, kind: str, id: str, *, signal: Signal = "traces", **more: Any) -> None:
        self.kind = kind
        self.signal: Signal = signal
        self.books = Books()
        self.shelf = Shelf(self.books, "behind" if kind == "processor" else id)
        self.ledger = self.shelf[signal]
        self.account = Account([self.ledger])
        self.counters = Counters(((kind, id),))
        self.out: list[Batch] = []  # what was passed on
        self.room = True
        self.wanted: set[str] = {"traces", "metrics", "logs", "profiles"}
        self.lost: list[Batch] = []  # pushed and refused
        given = {
            "signal": signal,
            "next": self,
            "outlet": self,
            "account": self.account,
            "ledgers": self.shelf,
            "counters": self.counters,
            "console": io.StringIO(),
            **more,
        }
        self.context = Context(id=id, kind=kind, **given)
        self._stage: Any = None

    def make(self, toml: str = "") -> Any:
        """The component, not started."""
        component = registry.find(self.kind, self.context.type)
        assert component is not None
        made = component.factory()(settings(self.kind, self.context.id, toml), self.context)
        if self.kind != "receiver":
            self._stage = made
            self.ledger.places.append(lambda: made.held(self.signal))
        return made

    def send(self, batch: Batch) -> bool:
        """Offer a batch to the component, with the books kept."""
        taken = Entry(Step(self._stage, Flow()), self.account, Flow()).consume(batch)
        assert self.ledger.balanced, self.ledger
        return taken

    @property
    def items(self) -> int:
        """Items that were passed on."""
        return sum(batch.items for batch in self.out)

    # -- the Outlet or next stage -----------------------------------------------------------------

    def wants(self, signal: Signal) -> bool:
        return signal in self.wanted

    def consume(self, batch: Batch) -> bool:
        if not self.room:
            return False
        self.out.append(batch)
        if self.kind == "processor":
            self.ledger.exported += batch.items
        return True

    def push(self, batch: Batch) -> None:
        if not self.consume(batch):
            self.lost.append(batch)


def batch(signal: Signal = "traces", items: int = 3) -> Batch:
    """A batch of that signal as a receiver makes it."""
    if signal == "metrics":
        return Batch(signal, samples.metrics(items), items)
    if signal == "profiles":
        return Batch(signal, b"\x0a\x00", 1)
    entries = samples.spans(items) if signal == "traces" else samples.logs(items)
    return Batch(signal, Envelope({"service.name": "app"}).request([entries]), items)


RESOURCE: dict[str, str | int] = {"service.name": "gate", "process.pid": 7}


def plan(toml: str) -> Any:
    """[collector] of a whole file."""
    return loads(toml, "test.toml", {}).config.collector


@asynccontextmanager
async def collecting(toml: str) -> AsyncIterator[Pipeline]:
    """A running collector, whose books must balance to the end."""
    pipeline = Pipeline(Export(), RESOURCE, collector=plan(toml))
    await pipeline.start()
    try:
        yield pipeline
    finally:
        async with asyncio.timeout(30):
            await pipeline.stop(5)
        assert pipeline.books.balanced(), list(pipeline.books)
        assert all(ledger.queued == 0 and not ledger.places for ledger in pipeline.books)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what nothing else tells of."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)
