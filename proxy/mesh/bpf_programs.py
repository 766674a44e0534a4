"""The programs of `redirect = "ebpf"`: what a cgroup's connections pass. Pure: values to bytes.

    connect4, connect6   a TCP connect() that is not excluded goes to the sidecar; where it wanted
                         to go is kept with the socket, and dies with it
    sock_ops             before the first packet the kernel knows the local port: with it as key the
                         destination is put where the sidecar looks it up (`bpf/destination.py`)
    getpeername4, 6      the application sees the peer that it has called, not the sidecar

Destinations are 20 bytes: an address of IPv6, or of IPv4 as ::ffff:a.b.c.d, and the port as in
`struct sockaddr`, in four bytes. Offsets are those of `struct bpf_sock_addr` and `bpf_sock_ops` in
linux/bpf.h, helpers' numbers too; no helper of these is for GPL programs only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from proxy.bpf.code import R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, Code
from proxy.mesh.rules import Network, Redirect

# Never redirected: what is on `lo`, also as what connect() takes for it.
LOOPBACK = [ip_network(text) for text in ("127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128")]

_IP4, _IP6, _PORT, _TYPE, _PROTOCOL, _SK = 4, 8, 24, 32, 36, 64  # bpf_sock_addr
_OP, _FAMILY, _LOCAL4, _LOCAL6, _REMOTE_PORT, _LOCAL_PORT, _OPS_SK = 0, 20, 28, 48, 64, 68, 184
_STREAM, _TCP, _INET = 1, 6, 2
_BEFORE_CONNECT = 3  # BPF_SOCK_OPS_TCP_CONNECT_CB: earlier than data in a SYN could arrive
_UPDATE, _UID_GID, _STORAGE = 2, 15, 107  # helpers
_CREATE = 1  # BPF_SK_STORAGE_GET_F_CREATE
_LOOPBACK4 = 0x0100007F  # as it lies in memory
_LOOPBACK6 = 0x01000000  # its last word
_MAPPED_WORD = 0xFFFF0000


def connect(redirect: Redirect, networks: Sequence[Network], version: int, storage: int) -> bytes:
    """connect4 or connect6. `networks` are left alone beside those of `redirect` and loopback;
    `storage` is the map of what is kept with sockets."""
    code = Code()
    code.copy(R6, R1)
    code.load(R1, R6, _TYPE)
    code.if_other(R1, _STREAM, "leave")
    code.load(R1, R6, _PROTOCOL)
    code.if_other(R1, _TCP, "leave")
    code.load(R7, R6, _PORT)
    for port in redirect.ports:
        code.if_equal(R7, _network_order(port), "leave")
    _leave_people(code, redirect)
    nets = [*LOOPBACK, *redirect.networks, *networks]
    v4 = [net for net in nets if net.version == 4]
    if version == 4:
        _leave_v4(code, v4, _IP4)
    else:
        _leave_v6(code, v4, [net for net in nets if net.version == 6])
    _keep(code, version, storage)
    _aim(code, version, redirect.outbound)
    code.label("leave")
    code.set(R0, 1)
    code.exit()
    code.label("refuse")  # EPERM: nothing may pass the sidecar by because memory is scarce
    code.set(R0, 0)
    code.exit()
    return code.assemble()


def _leave_people(code: Code, redirect: Redirect) -> None:
    if not (redirect.uids or redirect.gids):
        return
    code.call(_UID_GID)
    for uid in redirect.uids:
        code.if_equal(R0, uid, "leave")
    code.shift_right(R0, 32)
    for gid in redirect.gids:
        code.if_equal(R0, gid, "leave")


def _leave_v4(code: Code, nets: Sequence[Network], place: int) -> None:
    code.load(R2, R6, place)
    for net in nets:
        code.copy(R1, R2)
        code.mask(R1, _words(net.netmask.packed)[0])
        code.if_equal(R1, _words(net.network_address.packed)[0], "leave")


def _leave_v6(code: Code, v4: Sequence[Network], v6: Sequence[Network]) -> None:
    for register, word in ((R2, 0), (R3, 1), (R4, 2)):
        code.load(register, R6, _IP6 + 4 * word)
    code.if_other(R2, 0, "v6")
    code.if_other(R3, 0, "v6")
    code.if_other(R4, _MAPPED_WORD, "v6")
    _leave_v4(code, v4, _IP6 + 12)
    code.jump("take")
    code.label("v6")
    for net in v6:
        other = code.new_label()
        words = zip(_words(net.network_address.packed), _words(net.netmask.packed), strict=True)
        for i, (word, mask) in enumerate(words):
            if mask:
                code.load(R1, R6, _IP6 + 4 * i)
                code.mask(R1, mask)
                code.if_other(R1, word, other)
        code.jump("leave")
        code.label(other)
    code.label("take")


def _keep(code: Code, version: int, storage: int) -> None:
    """Where the application wants to go, with its socket."""
    _storage(code, R6, _SK, storage, _CREATE)
    code.if_null(R0, "refuse")
    if version == 4:
        for place, word in ((0, 0), (4, 0), (8, _MAPPED_WORD)):
            code.set(R1, word)
            code.store(R0, place, R1)
        code.load(R1, R6, _IP4)
        code.store(R0, 12, R1)
    else:
        for place in (0, 4, 8, 12):
            code.load(R1, R6, _IP6 + place)
            code.store(R0, place, R1)
    code.store(R0, 16, R7)


def _aim(code: Code, version: int, port: int) -> None:
    """To the sidecar, by the version of IP that the application has asked for."""
    if version == 4:
        code.set(R1, _LOOPBACK4)
        code.store(R6, _IP4, R1)
    else:
        code.load(R1, R6, _IP6 + 8)
        code.load(R2, R6, _IP6)
        code.if_other(R2, 0, "aim6")  # with the words 0 and 0xffff it is mapped: 64:ff9b:: is not
        code.load(R2, R6, _IP6 + 4)
        code.if_other(R2, 0, "aim6")
        code.if_other(R1, _MAPPED_WORD, "aim6")
        code.set(R1, _LOOPBACK4)
        code.store(R6, _IP6 + 12, R1)
        code.jump("aimed")
        code.label("aim6")
        code.set(R1, 0)
        for place in (0, 4, 8):
            code.store(R6, _IP6 + place, R1)
        code.set(R1, _LOOPBACK6)
        code.store(R6, _IP6 + 12, R1)
        code.label("aimed")
    code.set(R1, _network_order(port))
    code.store(R6, _PORT, R1)


def sock_ops(outbound: int, storage: int, destinations: int) -> bytes:
    """Puts what is kept with a socket where the sidecar finds it; the key is 24 bytes below r10."""
    code = Code()
    code.copy(R6, R1)
    code.load(R1, R6, _OP)
    code.if_other(R1, _BEFORE_CONNECT, "done")
    code.load(R1, R6, _REMOTE_PORT)
    code.if_other(R1, _network_order(outbound) << 16, "done")  # in the upper half, see bpf.h
    code.load(R8, R6, _FAMILY)
    code.load(R9, R6, _LOCAL_PORT)
    code.store(R10, -8, R9)
    code.set(R1, outbound)
    code.store(R10, -4, R1)
    code.if_other(R8, _INET, "v6")
    for place, word in ((-24, 0), (-20, 0), (-16, _MAPPED_WORD)):
        code.set(R1, word)
        code.store(R10, place, R1)
    code.load(R1, R6, _LOCAL4)
    code.store(R10, -12, R1)
    code.jump("keyed")
    code.label("v6")
    for word in range(4):
        code.load(R1, R6, _LOCAL6 + 4 * word)
        code.store(R10, -24 + 4 * word, R1)
    code.label("keyed")
    code.load(R2, R6, _OPS_SK, 8)
    code.if_null(R2, "done")
    code.map(R1, storage)
    code.set(R3, 0)
    code.set(R4, 0)
    code.call(_STORAGE)
    code.if_null(R0, "done")
    code.map(R1, destinations)
    code.copy(R2, R10)
    code.add(R2, -24)
    code.copy(R3, R0)
    code.set(R4, 0)
    code.call(_UPDATE)
    code.label("done")
    code.set(R0, 1)
    code.exit()
    return code.assemble()


def getpeername(outbound: int, version: int, storage: int) -> bytes:
    """getpeername4 or getpeername6."""
    code = Code()
    code.copy(R6, R1)
    code.load(R1, R6, _PORT)
    code.if_other(R1, _network_order(outbound), "done")
    _storage(code, R6, _SK, storage, 0)
    code.if_null(R0, "done")
    if version == 4:
        code.load(R1, R0, 12)
        code.store(R6, _IP4, R1)
    else:
        for place in (0, 4, 8, 12):
            code.load(R1, R0, place)
            code.store(R6, _IP6 + place, R1)
    code.load(R1, R0, 16)
    code.store(R6, _PORT, R1)
    code.label("done")
    code.set(R0, 1)
    code.exit()
    return code.assemble()


def _storage(code: Code, context: int, place: int, storage: int, flags: int) -> None:
    code.load(R2, context, place, 8)
    code.map(R1, storage)
    code.set(R3, 0)
    code.set(R4, flags)
    code.call(_STORAGE)


def _words(packed: bytes) -> list[int]:
    """As a load of four bytes gives them."""
    return list(_each(packed))


def _each(packed: bytes) -> Iterator[int]:
    for (word,) in struct.iter_unpack("<I", packed):
        yield word


def _network_order(port: int) -> int:
    return int.from_bytes(port.to_bytes(2, "big"), "little")
