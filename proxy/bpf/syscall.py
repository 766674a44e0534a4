"""bpf(2), by ctypes: maps, programs, what they are attached to, and names in a bpffs.

There is no library of C to be had everywhere that does this, and what is needed of it is small.
Every failure is an OSError, of which `why` makes a sentence.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

_NUMBERS = {
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "loongarch64": 280,
    "ppc64le": 361,
}
_NUMBER = _NUMBERS.get(platform.machine())
_MAP_CREATE, _LOOKUP, _UPDATE, _PROG_LOAD, _PIN, _GET, _ATTACH, _DETACH = 0, 1, 2, 5, 6, 7, 8, 9
_BTF_LOAD, _TAKE = 18, 21
LRU_HASH, SK_STORAGE = 9, 24
_NO_PREALLOC = 1
_ALLOW_MULTI = 2
_LOG = 64 * 1024
LICENSE = b"Apache-2.0\0"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a program is for: its type, and what it is attached as."""

    name: str
    program: int
    attach: int


CONNECT4 = Kind("connect4", 18, 10)
CONNECT6 = Kind("connect6", 18, 11)
PEERNAME4 = Kind("getpeername4", 18, 29)
PEERNAME6 = Kind("getpeername6", 18, 30)
SOCK_OPS = Kind("sock_ops", 13, 3)


class Refused(OSError):
    """A program that the kernel's verifier does not take; `log` is what it says."""

    log: str = ""


def _bpf(command: int, attributes: bytes) -> int:
    if _NUMBER is None:
        raise OSError(errno.ENOSYS, f"bpf() is not known here for {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result: int = _libc.syscall(_NUMBER, command, buffer, len(attributes))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def hash_map(key: int, value: int, most: int, name: bytes) -> int:
    """A file descriptor of a hash that forgets what was used longest ago. Sizes in bytes."""
    return _bpf(_MAP_CREATE, struct.pack("=IIIIIII16s", LRU_HASH, key, value, most, 0, 0, 0, name))


def socket_storage(words: int, name: bytes) -> int:
    """A file descriptor of a map that keeps `words` times four bytes with each socket."""
    types = _btf(words)
    try:
        head = struct.pack("=IIIIIII16s", SK_STORAGE, 4, 4 * words, 0, _NO_PREALLOC, 0, 0, name)
        return _bpf(_MAP_CREATE, head + struct.pack("=IIII", 0, types, 1, 3))
    finally:
        os.close(types)


def _btf(words: int) -> int:
    """Types, which such a map must have: 1 = int, 2 = unsigned int, 3 = an array of it."""
    strings = b"\0int\0unsigned\0"
    types = struct.pack("=IIII", 1, 1 << 24, 4, 1 << 24 | 32)  # signed
    types += struct.pack("=IIII", 5, 1 << 24, 4, 32)
    types += struct.pack("=IIIIII", 0, 3 << 24, 0, 2, 2, words)
    head = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    blob = ctypes.create_string_buffer(head + types + strings)
    size = len(head + types + strings)
    return _bpf(_BTF_LOAD, struct.pack("=QQIII", ctypes.addressof(blob), 0, size, 0, 0))


def load(kind: Kind, code: bytes) -> int:
    """A file descriptor of the program. Refused."""
    text = ctypes.create_string_buffer(code, len(code))
    license = ctypes.create_string_buffer(LICENSE)
    head = struct.pack(
        "=IIQQ", kind.program, len(code) // 8, *map(ctypes.addressof, (text, license))
    )
    tail = struct.pack("=II16sII", 0, 0, kind.name.encode(), 0, kind.attach)
    try:
        return _bpf(_PROG_LOAD, head + struct.pack("=IIQ", 0, 0, 0) + tail)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EACCES):
            raise
        log = ctypes.create_string_buffer(_LOG)
        refused = Refused(error.errno, f"the kernel's verifier refuses {kind.name}")
    try:  # again, for what it has to say
        os.close(
            _bpf(_PROG_LOAD, head + struct.pack("=IIQ", 1, _LOG, ctypes.addressof(log)) + tail)
        )
    except OSError:
        refused.log = log.value.decode(errors="replace")
    raise refused


def attach(cgroup: int, program: int, kind: Kind) -> None:
    """Have what is in the cgroup, a file descriptor, pass the program beside those of others."""
    _bpf(_ATTACH, struct.pack("=IIIII", cgroup, program, kind.attach, _ALLOW_MULTI, 0))


def detach(cgroup: int, program: int, kind: Kind) -> None:
    """Undo `attach`."""
    _bpf(_DETACH, struct.pack("=IIIII", cgroup, program, kind.attach, 0, 0))


def pin(path: str, fd: int) -> None:
    """Give a map a name in a bpffs, so that others can open it."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    _bpf(_PIN, struct.pack("=QII", ctypes.addressof(name), fd, 0))


def opened(path: str) -> int:
    """A file descriptor of what has that name."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return _bpf(_GET, struct.pack("=QII", ctypes.addressof(name), 0, 0))


def take(fd: int, key: bytes, size: int) -> bytes | None:
    """The value of `size` bytes that a map has for `key`, which it has no longer. None = none."""
    value = ctypes.create_string_buffer(size)
    asked = ctypes.create_string_buffer(key, len(key))
    places = map(ctypes.addressof, (asked, value))
    try:
        _bpf(_TAKE, struct.pack("=IxxxxQQQ", fd, *places, 0))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return value.raw
