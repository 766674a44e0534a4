"""Where a connection that eBPF has brought to the sidecar wanted to go.

The kernel puts it into a map under the address and port that the connection comes from, before its
first packet; who accepts the connection takes it out. The map has a name in a bpffs, one for each
network namespace, in a folder that those whose programs fill it hold locked (`mesh/ebpf.py`).
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import struct
from functools import lru_cache

from proxy.bpf import forbidden, syscall
from proxy.bpf.places import mounted_here, network

log = logging.getLogger("spangate")

DESTINATION = struct.Struct("=16s2sxx")  # address, port in network order
KEY = struct.Struct("=16sII")  # local address, local port, port of the sidecar
_MAPPED = bytes(10) + b"\xff\xff"
USUAL = "/sys/fs/bpf"
_opened: tuple[int, int] | None = None  # file descriptor, inode of the name that it was opened by
_is_told = False  # that this process must not know


def folder() -> str | None:
    """Where the map of this network namespace is or would be; None without a bpffs."""
    places = mounted_here("bpf")
    if not places:
        return None
    return os.path.join(USUAL if USUAL in places else places[0], f"spangate-{network()}")


def lookup(
    local_port: int, address: str = "127.0.0.1", outbound: int = 15001
) -> tuple[str, int] | None:
    """The destination, address and port, of the connection that was accepted at the port
    `outbound` from `address` and `local_port`, this once: it is forgotten. None for one that was
    not redirected, or if this process must not know, which is logged once.
    """
    key = KEY.pack(_packed_text(address), local_port, outbound)
    try:
        value = _take(key)
    except OSError as error:
        if error.errno in forbidden.REASONS:
            _tell(error)
        return None
    return None if value is None else destination(value)


def _tell(error: OSError) -> None:
    global _is_told
    if not _is_told:
        _is_told = True
        log.warning(
            "where commands' connections want to go must not be looked up here (%s): %s",
            error.strerror,
            forbidden.told(error, _path() or USUAL, os.geteuid()),
            extra={"key": "mesh.destinations_forbidden"},
        )


@lru_cache(64)  # they are those of `lo`, but for applications that bind another
def _packed_text(address: str) -> bytes:
    return packed(ipaddress.ip_address(address.partition("%")[0]))


def packed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    """16 bytes, as they are kept: IPv4 as ::ffff:a.b.c.d."""
    return address.packed if address.version == 6 else _MAPPED + address.packed


def destination(value: bytes) -> tuple[str, int]:
    """Address and port of what the map has."""
    raw, port = DESTINATION.unpack(value)
    if raw.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, raw[12:]), int.from_bytes(port, "big")
    return socket.inet_ntop(socket.AF_INET6, raw), int.from_bytes(port, "big")


def _take(key: bytes) -> bytes | None:
    if _opened is not None:
        value = syscall.take(_opened[0], key, DESTINATION.size)
        if value is not None:
            return value
    if not _renew():
        return None
    assert _opened is not None
    return syscall.take(_opened[0], key, DESTINATION.size)


def _renew() -> bool:
    """Whether there is another map under that name than the one which is open."""
    global _opened
    path = _path()
    if path is None:
        return False
    inode = os.stat(path).st_ino
    if _opened is not None:
        if _opened[1] == inode:
            return False
        os.close(_opened[0])
        _opened = None
    _opened = syscall.opened(path), inode
    return True


def _path() -> str | None:
    place = folder()
    return None if place is None else os.path.join(place, "destinations")
