"""Map: services and the calls between them, for /api/map and for what Jaeger and Zipkin call
dependencies.

The graph is kept in the desk's memory between two questions, so that only what is new is looked at.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.recent.broken import with_broken
from proxy.recent.desk import Answer, Asked, refusal, reply
from proxy.recent.graph import SECOND, Counts, Edge, Graph, begin
from proxy.recent.show import cut
from proxy.recent.view import Step


@dataclass(frozen=True, slots=True)
class Dependency:
    """All calls that are known of, from one service to another; times in Unix ns."""

    source: str
    target: str
    calls: int
    errors: int
    first: int
    last: int


def answer(asked: Asked) -> Answer:
    """What GET /api/map answers."""
    if len(asked.path) > 2:
        return refusal(404, "there is no such thing here")
    graph, edges = yield from _graph(asked)
    return reply((yield from with_broken(asked, as_json(graph, edges, asked.now))))


def dependencies(asked: Asked) -> Generator[Step, None, list[Dependency]]:
    """The same as sums, by name."""
    _, edges = yield from _graph(asked)
    return [
        Dependency(source, target, edge.all.calls, edge.all.errors, edge.first, edge.last)
        for (source, target), edge in sorted(edges.items())
    ]


def _graph(
    asked: Asked,
) -> Generator[Step, None, tuple[Graph, Mapping[tuple[str, str], Edge]]]:
    memory = asked.memory if isinstance(asked.memory, dict) else {}
    graph = memory.setdefault("graph", Graph())
    # Two viewers may ask at once; each step is whole, and a batch is counted by whoever is first.
    yield from graph.follow(asked.store, asked.now)
    edges = yield from graph.shown(asked.now)
    return graph, edges


def as_json(graph: Graph, edges: Mapping[tuple[str, str], Edge], now: int) -> dict[str, Any]:
    """Nodes and edges by name; rates of the last minute, or of the time since the first span."""
    covered = max(now - max(graph.since, begin(now)), SECOND) / SECOND
    names = sorted({name for pair in edges for name in pair} | graph.gateways.keys())
    return {
        "nodes": [
            {"name": cut(name), "kind": "gateway" if name in graph.gateways else "service"}
            for name in names
        ],
        "edges": [
            _edge(pair, edge, edge.recent(now), covered)
            | {"broken": _is_broken(graph, pair[1], edge)}
            for pair, edge in sorted(edges.items())
        ],
    }


def _edge(pair: tuple[str, str], edge: Edge, recent: Counts, covered: float) -> dict[str, Any]:
    took = recent if recent.calls else edge.all
    return {
        "source": cut(pair[0]),
        "target": cut(pair[1]),
        "rate": recent.calls / covered,
        "errors": recent.errors / covered,
        "p50_ms": took.quantile_ms(0.5),
        "p99_ms": took.quantile_ms(0.99),
        "calls": edge.all.calls,
    }


def _is_broken(graph: Graph, target: str, edge: Edge) -> bool:
    """Whether a service that records spans begins traces anew, and continues none of those calls.

    Only where a gateway has made the calls, and so has surely sent their context.
    """
    return target in graph.roots and bool(edge.through) and not edge.continued
