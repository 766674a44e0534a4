"""A relay in place of a sidecar, as a process of its own: python -m tests.mesh.ebpf_relay UID.

It tells each connection on a line, as "out ADDRESS PORT", and connections that nobody has
redirected as "stranger"; the first line is "ready".
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading

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


def main() -> None:
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
