"""Clusters -> tables of upstreams, and the servers that they have now.

Bytes of a TCP listener go to an upstream of their own where routes use the cluster too, since one
upstream is asked for answers or for connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.sources.xds.kinds import EDS
from proxy.sources.xds.map_cluster import Cluster
from proxy.sources.xds.names import upstream_of
from proxy.sources.xds.state import State

Table = dict[str, Any]
BYTES = "tcp"  # scheme of servers that take bytes alone


def nobody(scheme: str) -> Table:
    """An upstream without servers: its requests get 503, its connections are closed."""
    return {"discover": _discover("source", scheme)}


def is_nobody(table: Table) -> bool:
    return len(table) == 1


def known_as(cluster: str, known: Mapping[str, Table]) -> Iterable[tuple[str, str]]:
    """The upstreams among these that take their servers from this cluster by EDS, with schemes."""
    for upstream in (upstream_of(cluster), upstream_for_bytes(cluster)):
        table = known.get(upstream)
        if table is not None and not is_nobody(table):
            yield upstream, scheme_of(table)


def scheme_of(table: Table) -> str:
    """That of servers that a source says."""
    return str(table.get("discover", "")).partition("+")[2] or "http"


def in_both(urls: Mapping[str, int], scheme: str) -> dict[str, int]:
    """The same servers by this scheme too."""
    return {**{f"{scheme}://{url.partition('://')[2]}": w for url, w in urls.items()}, **urls}


def upstream_for_bytes(cluster: str) -> str:
    """Where routes have the one that is called as the cluster."""
    return upstream_of(f"tcp:{cluster}")


def table_of(cluster: Cluster, scheme: str, keys: Iterable[str], state: State) -> Table:
    """`keys`: what its routes hash by, one at most."""
    table = dict(cluster.table)
    if cluster.algorithm:
        table["balance"] = {"policy": "random"}
        for key in keys:
            table["balance"] = {"policy": "hash", "on": key, "algorithm": cluster.algorithm}
    if backup := backup_of(cluster, scheme, state):
        table["backup"] = backup
    if cluster.dns:
        table["discover"] = f"{_discover('dns', scheme)}://{cluster.dns}"
    elif cluster.fixed is not None and (servers := cluster.fixed.servers(scheme, cluster.weighted)):
        table["servers"] = servers
    else:
        table["discover"] = _discover("source", scheme)
    return table


def servers_of(cluster: Cluster, scheme: str, state: State) -> dict[str, int]:
    """The servers of a cluster that has them by EDS."""
    endpoints = state.held[EDS].mapped.get(cluster.eds)
    return endpoints.servers(scheme, cluster.weighted) if endpoints is not None else {}


def backup_of(cluster: Cluster, scheme: str, state: State) -> dict[str, int]:
    endpoints = cluster.fixed or state.held[EDS].mapped.get(cluster.eds)
    return endpoints.backup(scheme, cluster.weighted) if endpoints is not None else {}


def _discover(way: str, scheme: str) -> str:
    return way if scheme == "http" else f"{way}+{scheme}"
