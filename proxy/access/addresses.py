"""Which addresses may come in: the `allow` and `deny` of a route.

Ten thousand networks are asked by bisection, and an address that was asked before by a dict, so
that neither long lists nor many clients make a request slow. IPv4-mapped IPv6 is IPv4, and a zone
("%eth0") says nothing. What is no address is in no network.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

UNIX = "unix"  # in the place of a network: clients by Unix sockets
_MEMO = 4096  # addresses that are remembered; then all are forgotten
_MAPPED = ip_network("::ffff:0:0/96")

Network = IPv4Network | IPv6Network


class Ranges:
    """A set of networks. Raises ValueError for what is none."""

    __slots__ = ("_four", "_six", "_unix")

    def __init__(self, cidrs: Sequence[str]) -> None:
        networks = [parse(cidr) for cidr in cidrs if cidr != UNIX]
        self._unix = UNIX in cidrs
        self._four = _merged(n for n in networks if n.version == 4)
        self._six = _merged(n for n in networks if n.version == 6)

    def holds(self, address: str) -> bool:
        """Whether it is in one of them; "" = a Unix socket."""
        if not address:
            return self._unix
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        starts, ends = self._four if found.version == 4 else self._six
        number = int(found)
        at = bisect_right(starts, number) - 1
        return at >= 0 and number <= ends[at]


class Addresses:
    """The lists of one route: `deny` wins, and a list of who is allowed refuses all others."""

    __slots__ = ("_allow", "_deny", "_memo")

    def __init__(self, allow: Sequence[str], deny: Sequence[str]) -> None:
        self._allow = Ranges(allow) if allow else None
        self._deny = Ranges(deny) if deny else None
        self._memo: dict[str, bool] = {}

    def refuses(self, client: str) -> bool:
        """Whether that address may not come in; "" = a Unix socket. Nobody knows who it is that
        has something else than an address, so that he may not."""
        known = self._memo.get(client)
        if known is None:
            known = self._judge(client)
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            self._memo[client] = known
        return known

    def _judge(self, client: str) -> bool:
        if client and not _is_address(client):
            return True
        if self._deny is not None and self._deny.holds(client):
            return True
        return self._allow is not None and not self._allow.holds(client)


def parse(cidr: str) -> Network:
    """The network; one of IPv4-mapped addresses is one of IPv4. Raises ValueError."""
    network = ip_network(cidr, strict=False)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):  # type: ignore[arg-type]
        low = int(network.network_address) & 0xFFFFFFFF
        return IPv4Network((low, network.prefixlen - 96))
    return network


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _merged(networks: Iterable[Network]) -> tuple[list[int], list[int]]:
    """First and last addresses of what they cover, in order and without overlap."""
    starts: list[int] = []
    ends: list[int] = []
    bounds = [(int(n.network_address), int(n.broadcast_address)) for n in networks]
    for first, last in sorted(bounds):
        if ends and first <= ends[-1] + 1:
            ends[-1] = max(ends[-1], last)
        else:
            starts.append(first)
            ends.append(last)
    return starts, ends
