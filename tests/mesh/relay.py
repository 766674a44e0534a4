"""Applications that know nothing, and a relay in place of a sidecar: threads on plain sockets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.mesh.hosts import V4, V6, Host

OWN = 1337  # the group, to the rules, of what the relay sends

Address = tuple[str, int]


def bare(address: str) -> str:
    return address.removeprefix("::ffff:")


def serve(listener: socket.socket, answer: Callable[[socket.socket, Address], None]) -> None:
    """Answer all that come, each in a thread, until the listener is closed."""

    def one(client: socket.socket, peer: Address) -> None:
        with client, contextlib.suppress(OSError):
            answer(client, peer)

    def loop() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, peer = listener.accept()
                threading.Thread(target=one, args=(client, peer[:2]), daemon=True).start()

    listener.settimeout(None)
    threading.Thread(target=loop, daemon=True).start()


def close(listener: socket.socket) -> None:
    """Also for a thread that waits in accept(), which close() alone does not wake."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@contextlib.contextmanager
def app(host: Host, name: str, port: int) -> Iterator[None]:
    """A server on all addresses that says who it is, and whom it sees: `name address`."""

    def answer(client: socket.socket, peer: Address) -> None:
        client.recv(100)
        client.sendall(f"{name} {bare(peer[0])}".encode())

    listeners = [host.listen(V4, "0.0.0.0", port), host.listen(V6, "::", port)]
    for listener in listeners:
        serve(listener, answer)
    try:
        yield
    finally:
        for listener in listeners:
            close(listener)


def ask(
    host: Host, address: str, port: int, *, uid: int = 0, gid: int = 0, source: str = ""
) -> str:
    """What an application on `host` is answered there, or "refused"."""
    family = V6 if ":" in address else V4
    with host.new_socket(family, uid=uid, gid=gid) as sock:
        try:
            if source:
                sock.bind((source, 0))
            sock.connect((address, port))
            sock.sendall(b"who?")
            answered = b""
            while more := sock.recv(100):
                answered += more
        except (ConnectionRefusedError, ConnectionResetError):
            return "refused"
        return answered.decode()


def by_conntrack(client: socket.socket) -> Address:
    if client.family == V4:
        port, packed = struct.unpack("!2xH4s8x", client.getsockopt(socket.SOL_IP, 80, 16))
    else:
        found = client.getsockopt(socket.IPPROTO_IPV6, 80, 28)
        port, packed = struct.unpack("!2xH4x16s4x", found)
    return socket.inet_ntop(client.family, packed), port


def by_name(client: socket.socket) -> Address:
    address, port = client.getsockname()[:2]
    return address, port


@dataclass
class Relay:
    """Both sides of a sidecar: what it took is in `taken`, as "in ADDRESS PORT"."""

    host: Host
    app_port: int
    transparent: bool = False
    lookup: Callable[[socket.socket], Address] = by_conntrack
    taken: list[str] = field(default_factory=list)
    listeners: list[socket.socket] = field(default_factory=list)

    def start(self, inbound: int = 15006, outbound: int = 15001) -> None:
        for family, wide, narrow in ((V4, "0.0.0.0", "127.0.0.1"), (V6, "::", "::1")):
            came = self.host.listen(family, wide, inbound, transparent=self.transparent)
            sent = self.host.listen(family, narrow, outbound)
            serve(came, self._in)
            serve(sent, self._out)
            self.listeners += [came, sent]

    def stop(self) -> None:
        for listener in self.listeners:
            close(listener)

    def _in(self, client: socket.socket, peer: Address) -> None:
        address, port = by_name(client) if self.transparent else by_conntrack(client)
        self.taken.append(f"in {address} {port}")
        own = "127.0.0.1" if client.family == V4 else "::1"
        server = self.host.new_socket(client.family, gid=OWN)
        if self.transparent:
            level, option = (socket.SOL_IP, 19) if client.family == V4 else (41, 75)
            server.setsockopt(level, option, 1)
            server.setsockopt(socket.SOL_SOCKET, 36, 1337)  # SO_MARK
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((peer[0], 0))
        join(client, server, (own, self.app_port))

    def _out(self, client: socket.socket, peer: Address) -> None:
        address, port = self.lookup(client)
        self.taken.append(f"out {address} {port}")
        join(client, self.host.new_socket(client.family, gid=OWN), (address, port))


def join(client: socket.socket, server: socket.socket, to: Address) -> None:
    with server:
        try:
            server.connect(to)
        except OSError:  # as if nobody had been between them
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay(
    host: Host,
    app_port: int = 8080,
    *,
    transparent: bool = False,
    lookup: Callable[[socket.socket], Address] = by_conntrack,
) -> Iterator[Relay]:
    made = Relay(host, app_port, transparent, lookup)
    made.start()
    try:
        yield made
    finally:
        made.stop()
