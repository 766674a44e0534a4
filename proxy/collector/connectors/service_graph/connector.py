"""Connector `service_graph`: which service calls which, how often and how slowly, as metrics.

Traces go in and are digested at once; metrics come out each `metrics_flush_interval`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.collector.batch import Batch, Signal
from proxy.collector.connectors.aggregate.weight import Weights
from proxy.collector.connectors.service_graph.edges import Edges, Labels
from proxy.collector.connectors.service_graph.pairs import (
    CLIENT,
    CONSUMER,
    PRODUCER,
    SERVER,
    End,
    Pairs,
)
from proxy.collector.connectors.service_graph.settings import Settings
from proxy.collector.context import Context
from proxy.collector.counters import UNTIMED
from proxy.collector.guard import keep
from proxy.collector.tail.pace import Pace
from proxy.collector.tail.value import plain
from proxy.formats.spans import duration_ns
from proxy.otlp.envelope import resource
from proxy.tasks import cancel

ERROR = 2  # trace.v1.Status.StatusCode
USER = "user"  # who calls a service that nobody else calls
_NAME = "otelcol_connector_servicegraph_"
_DATABASE = ("db.name", "db.namespace", "db.system.name", "db.system")
_NO_SPAN = bytes(8)


class ServiceGraph:
    """A Stage that holds nothing of what came in: its spans are counted when it took them."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._outlet = context.outlet
        self._ledgers = context.ledgers
        self._now_ns = context.now_ns
        self._id = context.id
        self._condition = context.condition
        self._resource = resource(context.resource)
        self._pairs = Pairs(settings.store.ttl, settings.store.max_items)
        self._edges = Edges(
            _label_names(settings),
            [float(bound) for bound in settings.latency_histogram_buckets],
            settings.aggregation_cardinality_limit,
        )
        self._weights = Weights()
        peers = settings.virtual_node_peer_attributes
        queues = [name for name in peers if name.startswith("messaging.")]
        # What names the other end; who is served says nothing of the one who asked.
        self._named = {SERVER: [], CLIENT: peers, PRODUCER: peers, CONSUMER: queues}
        self._wanted = frozenset(
            (*settings.dimensions, *settings.virtual_node_peer_attributes, *_DATABASE)
        )
        self._pace = Pace(context.now_ns)
        self._task: asyncio.Task[None] | None = None
        count = context.counters.counter
        self._dropped = count(_NAME + "dropped_spans", "Spans that found no room to wait.")
        self._expired = count(_NAME + "expired_edges", "Spans whose other end never came.")
        self._total = count(_NAME + "total_edges", "Pairs found.")
        self._overflowed = count(_NAME + "overflowed", "Requests of more edges than allowed.")
        self._untimed = context.counters.counter(*UNTIMED)
        context.counters.gauge(_NAME + "waiting", "Spans that wait.", lambda: len(self._pairs))

    async def start(self) -> None:
        self._task = keep(self._flush_for_ever, self._condition, f"flush of {self._id}")

    def held(self, signal: Signal) -> int:
        return 0

    def consume(self, batch: Batch) -> bool:
        message: Any = batch.message()
        now = self._pace()
        self._expire(now)
        for envelope in message.resource_spans:
            service = ""
            values: dict[str, Any] = {}
            for pair in envelope.resource.attributes:
                if pair.key == "service.name":
                    service = str(plain(pair.value))
                elif pair.key in self._settings.dimensions:
                    values[pair.key] = plain(pair.value)
            for scope in envelope.scope_spans:
                for span in scope.spans:
                    if SERVER <= span.kind <= CONSUMER:
                        self._take(span, service, values, now)
        self._ledgers["traces"].exported += batch.items
        return True

    async def stop(self, deadline: float) -> None:
        await cancel(self._task)
        self._task = None
        self._expire(float("inf"))
        await self.flush()

    async def flush(self) -> None:
        """Send all edges, with room for others between two requests."""
        self._expire(self._pace())
        for request in self._edges.requests(self._now_ns(), self._resource):
            if request.points and not self._outlet.consume(request.batch()):
                return  # the numbers stay and go out at the next flush
            await asyncio.sleep(0)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.metrics_flush_interval)
            await self.flush()

    def _take(self, span: Any, service: str, values: dict[str, Any], now: float) -> None:
        asks = span.kind in (CLIENT, PRODUCER)
        end = self._end(span, service, values, asks)
        if end.root:
            self._lonely(end)
            return
        key = (span.trace_id, span.span_id if asks else span.parent_span_id)
        other = self._pairs.match(key, end)
        if other is not None:
            self._total.add()
            self._meet(end, other) if asks else self._meet(other, end)
        elif not self._pairs.wait(key, end, now):
            self._dropped.add()

    def _end(self, span: Any, service: str, values: dict[str, Any], asks: bool) -> End:
        found = dict(values)
        if asks or span.kind == CONSUMER or self._settings.dimensions:
            wanted = self._wanted
            for pair in span.attributes:
                if pair.key in wanted:
                    found[pair.key] = plain(pair.value)
        took = duration_ns(span)
        self._untimed.add(took is None)
        names = self._named[span.kind]
        return End(
            service=service,
            asks=asks,
            messaging=span.kind in (PRODUCER, CONSUMER),
            seconds=None if took is None else took / 1e9,
            failed=span.status.code == ERROR,
            weight=self._weight(span),
            peer=next((str(found[name]) for name in names if found.get(name)), ""),
            database=asks and any(name in found for name in _DATABASE),
            root=not asks and span.parent_span_id in (b"", _NO_SPAN),
            extra=tuple(str(found.get(name, "")) for name in self._settings.dimensions),
        )

    def _weight(self, span: Any) -> float:
        return self._weights.of(span.trace_state) if self._settings.adjusted_counts else 1.0

    def _meet(self, client: End, server: End) -> None:
        kind = "messaging_system" if client.messaging or server.messaging else ""
        if client.database:
            kind = "database"
        labels = (client.service, server.service, kind, "", *client.extra, *server.extra)
        self._count(labels, client, server)

    def _expire(self, now: float) -> None:
        for end in self._pairs.expired(now):
            self._expired.add()
            self._lonely(end)

    def _lonely(self, end: End) -> None:
        """An end whose other sends no spans: a database, a user, a service that is not traced."""
        blank = ("",) * len(self._settings.dimensions)
        virtual = bool(self._settings.virtual_node_peer_attributes)
        mark = "server" if end.asks else "client"
        mark = mark if self._settings.virtual_node_extra_label else ""
        if end.asks:
            kind = "messaging_system" if end.messaging else "database" if end.database else ""
            kind = kind or ("virtual_node" if end.peer and virtual else "")
            labels: Labels = (end.service, end.peer, kind, mark, *end.extra, *blank)
            seen = bool(end.peer) and virtual
        else:
            caller = end.peer or (USER if end.root else "")
            kind = "messaging_system" if end.peer else "virtual_node"
            labels = (caller, end.service, kind, mark, *blank, *end.extra)
            seen = bool(caller) and virtual
        if seen:
            self._count(labels, *((end, None) if end.asks else (None, end)))
        else:
            self._edge((*labels[:2], "", "", *labels[4:])).unpaired += end.weight

    def _count(self, labels: Labels, client: End | None, server: End | None) -> None:
        edge = self._edge(labels)
        ends = [end for end in (client, server) if end is not None]
        weight = ends[0].weight
        edge.requests += weight
        if any(end.failed for end in ends):
            edge.failed += weight
        for end, seen in ((client, edge.client), (server, edge.server)):
            if end is not None and end.seconds is not None:
                seen.add(end.seconds, weight)

    def _edge(self, labels: Labels) -> Any:
        before = self._edges.overflowed
        edge = self._edges.get(labels, self._now_ns())
        self._overflowed.add(self._edges.overflowed - before)
        return edge


def _label_names(settings: Settings) -> list[str]:
    return [
        "client",
        "server",
        "connection_type",
        "virtual_node",
        *(f"client_{name}" for name in settings.dimensions),
        *(f"server_{name}" for name in settings.dimensions),
    ]


def make(settings: Settings, context: Context) -> ServiceGraph:
    return ServiceGraph(settings, context)
