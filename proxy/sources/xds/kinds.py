"""The five kinds of resources: what they are called, on the wire and to people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.sources.xds.map_cluster import map_cluster
from proxy.sources.xds.map_endpoints import map_endpoints
from proxy.sources.xds.map_listener import map_listener
from proxy.sources.xds.map_routes import map_routes
from proxy.sources.xds.map_tls import map_secret
from proxy.sources.xds.reading import Reader

TYPES = "type.googleapis.com/"
WRAPPER = f"{TYPES}envoy.service.discovery.v3.Resource"


@dataclass(frozen=True, slots=True)
class Kind:
    short: str  # "cds", as versions are shown
    word: str  # for messages
    url: str
    whole: bool  # a response of the state of the world has all of them: what is not in it is gone
    names: str  # field of the message that is the resource's name
    map: Callable[[Any, Reader], Any]

    def __hash__(self) -> int:
        return hash(self.short)


CDS = Kind("cds", "cluster", f"{TYPES}envoy.config.cluster.v3.Cluster", True, "name", map_cluster)
EDS = Kind(
    "eds",
    "endpoints",
    f"{TYPES}envoy.config.endpoint.v3.ClusterLoadAssignment",
    False,
    "cluster_name",
    map_endpoints,
)
LDS = Kind(
    "lds", "listener", f"{TYPES}envoy.config.listener.v3.Listener", True, "name", map_listener
)
RDS = Kind(
    "rds",
    "route configuration",
    f"{TYPES}envoy.config.route.v3.RouteConfiguration",
    False,
    "name",
    map_routes,
)
SDS = Kind(
    "sds",
    "secret",
    f"{TYPES}envoy.extensions.transport_sockets.tls.v3.Secret",
    False,
    "name",
    map_secret,
)
# In the order in which asking for them drops no traffic (xds_protocol.rst, "Eventual consistency
# considerations")
KINDS = (CDS, EDS, LDS, RDS, SDS)
BY_URL = {kind.url: kind for kind in KINDS}
