"""Ports that this process listens on, and may share with the one that it follows in an upgrade.

All are bound with SO_REUSEPORT (socket(7)), so that the next process can listen there before this
one ends. Without a guard a second program of the same user would silently get half of what comes;
so whoever follows nobody asks for the port without sharing it first.

What is queued on such a socket is lost when it closes. So whoever follows has the kernel give all
that comes from then on to itself, by a filter for the group of sockets that says "the second one"
(SO_ATTACH_REUSEPORT_CBPF). When the first is gone there is no second one, and no filter counts.
"""

from __future__ import annotations

import os
import socket
import struct
from array import array
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from proxy.web.probe import probe

_followed: set[int] = set()

_ATTACH = 51  # SO_ATTACH_REUSEPORT_CBPF
_RETURN = 0x06  # BPF_RET | BPF_K
_SECOND = 1  # of those that listen there, in the order in which they came


def follow(pids: set[int]) -> None:
    """These gateways hand over to this process: what they have may be shared."""
    _followed.update(pids)


def is_followed(pid: int) -> bool:
    """Whether that process belongs to such a gateway: it is one, or was started by one."""
    if not _followed or pid in _followed:
        return pid in _followed
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1]) in _followed
    except (OSError, ValueError, IndexError):
        return False


def share(host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """True, for `reuse_port`; OSError if the port is somebody else's."""
    if port and not _followed and (trouble := probe(host, port, kind)) is not None:
        raise OSError(trouble.errno, f"{host}:{port}: {trouble.strerror}") from trouble
    return True


def prefer(sockets: Iterable[Any]) -> None:
    """Whoever connects from now on comes to these, which listen, and not to those before them."""
    if not _followed:
        return
    said = array("B", struct.pack("HBBI", _RETURN, 0, 0, _SECOND))
    program = struct.pack("HP", 1, said.buffer_info()[0])
    for sock in sockets:
        with suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, _ATTACH, program)
