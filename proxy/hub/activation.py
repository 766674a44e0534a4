"""Sockets that systemd, or whoever speaks its protocol, has opened before this process started.

sd_listen_fds(3): descriptors from 3 on, LISTEN_FDS of them, meant for the process LISTEN_PID;
LISTEN_FDNAMES has their names. A listener takes those that are bound to its address, or that have
its name. They stay open for as long as the process runs, since it cannot open them again, and
whoever gave them keeps the file of a Unix socket.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, MutableMapping

from proxy.config.model import Listener
from proxy.config.syntax import is_everywhere, is_unix, parse_address, parse_unix

FIRST = 3  # SD_LISTEN_FDS_START
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class Given:
    """What was given, by name; a listener asks for its own."""

    __slots__ = ("_sockets", "_taken", "warnings")

    def __init__(self, sockets: Iterable[tuple[str, socket.socket]] = ()) -> None:
        self._sockets = list(sockets)
        self._taken: set[int] = set()  # descriptors
        self.warnings: list[str] = []  # about what cannot be listened on

    def of(self, listener: Listener) -> list[socket.socket]:
        """The sockets for that listener, none if the hub must open its own."""
        found = [s for _, s in self._sockets if is_at(s, listener.address)]
        if not found and listener.name:
            found = [s for name, s in self._sockets if name == listener.name]
        self._taken.update(sock.fileno() for sock in found)
        return found

    def all(self) -> list[tuple[str, int]]:
        """Names and descriptors, for the process that follows this one."""
        return [(name, sock.fileno()) for name, sock in self._sockets]

    def left(self) -> list[str]:
        """What no listener has asked for, in words."""
        return [_told(n, s) for n, s in self._sockets if s.fileno() not in self._taken]


def receive(environ: MutableMapping[str, str], pid: int) -> Given:
    """What `environ` promises to the process `pid`; the variables are taken out of it, so that no
    child believes them."""
    said = {name: environ.pop(name, "") for name in _VARIABLES}
    count = said["LISTEN_FDS"]
    if said["LISTEN_PID"] != str(pid) or not (count.isascii() and count.isdigit()):
        return Given()
    names = said["LISTEN_FDNAMES"].split(":")
    sockets, warnings = [], []
    for i in range(int(count)):
        name = names[i] if i < len(names) else ""
        sock = listening(FIRST + i)
        if sock is None:
            warnings.append(f"descriptor {FIRST + i} ({name or 'no name'})")
        else:
            sockets.append((name, sock))
    given = Given(sockets)
    given.warnings = warnings
    return given


def is_at(sock: socket.socket, address: str) -> bool:
    """Whether `sock` is bound to what the configuration calls `address`."""
    name = sock.getsockname()
    try:
        if is_unix(address) or sock.family == socket.AF_UNIX:
            return is_unix(address) and name == parse_unix(address)
        host, port = parse_address(address)
    except ValueError:
        return False
    if name[1] != port:
        return False
    return name[0] == host or (is_everywhere(host) and name[0] in ("::", "0.0.0.0"))


def listening(fd: int) -> socket.socket | None:
    """The stream socket at `fd` on which somebody may connect; None for anything else."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    stream = sock.type == socket.SOCK_STREAM
    if not stream or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()
        return None
    os.set_inheritable(fd, False)
    sock.setblocking(False)
    return sock


def _told(name: str, sock: socket.socket) -> str:
    place = sock.getsockname()
    where = f"unix:{place}" if isinstance(place, str) else f"{place[0]}:{place[1]}"
    return f"{where} ({name})" if name else where
