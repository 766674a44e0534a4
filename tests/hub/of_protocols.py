"""Traffic of every protocol through one gateway, which is its own upstream for most of it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc

from proxy.config import local_ca
from proxy.http.h2 import PREFACE
from tests.http.h2_frames import (
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    frame,
    frames,
    literal,
)
from tests.hub.gateway import DEADLINE, Gateway
from tests.ports import free_port

_CONFIG = """
[[listen]]
name = "secure"
address = "127.0.0.1:{secure}"
tls = {{ cert = "{folder}/edge.pem", key = "{folder}/edge.key" }}
[[listen]]
name = "bytes"
address = "127.0.0.1:{bytes}"
protocol = "tcp"
to = "bytes"
[[listen]]
name = "nowhere"
address = "127.0.0.1:{nowhere}"
protocol = "tcp"
to = "nowhere"
[[route]]
name = "health"
path = "/grpc.health.v1.Health/*"
when = {{ listener = "secure" }}
respond = {{ grpc_health = true }}
[[route]]
name = "calls"
path = "/grpc.health.v1.Health/*"
to = "secure"
[[route]]
name = "untrusted"
path = "/untrusted"
to = "untrusted"
[[route]]
name = "silent"
path = "/silent"
to = "silent"
[[route]]
name = "tunnel"
path = "/tunnel"
to = "tunnel"
[upstream.bytes]
servers = ["tcp://{tunnel}"]
[upstream.nowhere]
servers = ["tcp://127.0.0.1:{nobody}"]
[upstream.tunnel]
servers = ["http://{tunnel}"]
[upstream.silent]
servers = ["http://{silent}"]
protocol = "h2"
[upstream.secure]
servers = ["https://127.0.0.1:{secure}"]
protocol = "h2"
tls = {{ ca = "{ca}", server_name = "gateway.test" }}
[upstream.untrusted]
servers = ["https://127.0.0.1:{secure}"]
tls = {{ server_name = "gateway.test" }}
"""
_SWITCH = b"GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
_SWITCH += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
_SWITCHED += b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"


class Traffic:
    """What such a gateway needs beside it, and what is asked of it."""

    def __init__(self, folder: Path, silent: socket.socket, tunnel: socket.socket) -> None:
        made = local_ca.make(str(folder), ("gateway.test",))
        shutil.copy(made.cert, folder / "edge.pem")
        shutil.copy(made.key, folder / "edge.key")
        self._silent = silent
        self.links: list[socket.socket] = []  # that the silent server has taken
        self.secure, self._bytes, self._nowhere = (free_port() for _ in range(3))
        places = {"silent": _place(silent), "tunnel": _place(tunnel)}
        ports = {"secure": self.secure, "bytes": self._bytes, "nowhere": self._nowhere}
        self.text = _CONFIG.format(folder=folder, ca=made.ca, nobody=free_port(), **ports, **places)

    def happen(self, hub: Gateway) -> None:
        """Something of everything."""
        self._call(hub)
        hub.get("/untrusted")
        for port in (hub.port, self._bytes, self._nowhere):
            with (
                contextlib.suppress(ConnectionResetError),  # nobody is behind it
                socket.create_connection(("127.0.0.1", port), DEADLINE) as client,
            ):
                client.sendall(_SWITCH)
                while client.recv(4096):
                    pass
        self._cancel(hub)
        self._flood(hub)
        self._fail_and_shake_hands()

    def _call(self, hub: Gateway) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{hub.port}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert check(b"", timeout=DEADLINE) == b"\x08\x01"

    def _cancel(self, hub: Gateway) -> None:
        """Once the upstream has begun: the connection is there, and the request has left."""
        asked = frame(HEADERS, END_HEADERS | END_STREAM, 1, literal([*GET[:3], _SILENT]))
        with socket.create_connection(("127.0.0.1", hub.port), DEADLINE) as client:
            client.sendall(PREFACE + frame(SETTINGS, 0, 0) + asked)
            self._take_request()
            client.sendall(frame(RST_STREAM, 0, 1, b"\0\0\0\x08") + frame(PING, 0, 0, bytes(8)))
            _until(client, PING)

    def _take_request(self) -> None:
        self._silent.settimeout(DEADLINE)
        link, _ = self._silent.accept()
        self.links.append(link)
        _until(link, HEADERS, skip=len(PREFACE))

    def _flood(self, hub: Gateway) -> None:
        with socket.create_connection(("127.0.0.1", hub.port), DEADLINE) as client:
            client.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, 0, 0) * 2000)
            _until(client, GOAWAY)

    def _fail_and_shake_hands(self) -> None:
        with socket.create_connection(("127.0.0.1", self.secure), DEADLINE) as client:
            client.sendall(b"no handshake at all\r\n\r\n")
            client.recv(4096)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.secure), DEADLINE) as client:
            context.wrap_socket(client, server_hostname="gateway.test").close()


_SILENT = (b":path", b"/silent")


@contextlib.contextmanager
def traffic(folder: Path) -> Iterator[Traffic]:
    """With its servers: one that takes connections and says nothing, and one that switches
    protocols and goes."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.create_server(("127.0.0.1", 0)) as tunnel,
    ):
        made = Traffic(folder, silent, tunnel)
        switching = threading.Thread(target=_switch, args=[tunnel], daemon=True)
        switching.start()
        try:
            yield made
        finally:
            for link in made.links:
                link.close()
            tunnel.shutdown(socket.SHUT_RDWR)
            switching.join(DEADLINE)


def _switch(server: socket.socket) -> None:
    while True:
        try:
            link, _ = server.accept()
        except OSError:
            return
        with link:
            if link.recv(65536):
                link.sendall(_SWITCHED)


def _until(link: socket.socket, kind: int, skip: int = 0) -> None:
    """Read until a frame of this kind has come; AssertionError if the connection ends before."""
    data = b""
    while kind not in [found for found, *_ in frames(data[skip:])]:
        more = link.recv(65536)
        assert more, f"no frame of kind {kind}"
        data += more


def _place(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"
