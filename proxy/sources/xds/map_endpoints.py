"""ClusterLoadAssignment -> servers by URL with their weights.

Localities have weights of their own, which count where the cluster says so
(`locality_weighted_lb_config`); without it servers of all localities are alike. Priority 0 serves,
priority 1 is the backup, and what is unhealthy or draining is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import gcd
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from proxy.config.syntax import parse_server
from proxy.sources.xds.reading import Reader, Refused, which

DOWN = frozenset((2, 3, 4))  # HealthStatus UNHEALTHY, DRAINING, TIMEOUT
MOST = 1 << 16  # of one weight, where those of localities are multiplied with those of servers


@dataclass(frozen=True, slots=True)
class Group:
    """The servers of one locality and priority: "10.0.0.1:80" or "unix:/run/x" -> weight."""

    priority: int
    weight: int | None  # of the locality; None = it says none
    servers: dict[str, int]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """One assignment."""

    name: str
    groups: tuple[Group, ...]

    @property
    def has_pipes(self) -> bool:
        return any(place.startswith("unix:") for group in self.groups for place in group.servers)

    def servers(self, scheme: str, weighted: bool) -> dict[str, int]:
        return _urls((g for g in self.groups if g.priority == 0), scheme, weighted)

    def backup(self, scheme: str, weighted: bool) -> dict[str, int]:
        main = self.servers(scheme, weighted)
        found = _urls((g for g in self.groups if g.priority == 1), scheme, weighted)
        return {url: weight for url, weight in found.items() if url not in main}


def map_endpoints(assignment: Any, reader: Reader) -> Endpoints:
    reader.only(assignment, "cluster_name", "endpoints", "policy")
    reader.only(assignment.policy)
    groups = []
    for locality in assignment.endpoints:
        reader.only(locality, "locality", "lb_endpoints", "load_balancing_weight", "priority")
        if locality.priority > 1:
            raise Refused("LocalityLbEndpoints.priority above 1 is not supported")
        servers: dict[str, int] = {}
        for endpoint in locality.lb_endpoints:
            reader.only(endpoint, "endpoint", "health_status", "load_balancing_weight")
            if endpoint.health_status in DOWN:
                continue
            weight = endpoint.load_balancing_weight.value
            said = endpoint.HasField("load_balancing_weight")
            if said and not weight:
                raise Refused("LbEndpoint.load_balancing_weight is at least 1")
            place = map_endpoint(endpoint.endpoint, reader)
            servers[place] = servers.get(place, 0) + (weight if said else 1)
        has = locality.HasField("load_balancing_weight")
        weight = locality.load_balancing_weight.value if has else None
        groups.append(Group(locality.priority, weight, servers))
    return Endpoints(assignment.cluster_name, tuple(groups))


def map_endpoint(endpoint: Any, reader: Reader) -> str:
    """ "10.0.0.1:80", "[::1]:80", "unix:/run/x"."""
    reader.only(endpoint, "address", "health_check_config")
    if endpoint.HasField("health_check_config"):
        reader.only(endpoint.health_check_config)
    place = address_of(endpoint.address, reader)
    socket = endpoint.address.socket_address
    if not (_is_ip(socket.address) and socket.port_value):
        try:
            parse_server(place if place.startswith("unix:") else f"http://{place}")
        except ValueError:
            raise Refused(f"Endpoint.address {place!r} is no place of a server") from None
    return place


def _is_ip(text: str) -> bool:
    """Ten times as fast as taking a URL apart, of which there are tens of thousands."""
    try:
        inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def address_of(address: Any, reader: Reader) -> str:
    kind = which(address, "address")
    if kind == "pipe":
        reader.only(address.pipe, "path")
        return f"unix:{address.pipe.path}"
    if kind != "socket_address":
        raise Refused(f"Address.{kind or 'address'} is not supported")
    socket = address.socket_address
    reader.only(socket, "protocol", "address", "port_value", "ipv4_compat")
    if socket.protocol:
        raise Refused("SocketAddress.protocol UDP is not supported")
    if not 0 <= socket.port_value <= 65535 or not socket.address:
        raise Refused(f"SocketAddress {socket.address!r} port {socket.port_value} is none")
    host = f"[{socket.address}]" if ":" in socket.address else socket.address
    return f"{host}:{socket.port_value}"


def _urls(groups: Iterable[Group], scheme: str, weighted: bool) -> dict[str, int]:
    found: dict[str, int] = {}
    chosen = [g for g in groups if g.servers and not (weighted and not g.weight)]
    for group in chosen:
        factor = _factor(group, chosen) if weighted else 1
        for place, weight in group.servers.items():
            url = place if place.startswith("unix:") else f"{scheme}://{place}"
            found[url] = found.get(url, 0) + weight * factor
    return _shortened(found)


def _factor(group: Group, groups: list[Group]) -> int:
    """What a weight in this group is multiplied by, so that the group gets its locality's share."""
    product = group.weight or 1
    for other in groups:
        if other is not group:
            product *= sum(other.servers.values())
    return product


def _shortened(servers: dict[str, int]) -> dict[str, int]:
    """The same proportions in small numbers."""
    if not servers:
        return servers
    divisor = gcd(*servers.values())
    most = max(servers.values()) // divisor
    if most > MOST:
        return {url: max(1, w // divisor * MOST // most) for url, w in servers.items()}
    return servers if divisor == 1 else {url: w // divisor for url, w in servers.items()}
