"""Who is called by mTLS: hosts and networks of `[mesh] peers`."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from proxy.config.mesh_model import Mesh


class Peers(NamedTuple):
    """Names, suffixes of names, networks."""

    hosts: frozenset[str]
    suffixes: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...]


def parsed(mesh: Mesh) -> Peers:
    """What the table says."""
    networks, names = [], []
    for peer in mesh.peers:
        try:
            networks.append(ip_network(peer, strict=False))
        except ValueError:
            names.append(peer.lower())
    suffixes = tuple(name[1:] for name in names if name.startswith("*."))
    return Peers(frozenset(n for n in names if not n.startswith("*.")), suffixes, tuple(networks))


def has(peers: Peers, address: str, host: str) -> bool:
    """Whether one of them is there; `host` is in lower case and without a port."""
    if host in peers.hosts or host.endswith(peers.suffixes):
        return True
    if not peers.networks or not is_address(address):
        return False
    said = ip_address(address.partition("%")[0])
    found = getattr(said, "ipv4_mapped", None) or said  # which is the same host
    return any(found in network for network in peers.networks)


def is_address(host: str) -> bool:
    """Whether it is one as it is written everywhere; what some resolvers take for one besides
    (`127.1`, `2130706433`) is a name."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
