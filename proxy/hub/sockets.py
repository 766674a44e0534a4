"""Listening sockets: one for each listener and worker slot, bound and kept open by the hub.

The kernel throws away what is queued on an SO_REUSEPORT socket when its last descriptor closes
(`net.ipv4.tcp_migrate_req` is 0 by default), so the hub holds each socket for as long as its
listener exists and hands the same one to whichever process fills the slot. Nothing here accepts.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterable

from proxy.errors import ConfigError, Problem, cannot_listen

BACKLOG = 4096  # the kernel caps it at net.core.somaxconn, 4096 since Linux 5.4


class ListenError(ConfigError):
    """An address that cannot be listened on; the text is one line with key and remedy."""


class Sockets:
    """All listening sockets by address, as written in the configuration, and slot."""

    __slots__ = ("_by_address", "_slots")

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._by_address: dict[str, list[socket.socket]] = {}

    @property
    def addresses(self) -> list[str]:
        return list(self._by_address)

    def open(self, addresses: Iterable[str]) -> list[str]:
        """Bind what is not bound yet and return it; all or nothing, raises ListenError."""
        opened: list[str] = []
        try:
            for address in addresses:
                if address not in self._by_address:
                    self._by_address[address] = self._bind(address)
                    opened.append(address)
        except BaseException:
            self.close(opened)
            raise
        return opened

    def close(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            for sock in self._by_address.pop(address, ()):
                sock.close()

    def of_slot(self, slot: int, addresses: Iterable[str]) -> list[tuple[str, socket.socket]]:
        """(address, socket) for each of `addresses`."""
        return [(a, self._by_address[a][slot]) for a in addresses]

    def name(self, address: str) -> str:
        """`address` with the port that was really bound, where the file says 0."""
        port = split_address(address)[1]
        return address if port else f"{address[: address.rindex(':')]}:{self.port(address)}"

    def port(self, address: str) -> int:
        """The port that was really bound; 0 = the address is no longer listened on."""
        group = self._by_address.get(address)
        return int(group[0].getsockname()[1]) if group else 0

    def _bind(self, address: str) -> list[socket.socket]:
        host, port = split_address(address)
        group: list[socket.socket] = []
        try:
            if port and port not in {self.port(a) for a in self._by_address}:
                # With SO_REUSEPORT a second gateway of the same user would silently take half of
                # the connections; without it the kernel says that somebody else has the port.
                _listening(host, port, shared=False).close()
            for _ in range(self._slots):
                sock = _listening(host, port, shared=True)
                group.append(sock)
                port = sock.getsockname()[1]
        except OSError as error:
            for sock in group:
                sock.close()
            raise listen_error(address, error, "listen") from error
        return group


def listen_once(address: str, key: str) -> socket.socket:
    """One socket of its own (the admin port); raises ListenError that names `key`."""
    host, port = split_address(address)
    try:
        sock = _listening(host, port, shared=False)
        sock.listen(128)
    except OSError as error:
        raise listen_error(address, error, key) from error
    return sock


def listen_error(address: str, error: OSError, key: str) -> ListenError:
    return ListenError([Problem(key, *cannot_listen(address, error, key))])


def split_address(address: str) -> tuple[str, int]:
    """(host, port) of ":8080", "127.0.0.1:8080" or "[::1]:8080"; an empty host is all IPv4."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one; workers inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _listening(host: str, port: int, *, shared: bool) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # Peers of a dual-stack socket look like ::ffff:10.0.0.1, which no CIDR of IPv4 matches.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
        if shared:
            sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
