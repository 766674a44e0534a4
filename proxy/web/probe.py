"""Probe: whether an address can be listened on, and if not, why, as the kernel says it.

For libraries that say less, or say it on stderr past every log, as gRPC does.
"""

from __future__ import annotations

import errno
import socket


def probe(host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> OSError | None:
    """Why (host, port) cannot be bound, None if it can; port 0 always can, where the host can."""
    try:
        places = socket.getaddrinfo(host or None, port, type=kind, flags=socket.AI_PASSIVE)
    except OSError as error:
        return error
    bound = 0
    missing: OSError | None = None
    for family, _, protocol, _, place in places:
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError:  # no IPv6 here
            continue
        with sock:
            trouble = _bind(sock, family, kind, place)
        if trouble is None:
            bound += 1
        elif trouble.errno != errno.EADDRNOTAVAIL:
            return trouble
        else:
            missing = trouble  # as ::1 of localhost may be
    return None if bound else missing


def _bind(
    sock: socket.socket, family: int, kind: socket.SocketKind, place: tuple[object, ...]
) -> OSError | None:
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind(place)
        if kind == socket.SOCK_STREAM:
            sock.listen(1)
    except OSError as error:
        return error
    return None
