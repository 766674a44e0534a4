"""Edges: the numbers of each pair of services, and the request that carries them.

Pure and bounded: what does not fit shares one edge.
"""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from proxy.collector.connectors.aggregate.histogram import Explicit
from proxy.collector.connectors.aggregate.request import CUMULATIVE, Request, pairs_of

SCOPE = "traces_service_graph"
AT_ONCE = 1000  # edges in one request, of five points each

# client, server, connection_type, virtual_node, then client_… and server_… dimensions
Labels = tuple[str, ...]
OVERFLOW: Labels = ()


class Edge:
    """`client` and `server`: seconds as each side saw them."""

    __slots__ = ("client", "failed", "pairs", "requests", "server", "start", "unpaired")

    def __init__(self, pairs: list[KeyValue], bounds: list[float], start: int) -> None:
        self.pairs = pairs
        self.start = start  # Unix ns
        self.requests = 0.0
        self.failed = 0.0
        self.unpaired = 0.0
        self.client = Explicit(bounds)
        self.server = Explicit(bounds)


class Edges:
    """`names` of the labels; at most `most` edges."""

    __slots__ = ("_bounds", "_edges", "_most", "_names", "overflowed")

    def __init__(self, names: list[str], bounds: list[float], most: int) -> None:
        self._names = names
        self._bounds = bounds
        self._most = most
        self._edges: dict[Labels, Edge] = {}
        self.overflowed = 0

    def __len__(self) -> int:
        return len(self._edges)

    def get(self, labels: Labels, now: int) -> Edge:
        """The edge of these labels, or the one that all share for which there is no room."""
        edge = self._edges.get(labels)
        if edge is not None:
            return edge
        if len(self._edges) >= self._most:
            self.overflowed += 1
            labels = OVERFLOW
            if labels in self._edges:
                return self._edges[labels]
            pairs = pairs_of([("otel.metric.overflow", True)])
        else:
            pairs = pairs_of(
                (name, value)
                for name, value in zip(self._names, labels, strict=True)
                if value or name in ("client", "server", "connection_type")
            )
        edge = self._edges[labels] = Edge(pairs, self._bounds, now)
        return edge

    def requests(self, now: int, resource: bytes) -> Iterator[Request]:
        """All edges, cumulative; `now` in Unix ns."""
        edges = list(self._edges.values())
        for first in range(0, len(edges), AT_ONCE):
            request = Request(SCOPE, CUMULATIVE)
            request.resource(resource)
            for edge in edges[first : first + AT_ONCE]:
                _write(request, edge, now)
            yield request


def _write(request: Request, edge: Edge, now: int) -> None:
    times, pairs = (edge.start, now), edge.pairs
    name = "traces_service_graph_"
    if edge.unpaired:
        request.count(f"{name}unpaired_spans_total", edge.unpaired, times, pairs)
    if edge.requests:
        request.count(f"{name}request_total", edge.requests, times, pairs)
        request.count(f"{name}request_failed_total", edge.failed, times, pairs)
        for side, seconds in (("server", edge.server), ("client", edge.client)):
            if not seconds.is_empty:  # an end that sends no spans has seen nothing
                request.histogram(f"{name}request_{side}_seconds", "s", seconds, times, pairs)
