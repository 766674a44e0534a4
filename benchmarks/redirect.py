"""What it costs that connections are turned to the sidecar, beside calling it by its address.

    python -m benchmarks.redirect [--rounds 15]

Two hosts in network namespaces of this benchmark's own; client and server are one thread, which is
in the kernel's network code for both of them (loopback and veth deliver in the sender's context),
so that its CPU time is all there is. Ways take turns; the least of all rounds counts, which other
work on the machine disturbs least. Needs root, nft, iptables and ip.

    connection  connect, accept, 100 bytes there, 901 back, close
    exchange    the same bytes on a connection that is kept
    64 KiB      there, on a connection that is kept
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from proxy.bpf.destination import lookup
from proxy.config.mesh_model import Mesh
from proxy.mesh import ebpf
from proxy.mesh.cgroups import parent
from proxy.mesh.install import install, remove
from proxy.mesh.rules import Own, redirect
from tests.mesh.hosts import V4, Host, hosts

CONNECTIONS, EXCHANGES, PIECES = 300, 3000, 1500
ASK, ANSWER, PIECE = b"a" * 100, b"b" * 901, b"c" * 65536
RESET = struct.pack("ii", 1, 0)  # no port is left waiting
_NEW_MOUNTS, _NEW_NETWORK, _PRIVATE = 0x00020000, 0x40000000, 1 << 18 | 1 << 14
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Way:
    """One way to the sidecar: what is called, and what is the case meanwhile."""

    name: str
    listener: socket.socket
    place: tuple[str, int]
    client: Callable[[], socket.socket]
    prepared: Callable[[], contextlib.AbstractContextManager[object]]
    least: dict[str, float] = field(default_factory=dict)  # µs

    def round(self) -> None:
        with self.prepared():
            for name, measure in (
                ("connection", self._connections),
                ("exchange", self._exchanges),
                ("64 KiB", self._pieces),
            ):
                self.least[name] = min(self.least.get(name, 1e9), measure())

    def _connections(self) -> float:
        begun = time.thread_time()
        for _ in range(CONNECTIONS):
            client, server = self._connect()
            _exchange(client, server)
            _close(client, server)
        return (time.thread_time() - begun) / CONNECTIONS * 1e6

    def _exchanges(self) -> float:
        client, server = self._connect()
        begun = time.thread_time()
        for _ in range(EXCHANGES):
            _exchange(client, server)
        taken = time.thread_time() - begun
        _close(client, server)
        return taken / EXCHANGES * 1e6

    def _pieces(self) -> float:
        client, server = self._connect()
        begun = time.thread_time()
        for _ in range(PIECES):
            client.sendall(PIECE)
            left = len(PIECE)
            while left:
                left -= len(server.recv(left))
        taken = time.thread_time() - begun
        _close(client, server)
        return taken / PIECES * 1e6

    def _connect(self) -> tuple[socket.socket, socket.socket]:
        client = self.client()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(PIECE))
        client.connect(self.place)
        return client, self.listener.accept()[0]


def _exchange(client: socket.socket, server: socket.socket) -> None:
    client.sendall(ASK)
    server.recv(1000)
    server.sendall(ANSWER)
    client.recv(1000)


def _close(client: socket.socket, server: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    server.close()


@contextlib.contextmanager
def _rules(how: str) -> Iterator[None]:
    mesh = Mesh(redirect=how)  # type: ignore[arg-type]
    install(redirect(mesh, Own(1337)))
    try:
        yield
    finally:
        remove()


@contextlib.contextmanager
def _cgroup() -> Iterator[None]:
    """This process in a cgroup with programs; sockets belong to where they were made."""
    home = parent()
    with ebpf.redirected(redirect(Mesh(redirect="ebpf"), Own(1337))) as group:
        group.enter()
        try:
            yield
        finally:
            with open(f"{home}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")


def _own_namespaces(pod: Host) -> None:
    """Be on that host, with a bpffs of our own."""
    assert not _libc.unshare(_NEW_MOUNTS)
    assert not _libc.mount(b"none", b"/", None, _PRIVATE, None)
    assert not _libc.mount(b"bpf", b"/sys/fs/bpf", b"bpf", 0, None)
    with open(f"/run/netns/{pod.name}", "rb") as file:
        assert not _libc.setns(file.fileno(), _NEW_NETWORK)


def _pool(host: Host) -> Callable[[], socket.socket]:
    """Sockets on another host, made in lots: to enter it for each would be most of the time."""
    made: list[socket.socket] = []

    def one() -> socket.socket:
        if not made:
            made.extend(host.inside(lambda: [socket.socket(V4) for _ in range(CONNECTIONS + 2)]))
        return made.pop()

    return one


def _ways(pod: Host, near: Host) -> list[list[Way]]:
    sent = pod.listen(V4, "127.0.0.1", 15001)
    came = pod.listen(V4, "0.0.0.0", 15006, transparent=True)  # which only TPROXY asks for
    out, into = (near.v4, 80), (pod.v4, 8080)
    none, away = contextlib.nullcontext, _pool(near)

    def here() -> socket.socket:
        return socket.socket(V4)

    return [
        [
            Way("out, by the sidecar's address", sent, ("127.0.0.1", 15001), here, none),
            Way("out, nft", sent, out, here, lambda: _rules("nft")),
            Way("out, iptables", sent, out, here, lambda: _rules("iptables")),
            Way("out, eBPF", sent, out, here, _cgroup),
        ],
        [
            Way("in, by the sidecar's address", came, (pod.v4, 15006), away, none),
            Way("in, nft", came, into, away, lambda: _rules("nft")),
            Way("in, iptables", came, into, away, lambda: _rules("iptables")),
            Way("in, TPROXY", came, into, away, lambda: _rules("tproxy")),
        ],
    ]


def _lookups(pod: Host, near: Host) -> None:
    """What the sidecar's question for the destination costs."""
    listener = pod.listen(V4, "127.0.0.1", 15001)
    ways: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
        "SO_ORIGINAL_DST": lambda: _rules("nft"),
        "lookup()": _cgroup,
    }
    for name, prepared in ways.items():
        best = 1e9
        with prepared():
            for _ in range(200):
                client = socket.socket(V4)
                client.connect((near.v4, 80))
                server, peer = listener.accept()
                begun = time.thread_time()
                if name == "lookup()":
                    assert lookup(peer[1], peer[0]) == (near.v4, 80)
                else:
                    server.getsockopt(socket.SOL_IP, 80, 16)
                best = min(best, time.thread_time() - begun)
                _close(client, server)
        print(f"{name}: {best * 1e6:.1f} µs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with hosts("pod", "near") as (pod, near):
        _own_namespaces(pod)
        groups = _ways(pod, near)
        for _ in range(rounds):
            for way in (way for group in groups for way in group):
                way.round()
        print("| way | connection, µs | exchange, µs | 64 KiB, µs |\n|---|---|---|---|")
        for group in groups:
            for way in group:
                cells = [_cell(group[0], way, name) for name in way.least]
                print(f"| {way.name} | {' | '.join(cells)} |")
            group[0].listener.close()
        _lookups(pod, near)


def _cell(plain: Way, way: Way, name: str) -> str:
    took, base = way.least[name], plain.least[name]
    return f"{took:.2f}" + ("" if way is plain else f" ({(took / base - 1) * 100:+.1f} %)")


if __name__ == "__main__":
    main()
