"""Where connections were meant to go before they were turned to the sidecar, and what is here.

The kernel keeps the destination that a rule has replaced (netfilter's SO_ORIGINAL_DST); TPROXY
replaces none, so that it is the socket's own address. Measured: one system call of 1 µs, once for
each connection.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from proxy.server.listener import Listener

Place = tuple[str, int]  # address or name, port

_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h
_V4, _V6 = struct.Struct("!2xH4s8x"), struct.Struct("!2xH4x16s4x")  # sockaddr_in, sockaddr_in6
_TRANSPARENT4 = (socket.SOL_IP, 19)  # linux/in.h
_TRANSPARENT6 = (socket.IPPROTO_IPV6, 75)  # linux/in6.h
_MARK = 1337
_MOST_KNOWN = 1024  # addresses that are remembered
_KNOWN_FOR = 10_000_000_000  # ns: an interface may get an address later


def original(transport: Any, redirect: str) -> Place | None:
    """Where the client of an accepted connection wanted to go, None = nobody knows. `redirect`:
    what may have turned it here, as in `[mesh]`."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    found: Place | None
    if redirect == "ebpf":
        found = _kept(sock)
    elif redirect == "tproxy":
        name = sock.getsockname()
        found = (name[0], name[1])
    else:
        found = _replaced(sock)
    return None if found is None else (_plain(found[0]), found[1])


def came_in_by(listener: Listener, port: int) -> int:
    """Where a connection came in: the listener's own port, as TPROXY shows another, `port`."""
    name = listener.socket.getsockname() if listener.socket.fileno() >= 0 else None
    return int(name[1]) if isinstance(name, tuple) else port


def _kept(sock: Any) -> Place | None:
    """What programs in the kernel have kept of a connection from here; 5 µs."""
    from proxy.bpf.destination import lookup

    client, name = sock.getpeername(), sock.getsockname()
    return lookup(client[1], client[0], name[1])


def _replaced(sock: Any) -> Place | None:
    """What a NAT rule has replaced; ENOENT = there was none."""
    try:
        if sock.family == socket.AF_INET:
            port, raw = _V4.unpack(sock.getsockopt(socket.SOL_IP, _ORIGINAL_DST, _V4.size))
            return socket.inet_ntop(socket.AF_INET, raw), port
        port, raw = _V6.unpack(sock.getsockopt(socket.IPPROTO_IPV6, _ORIGINAL_DST, _V6.size))
        return socket.inet_ntop(socket.AF_INET6, raw), port
    except OSError:
        return None


def _plain(address: str) -> str:
    """IPv4 as such, where a socket of both families has it in IPv6."""
    return address[7:] if address.startswith("::ffff:") and "." in address else address


def transparent(source: str) -> socket.socket:
    """A socket that will connect from an address that is not here (IP_TRANSPARENT, ip(7)), with the
    mark by which the rules know what is the sidecar's own. Needs CAP_NET_ADMIN."""
    v6 = ":" in source
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(*(_TRANSPARENT6 if v6 else _TRANSPARENT4), 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _MARK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((source, 0))
    except BaseException:
        sock.close()
        raise
    return sock


class Here:
    """Which addresses are this machine's own, as far as this network namespace knows."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, tuple[bool, int]] = {}

    def has(self, address: str, now: int) -> bool:
        """Whether that is one of them; a name never is. `now`: monotonic ns."""
        known = self._known.get(address)
        if known is not None and now - known[1] < _KNOWN_FOR:
            return known[0]
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        found = _is_own(address)
        self._known[address] = (found, now)
        return found


def _is_own(address: str) -> bool:
    """Only an own address can be bound; nothing is sent by that."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.inet_pton(family, address.partition("%")[0])
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except (OSError, ValueError):
        return False
    return True
