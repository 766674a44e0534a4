"""Whose trace context is believed, and what becomes of the others'.

A stranger's context may carry a forged sampled flag (cost) or a forged trace id (collisions with
other people's traces), W3C Trace Context §7: it is a link at most, never a parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from proxy.tracing.context import TraceContext

Untrusted = Literal["link", "drop"]

UNIX = "unix"  # in the place of a network
MEMO = 4096  # addresses remembered, about 0.5 MB; then all are forgotten and learnt anew


class Networks:
    """A set of IPv4 and IPv6 networks, and "unix" for the peers of Unix sockets. Raises ValueError
    for what is not a network or address."""

    __slots__ = ("_memo", "_networks", "_unix")

    def __init__(self, cidrs: Sequence[str]) -> None:
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(cidr, strict=False) for cidr in cidrs if cidr != UNIX
        )
        self._unix = UNIX in cidrs
        self._memo: dict[str, bool] = {}

    def holds(self, address: str) -> bool:
        """Whether the address is in one of the networks.

        "" is the peer of a Unix socket, whom file permissions let in. IPv6 may have a zone, and
        IPv4-mapped IPv6 counts as IPv4. What is no address never is.
        """
        known = self._memo.get(address)
        if known is None:
            known = self._look(address)
            if len(self._memo) >= MEMO:
                self._memo.clear()
            self._memo[address] = known
        return known

    def _look(self, address: str) -> bool:
        if not address:
            return self._unix
        try:
            peer = ip_address(address)
        except ValueError:
            return False
        if any(peer in network for network in self._networks):
            return True
        mapped = peer.ipv4_mapped if isinstance(peer, IPv6Address) else None
        return mapped is not None and any(mapped in network for network in self._networks)


def judge(
    context: TraceContext | None, trusted: bool, untrusted: Untrusted
) -> tuple[TraceContext | None, TraceContext | None]:
    """(parent, link): a stranger's context is a link on a new trace, or nothing.

    Its sampled and debug flags count for nothing, and a bare decision (no ids) is ignored.
    """
    if context is None or trusted:
        return context, None
    if untrusted == "link" and context.trace_id:
        return None, context
    return None, None
