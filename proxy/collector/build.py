"""Building a graph from a checked configuration, and from the graph before it.

What is named by no pipeline is not built. What has the same id and settings as before is taken
over as it runs: a receiver with its sockets, an exporter with its queue, a whole pipeline with
what its processors hold. Building has no effects; starting and connecting come later.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from proxy.collector import registry
from proxy.collector.batch import Signal
from proxy.collector.books import Account, Shelf
from proxy.collector.context import Context
from proxy.collector.fanout import Entry, FanOut, Junction, Step
from proxy.collector.graph import GATEWAY, Chain, Graph, Node, Ways, World
from proxy.collector.receivers.gateway.settings import Settings as GatewaySettings
from proxy.collector.shortform import type_of
from proxy.collector.stage import Sink
from proxy.config.observe import Collector, CollectorPipeline


def build(plan: Collector, world: World, before: Graph | None = None) -> Graph:
    """A graph that is neither started nor connected. Raises what factories raise: ConfigError."""
    return _Builder(plan, world, before).graph()


class _Builder:
    def __init__(self, plan: Collector, world: World, before: Graph | None) -> None:
        self._plan = plan
        self._before = before
        # The resource of this process may be anywhere in processors and receivers.
        self._moved = before is not None and before.world.resource != world.resource
        self._graph = Graph(world)

    def graph(self) -> Graph:
        self._node("receiver", GATEWAY)
        for pipeline in self._plan.pipelines.values():
            for id in pipeline.exporters:
                self._node("connector" if id in self._plan.connectors else "exporter", id)
            for id in pipeline.receivers:
                self._node("connector" if id in self._plan.connectors else "receiver", id)
        for name, pipeline in self._plan.pipelines.items():
            self._graph.chains[name] = self._chain(name, pipeline)
        for node in self._graph.nodes.values():
            if node.junction is not None:
                self._graph.wiring.append((node, self._ways(node)))
        return self._graph

    def _node(self, kind: str, id: str) -> None:
        if (kind, id) in self._graph.nodes:
            return
        settings = self._settings(kind, id)
        before = self._before.nodes.get((kind, id)) if self._before is not None else None
        keeps = before is not None and before.settings == settings
        if before is not None and keeps and (kind == "exporter" or not self._moved):
            self._graph.nodes[kind, id] = before
        else:
            self._graph.nodes[kind, id] = self._fresh(kind, id, settings)

    def _settings(self, kind: str, id: str) -> Any:
        found = getattr(self._plan, f"{kind}s").get(id)
        return GatewaySettings() if found is None and id == GATEWAY else found

    def _fresh(self, kind: str, id: str, settings: Any) -> Node:
        world = self._graph.world
        node = Node(kind, id, settings, world.meters)
        more: dict[str, Any] = {}
        if kind in ("receiver", "connector"):
            more["outlet"] = node.junction = Junction(
                world.books, partial(world.meters.flow, kind, id, "")
            )
        if kind in ("exporter", "connector"):
            more["ledgers"] = node.shelf = Shelf(world.books, id)
        self._make(node, more)
        return node

    def _make(self, node: Node, more: dict[str, Any]) -> None:
        component = registry.find(node.kind, type_of(node.id))
        assert component is not None, node.id
        world = self._graph.world
        if world.console is not None:
            more["console"] = world.console
        context = Context(
            id=node.id,
            kind=node.kind,
            condition=node.condition,
            counters=node.counters,
            resource=world.resource,
            pipeline=node.pipeline,
            turns=world.turns,
            recent=world.recent,
            **more,
        )
        node.stage = component.factory()(node.settings, context)

    def _chain(self, name: str, pipeline: CollectorPipeline) -> Chain:
        signal: Any = name.partition("/")[0]
        ends = tuple(self._end(id) for id in pipeline.exporters)
        for node in ends:
            assert node.shelf is not None
            node.seat(node.shelf[signal], signal)
        before = self._before.chains.get(name) if self._before is not None else None
        settings = [self._plan.processors[id] for id in pipeline.processors]
        if (
            before is not None
            and not self._moved
            and before.ends == ends
            and [step.id for step in before.steps] == pipeline.processors
            and [step.settings for step in before.steps] == settings
        ):
            return before
        return self._fresh_chain(name, signal, pipeline.processors, ends)

    def _fresh_chain(
        self, name: str, signal: Signal, processors: list[str], ends: tuple[Node, ...]
    ) -> Chain:
        ways = [(node.stage, node.shelf[signal]) for node in ends if node.shelf is not None]
        account = Account(ledger for _, ledger in ways)
        meters = self._graph.world.meters
        flow = meters.flow("fanout", "", name, signal)
        fanout = FanOut(ways, account, flow, [node.condition for node in ends])
        head: Sink = fanout
        steps: list[Node] = []
        for id in reversed(processors):
            node = Node("processor", id, self._plan.processors[id], meters, name)
            self._make(node, {"signal": signal, "next": head, "account": account})
            flow = meters.flow("processor", id, name, signal)
            node.step = Step(node.stage, flow, account, node.condition)
            for ledger in account.ledgers:
                node.seat(ledger, signal)
            head = node.step
            steps.insert(0, node)
        entry = Entry(head, account, meters.flow("pipeline", "", name, signal))
        return Chain(name, signal, tuple(steps), ends, account, entry, fanout)

    def _end(self, id: str) -> Node:
        kind = "connector" if id in self._plan.connectors else "exporter"
        return self._graph.nodes[kind, id]

    def _ways(self, node: Node) -> Ways:
        ways: Ways = {}
        for chain in self._graph.chains.values():
            if node.id in self._plan.pipelines[chain.name].receivers:
                ways[chain.signal] = (*ways.get(chain.signal, ()), chain.entry)
        return ways
