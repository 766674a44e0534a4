"""Graph: the components of a configuration, joined; started and stopped in order.

One instance of each receiver, exporter and connector, however many pipelines name it; one of each
processor in each pipeline. What a component does is not known here, and how a graph is made and
replaced is said in build.py and change.py. Last stages are started first and first stages are
stopped first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TextIO

from proxy.collector.batch import Signal
from proxy.collector.books import Account, Books, Ledger, Place, Shelf
from proxy.collector.condition import Condition
from proxy.collector.counters import Counters, Meters
from proxy.collector.fanout import Entry, FanOut, Junction, Step
from proxy.collector.farewell import Farewell
from proxy.collector.guard import REASON, Guard
from proxy.collector.receivers.gateway.receiver import Gateway
from proxy.collector.shortform import type_of
from proxy.collector.startup import diagnose
from proxy.config.collector import RECENT
from proxy.config.locate import dotted
from proxy.errors import ConfigError, Problem
from proxy.otlp.turns import Turns
from proxy.recent.ring import Ring

GATEWAY = "gateway"

Ways = dict[Signal, tuple[Entry, ...]]


@dataclass(frozen=True, slots=True)
class World:
    """What all components of this process share."""

    books: Books
    meters: Meters
    resource: Mapping[str, str | int]
    console: TextIO | None = None  # None = stderr
    turns: Turns = field(default_factory=Turns)
    recent: Ring = field(default_factory=lambda: Ring(0, 0))


class Node:
    """One component instance and what the graph knows of it."""

    __slots__ = (
        "_seats", "condition", "counters", "id", "junction", "kind", "pipeline", "settings",
        "shelf", "stage", "step",
    )  # fmt: skip

    def __init__(
        self, kind: str, id: str, settings: Any, meters: Meters, pipeline: str = ""
    ) -> None:
        self.kind = kind
        self.id = id
        self.settings = settings
        self.pipeline = pipeline  # processors
        title = f"{kind} {id} of {pipeline}" if pipeline else f"{kind} {id}"
        self.condition = Condition(title)
        self.counters: Counters = meters.counters(kind, id, pipeline)
        self.stage: Any = None  # a Source or a Stage
        self.junction: Junction | None = None  # receivers and connectors: the way on
        self.shelf: Shelf | None = None  # exporters and connectors: the books
        self.step: Step | None = None  # processors: the way in
        self._seats: list[tuple[Ledger, Place]] = []

    async def start(self) -> None:
        """Raises ConfigError that names the component's table."""
        self.condition.state = "starting"
        try:
            await self.stage.start()
        except ConfigError as error:
            raise self._failed(error.problems) from error
        except OSError as error:
            server = self.kind == "receiver" or hasattr(self.stage, "page")
            found = await asyncio.to_thread(diagnose, self.settings, error, server=server)
            raise self._failed([found]) from error
        self.condition.state = "running"

    async def stop(self, deadline: float) -> None:
        """Whatever happens there: others have to be stopped as well."""
        self.condition.state = "stopping"
        with Guard(self.condition) as guard:
            await self.stage.stop(max(0.0, deadline))
        if guard.error is not None:
            for ledger, place in self._seats:
                ledger.drop(place(), REASON)
            self.unseat()
        self.condition.state = "stopped"

    def seat(self, ledger: Ledger, signal: Signal) -> None:
        """Have `ledger` ask this stage what it holds."""
        if all(seated is not ledger for seated, _ in self._seats):
            place = partial(self.stage.held, signal)
            self._seats.append((ledger, place))
            ledger.places.append(place)

    def unseat(self) -> None:
        for ledger, place in self._seats:
            ledger.places.remove(place)
        self._seats.clear()

    def _failed(self, problems: Iterable[Problem]) -> ConfigError:
        named = [Problem(self._key(p.key), p.message, p.remedy) for p in problems]
        self.condition.fail("; ".join(p.message for p in named))
        return ConfigError(named)

    def _key(self, below: str) -> str:
        """Of the file; generated components are called by their URL (shortform.py)."""
        if "://" in self.id:
            return f"export.{below.removeprefix('sending_queue.') or 'otlp'}"
        table = dotted(("collector", f"{self.kind}s", self.id))
        return f"{table}.{below}" if below else table

    def __repr__(self) -> str:
        return f"<Node {self.condition.title}: {self.condition.state}>"


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """One pipeline's stages."""

    name: str
    signal: Signal
    steps: tuple[Node, ...]  # processors
    ends: tuple[Node, ...]  # exporters and connectors
    account: Account
    entry: Entry
    fanout: FanOut

    @property
    def is_aside(self) -> bool:
        """Whether it leads to nobody but `recent`, so that senders need not wait for it."""
        return all(end.kind == "exporter" and type_of(end.id) == RECENT for end in self.ends)


@dataclass(slots=True)
class Graph:
    """All components of one configuration."""

    world: World
    nodes: dict[tuple[str, str], Node] = field(default_factory=dict)  # but processors
    chains: dict[str, Chain] = field(default_factory=dict)
    wiring: list[tuple[Node, Ways]] = field(default_factory=list)  # receivers and connectors

    @property
    def gateway(self) -> Gateway:
        gateway = self.nodes["receiver", GATEWAY].stage
        assert isinstance(gateway, Gateway)
        return gateway

    def receivers(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.kind == "receiver"]

    def stages(self) -> list[Node]:
        """Everything but receivers, last stages first."""
        order = [node for node in self.nodes.values() if node.kind == "exporter"]
        for chain in self.chains.values():
            self._visit(chain, order)
        return order

    def connect(self) -> None:
        """Lead receivers and connectors to this graph's pipelines."""
        for node, ways in self.wiring:
            assert node.junction is not None
            node.junction.lead_to(ways, self._asides)

    @property
    def _asides(self) -> frozenset[Entry]:
        return frozenset(chain.entry for chain in self.chains.values() if chain.is_aside)

    def restore(self, before: Node) -> None:
        """Put back a receiver in the place of the one that should have replaced it."""
        node = self.nodes[before.kind, before.id]
        self.nodes[before.kind, before.id] = before
        self.wiring = [(before if n is node else n, ways) for n, ways in self.wiring]

    async def start(self) -> None:
        """Start everything; raises ConfigError, with nothing running, if something cannot."""
        self.connect()
        await start_all([*self.stages(), *self.receivers()])

    async def stop(self, deadline: float) -> None:
        """Flush and deliver within `deadline` seconds; what remains is dropped{shutdown}."""
        end = asyncio.get_running_loop().time() + deadline
        await asyncio.gather(*(node.stop(deadline) for node in self.receivers()))
        await retire(self.stages(), end)

    def _visit(self, chain: Chain, order: list[Node]) -> None:
        """Append what is behind the chain, then the chain. The configuration has no circles."""
        if any(step in order for step in chain.steps):
            return
        for end in chain.ends:
            if end not in order:
                for behind in self._behind(end):
                    self._visit(behind, order)
                order.append(end)
        order.extend(reversed(chain.steps))

    def _behind(self, connector: Node) -> list[Chain]:
        entries = [
            entry
            for node, ways in self.wiring
            if node is connector
            for found in ways.values()
            for entry in found
        ]
        return [chain for chain in self.chains.values() if chain.entry in entries]


async def start_all(nodes: Iterable[Node]) -> None:
    """In this order; when one cannot start, those that did are stopped again."""
    begun: list[Node] = []
    try:
        for node in nodes:
            begun.append(node)
            await node.start()
    except ConfigError:
        for node in reversed(begun):
            state = node.condition.state
            await node.stop(0.0)
            if state == "failed":
                node.condition.state = state
        raise


async def retire(stages: list[Node], end: float) -> None:
    """Stop stages, given last ones first, until the loop's time `end`, and close their books.

    Processors may have to wait for room behind them, but half of the time at most: what they hand
    on has to be exported as well. Exporters stop together, so that none waits for another.
    """
    farewell = Farewell(stages)
    loop = asyncio.get_running_loop()
    half = (loop.time() + end) / 2
    for node in reversed(stages):
        if node.kind != "exporter":
            await node.stop(half - loop.time())
    exporters = [node for node in stages if node.kind == "exporter"]
    await asyncio.gather(*(node.stop(end - loop.time()) for node in exporters))
    for node in stages:
        node.unseat()
    farewell.say()
