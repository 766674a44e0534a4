"""Settings of the service_graph connector; names and defaults of the OpenTelemetry Collector's."""

from __future__ import annotations

from itertools import pairwise

from msgspec import field

from proxy.collector.parts import Problems
from proxy.config.section import Positive, Section
from proxy.config.units import Seconds

BUCKETS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000)  # ms


class Store(Section, frozen=True):
    """Spans that wait for the other end of their request."""

    ttl: Seconds = Seconds(2)  # how long half a pair waits for the other
    max_items: Positive = 1000  # some 600 bytes each; what finds no room is counted as dropped


class Settings(Section, frozen=True):
    """[collector.connectors.service_graph]"""

    store: Store = field(default_factory=Store)
    # bounds, as durations
    latency_histogram_buckets: list[Seconds] = field(
        default_factory=lambda: [Seconds(ms / 1000) for ms in BUCKETS]
    )
    dimensions: list[str] = field(default_factory=list)  # as client_<name> and server_<name>
    virtual_node_peer_attributes: list[str] = field(
        default_factory=lambda: [
            "service.peer.name",
            "peer.service",
            "spangate.upstream",
            "db.name",
            "db.namespace",
            "db.system.name",
            "db.system",
            "messaging.destination.name",
            "messaging.destination",
            "messaging.system",
            "rpc.service",
            "server.address",
            "net.peer.name",
            "network.peer.address",
        ]
    )  # the first one found names an end that sends no spans; empty = no such ends
    virtual_node_extra_label: bool = False  # virtual_node = "client" or "server"
    metrics_flush_interval: Seconds = Seconds(60)  # from one sending to the next
    aggregation_cardinality_limit: Positive = 10_000  # edges; the rest shares one
    adjusted_counts: bool = True  # a request sampled at 10 % (tracestate `th`) counts ten times

    def problems(self) -> Problems:
        if not self.metrics_flush_interval:
            yield ("metrics_flush_interval",), "it would never flush", 'write "60s"'
        if not self.store.ttl:
            yield ("store", "ttl"), "a span cannot wait for ever", 'write "2s"'
        buckets = self.latency_histogram_buckets
        if not buckets or any(a >= b for a, b in pairwise(buckets)):
            key = ("latency_histogram_buckets",)
            yield key, "bounds must rise, and there must be one", ""
