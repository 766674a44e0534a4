"""Listening sockets: one for each listener and worker slot, bound and kept open by the hub.

The kernel throws away what is queued on an SO_REUSEPORT socket when its last descriptor closes
(`net.ipv4.tcp_migrate_req` is 0 by default), so the hub holds each socket for as long as its
listener exists and hands the same one to whichever process fills the slot. Nothing here accepts.

A Unix socket can be bound once, and one that systemd has opened is there once: all slots share it
and its queue, and whoever is left accepts.

An address without a host is two sockets, one for each family, as is localhost: on a single one for
both, peers of IPv4 would look like ::ffff:10.0.0.1, in every record and to every list of networks.
"""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Iterable, Sequence
from typing import Protocol

from proxy.config.model import Listener
from proxy.config.syntax import is_everywhere, is_unix
from proxy.hub.activation import Given, listening
from proxy.hub.handed import Place as Taken
from proxy.hub.unix_sockets import ListenError as ListenError
from proxy.hub.unix_sockets import UnixSocket, listen_error

BACKLOG = 4096  # the kernel caps it at net.core.somaxconn, 4096 since Linux 5.4

Place = tuple[socket.AddressFamily, str]  # family, host

EVERYWHERE: tuple[Place, ...] = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))
HERE: tuple[Place, ...] = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))  # localhost
# What a machine without one of the families says; `::` where IPv6 is switched off by sysctl.
_NO_FAMILY = (errno.EAFNOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EADDRNOTAVAIL)
_TRANSPARENT4, _TRANSPARENT6 = (socket.SOL_IP, 19), (socket.IPPROTO_IPV6, 75)  # linux/in.h, in6.h
TRIES = 20  # of a port that is free in one family and may be taken in the other


class Before(Protocol):
    """A hub that this one follows."""

    def place(self, address: str) -> Taken | None:
        """What it listens on at that address, once."""


class Sockets:
    """All listening sockets by address, as written in the configuration, and slot."""

    __slots__ = ("_before", "_by_address", "_files", "_given", "_shared", "_slots")

    def __init__(
        self, slots: int, given: Given | None = None, before: Before | None = None
    ) -> None:
        self._before = before
        self._slots = slots
        self._given = given or Given()
        self._by_address: dict[str, list[list[socket.socket]]] = {}  # by slot, then by family
        self._files: dict[str, UnixSocket] = {}
        self._shared: set[str] = set()  # addresses whose slots have one queue

    @property
    def addresses(self) -> list[str]:
        return list(self._by_address)

    def open(self, listeners: Iterable[Listener]) -> list[str]:
        """Bind what is not bound yet and return it; all or nothing, raises ListenError."""
        opened: list[str] = []
        try:
            for listener in listeners:
                address = listener.address
                if address not in self._by_address:
                    self._by_address[address] = self._make(listener)
                    opened.append(address)
                elif address in self._files:
                    self._change(listener)
        except BaseException:
            self.close(opened)
            raise
        return opened

    def close(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            if (file := self._files.pop(address, None)) is not None:
                file.close()
            self._shared.discard(address)
            _close(self._by_address.pop(address, []))

    def of_slot(self, slot: int, addresses: Iterable[str]) -> list[tuple[str, socket.socket]]:
        """(address, socket) for each of `addresses`, an address twice where it is both families."""
        return [(a, sock) for a in addresses for sock in self._by_address[a][slot]]

    def hand_over(self) -> dict[str, Taken]:
        """All of it by address, for the hub that will follow this one."""
        return {address: self._taken(address) for address in self._by_address}

    def given(self) -> list[tuple[str, int]]:
        """What systemd, or its like, has opened: name and descriptor."""
        return self._given.all()

    def disown(self) -> None:
        """The files of Unix sockets are the other hub's now."""
        for file in self._files.values():
            file.disown()

    def own(self) -> None:
        """They are this one's."""
        for file in self._files.values():
            file.own()

    def unclaimed(self) -> list[str]:
        """What was given to this process, and no listener has."""
        return [*self._given.warnings, *self._given.left()]

    def is_shared(self, address: str) -> bool:
        """Whether the workers that live take what a dead one would have taken."""
        return address in self._shared

    def name(self, address: str) -> str:
        """`address` with the port that was really bound, where the file says 0."""
        if is_unix(address) or split_address(address)[1]:
            return address
        return f"{address[: address.rindex(':')]}:{self.port(address)}"

    def port(self, address: str) -> int:
        """The port that was really bound; 0 = the address is no longer listened on."""
        group = self._by_address.get(address)
        return int(group[0][0].getsockname()[1]) if group and not is_unix(address) else 0

    def _change(self, listener: Listener) -> None:
        try:
            self._files[listener.address].change(int(listener.mode, 8))
        except OSError as error:
            raise listen_error(listener.address, error, "listen") from error

    def _make(self, listener: Listener) -> list[list[socket.socket]]:
        address = listener.address
        taken = self._before.place(address) if self._before is not None else None
        if taken is not None:
            return self._take_over(listener, taken)
        if given := self._given.of(listener):
            return self._share(address, given)
        if not is_unix(address):
            return self._bind(address, listener.transparent)
        try:
            file = self._files[address] = UnixSocket(address, int(listener.mode, 8))
        except OSError as error:
            raise listen_error(address, error, "listen") from error
        return self._share(address, [file.socket])

    def _taken(self, address: str) -> Taken:
        slots = [[sock.fileno() for sock in slot] for slot in self._by_address[address]]
        file = self._files.get(address)
        if address in self._shared:
            slots = slots[:1]
        return Taken(slots, address in self._shared, file.file if file is not None else (0, 0))

    def _take_over(self, listener: Listener, taken: Taken) -> list[list[socket.socket]]:
        """What another hub listens on. Each queue has somebody who reads it, whatever the number of
        slots was there; what this hub has more of, joins them."""
        address = listener.address
        slots = [[_taken_over(address, fd) for fd in slot] for slot in taken.slots]
        if taken.file != (0, 0):
            self._files[address] = UnixSocket.take_over(address, slots[0][0], taken.file)
            self._change(listener)
        if taken.shared:
            return self._share(address, slots[0])
        group: list[list[socket.socket]] = [[] for _ in range(self._slots)]
        for i, slot in enumerate(slots):
            group[i % self._slots] += slot
        for of_slot in group[len(slots) :]:
            for sock in slots[0]:
                host, port = sock.getsockname()[:2]
                of_slot.append(_listening((sock.family, host), port, shared=True))
        return group

    def _share(self, address: str, sockets: Sequence[socket.socket]) -> list[list[socket.socket]]:
        self._shared.add(address)
        return [[sock.dup() for sock in sockets] for _ in range(self._slots)]

    def _bind(self, address: str, transparent: bool) -> list[list[socket.socket]]:
        host, port = split_address(address)
        try:
            where = places(host) if host != "localhost" else places("", HERE)
            for tries in range(TRIES):
                try:
                    group = self._bind_all(where, port)
                    if transparent:
                        _let_through(group)
                    return group
                except OSError as error:
                    if port or error.errno != errno.EADDRINUSE or tries == TRIES - 1:
                        raise
            raise AssertionError("the last try returns or raises")
        except OSError as error:
            raise listen_error(address, error, "listen") from error

    def _bind_all(self, where: Sequence[Place], port: int) -> list[list[socket.socket]]:
        ours = {self.port(a) for a in self._by_address}
        group: list[list[socket.socket]] = [[] for _ in range(self._slots)]
        try:
            for place in where:
                if port and port not in ours:
                    # With SO_REUSEPORT a second gateway of the same user would silently take half
                    # of the connections; without it the kernel says that somebody has the port.
                    _listening(place, port, shared=False).close()
                for of_slot in group:
                    of_slot.append(_listening(place, port, shared=True))
                    port = of_slot[-1].getsockname()[1]
        except BaseException:
            _close(group)
            raise
        return group


def listen_once(address: str, key: str) -> socket.socket:
    """One socket of its own (the admin port); raises ListenError that names `key`.

    Without a host it takes both families, if the machine has both. The file of a Unix socket is
    left behind, and taken over by whoever comes next.
    """
    if is_unix(address):
        try:
            return UnixSocket(address).socket
        except OSError as error:
            raise listen_error(address, error, key) from error
    host, port = split_address(address)
    try:
        where = places(host)
        sock = _listening(where[-1], port, shared=False, both=len(where) > 1)
        sock.listen(128)
    except OSError as error:
        raise listen_error(address, error, key) from error
    return sock


def split_address(address: str) -> tuple[str, int]:
    """(host, port) of ":8080", "127.0.0.1:8080" or "[::1]:8080"; an empty host is every one. A
    Unix socket is like this machine's own address."""
    if is_unix(address):
        return "localhost", 0
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def places(host: str, families: Sequence[Place] = EVERYWHERE) -> tuple[Place, ...]:
    """Where `host` is on this machine; a name counts with the first address that it has."""
    if is_everywhere(host):
        return tuple(filter(_exists, families)) or tuple(families)
    name = host.encode() if host.isascii() else host  # a str costs IDNA's tables, 0.25 MB
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, place = found[0]
    return ((family, str(place[0])),)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one; workers inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _taken_over(address: str, fd: int) -> socket.socket:
    sock = listening(fd)
    if sock is None:
        raise listen_error(address, OSError(errno.EBADF, "it was not handed over"), "listen")
    return sock


def _exists(place: Place) -> bool:
    """Whether the machine has that family."""
    try:
        _listening(place, 0, shared=False).close()
    except OSError as error:
        return error.errno not in _NO_FAMILY
    return True


def _listening(place: Place, port: int, *, shared: bool, both: bool = False) -> socket.socket:
    """Bound, and listening if it is `shared`; `both`: of IPv6, and takes IPv4 too."""
    family, host = place
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        sock.bind((host, port))
        if shared:
            sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _let_through(group: Iterable[Iterable[socket.socket]]) -> None:
    """Take connections for any address (IP_TRANSPARENT, ip(7))."""
    for of_slot in group:
        for sock in of_slot:
            v6 = sock.family == socket.AF_INET6
            sock.setsockopt(*(_TRANSPARENT6 if v6 else _TRANSPARENT4), 1)


def _close(group: Iterable[Iterable[socket.socket]]) -> None:
    for of_slot in group:
        for sock in of_slot:
            sock.close()
