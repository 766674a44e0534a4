"""A relay in place of a sidecar, as a process of its own:

    python -m tests.mesh.ebpf_relay UID [DENY]

With DENY a seccomp filter denies it bpf(), as those of containers do.

It tells each connection on a line, as "out ADDRESS PORT", and connections that nobody has
redirected as "stranger"; the first line is "ready".
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
import threading

from proxy.bpf import syscall
from proxy.bpf.destination import lookup
from tests.mesh.relay import Address, join, serve


def answer(client: socket.socket, peer: Address) -> None:
    found = lookup(peer[1], peer[0])
    if found is None:
        told("stranger")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return
    told(f"out {found[0]} {found[1]}")
    family = socket.AF_INET6 if ":" in found[0] else socket.AF_INET
    join(client, socket.socket(family), found)


def told(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def deny_bpf() -> None:
    """To this process: EPERM (seccomp(2); the filter is in the kernel's classic BPF)."""
    load, jump_if_equal, answer = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM
    code = ((load, 0, 0, 0), (jump_if_equal, 0, 1, syscall._NUMBER or 0),
            (answer, 0, 0, refuse), (answer, 0, 0, allow))  # fmt: skip
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in code))
    program = struct.pack("@HP", len(code), ctypes.addressof(filters))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, seccomp, by_filter = 38, 22, 2
    assert libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0
    assert libc.prctl(seccomp, by_filter, program, 0, 0) == 0, os.strerror(ctypes.get_errno())


def main() -> None:
    if len(sys.argv) > 2:
        deny_bpf()
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, 15001))
        listener.listen(64)
        serve(listener, answer)
    os.setresuid(*[int(sys.argv[1])] * 3)
    told("ready")
    threading.Event().wait()


if __name__ == "__main__":
    main()
