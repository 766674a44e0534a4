"""Ports that this process listens on, and may share with the one that it follows in an upgrade.

All are bound with SO_REUSEPORT (socket(7)), so that the next process can listen there before this
one ends. Without a guard a second program of the same user would silently get half of what comes;
so whoever follows nobody asks for the port without sharing it first.
"""

from __future__ import annotations

import socket

from proxy.web.probe import probe

_followed: set[int] = set()


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
        raise trouble
    return True
