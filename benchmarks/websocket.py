"""WebSockets beside nginx: what a message costs, and what a thousand that are open take.

    python -m benchmarks.websocket [--seconds 3] [--rounds 3]

64 connections send a 64-byte message each as soon as their last one has come back. What is compared
is the CPU time of the proxy (spangate: of all its processes, each tunnel traced and counted), in
rounds that take turns; memory is the RSS of those processes with 1,000 open tunnels.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import proc
from benchmarks.peers import free_port
from proxy.http.upgrade import accept_of

CLIENTS = 64
OPEN = 1000
MESSAGE = bytes([0x82, 0x80 | 64]) + b"mask" + bytes(64)
_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_ASK = (
    b"GET /ws HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + _KEY + b"\r\n\r\n"
)
_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: " + accept_of(_KEY) + b"\r\n\r\n"
)
_SPANGATE = """
listen = "127.0.0.1:{port}"
workers = 1
admin.listen = "127.0.0.1:{admin}"
log.level = "warning"
access_log.stdout = false
[tracing]
sample = 1.0
[export]
otlp = "http://127.0.0.1:9"
[[route]]
path = "/*"
to = "http://127.0.0.1:{backend}"
"""
_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{backend};
proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection upgrade; }} }} }}
"""


class Echo(asyncio.Protocol):
    """A server that sends back whatever comes after the handshake."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.is_open:
            self.transport.write(data)
        elif data.endswith(b"\r\n\r\n"):
            self.is_open = True
            self.transport.write(_ANSWER)


class Caller(asyncio.Protocol):
    """A client that keeps one message under way, once it is told to."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.opened = asyncio.get_running_loop().create_future()
        self.messages = 0
        self.talks = False
        self._came = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(_ASK)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            if not data.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(data.decode("latin-1"))
            self.opened.set_result(None)
            return
        self._came += len(data)
        if self._came >= len(MESSAGE):
            self._came = 0
            self.messages += 1
            if self.talks:
                self.transport.write(MESSAGE)


async def callers(port: int, count: int) -> list[Caller]:
    loop = asyncio.get_running_loop()
    found: list[Caller] = []
    for _ in range(count):
        _, caller = await loop.create_connection(Caller, "127.0.0.1", port)
        found.append(caller)
        await caller.opened
    return found


async def cost(port: int, pid: int, seconds: float) -> float:
    """Messages for each second of CPU."""
    clients = await callers(port, CLIENTS)
    before = proc.cpu(pid)
    for client in clients:
        client.talks = True
        client.transport.write(MESSAGE)
    await asyncio.sleep(seconds)
    spent = proc.cpu(pid) - before
    for client in clients:
        client.transport.abort()
    return sum(client.messages for client in clients) / spent


async def memory(port: int, pid: int) -> tuple[int, int]:
    """KiB before, and with OPEN tunnels on each of which a message was echoed."""
    before = proc.memory(proc.tree(pid)).rss // 1024
    clients = await callers(port, OPEN)
    for client in clients:
        client.transport.write(MESSAGE)
    while not all(client.messages for client in clients):
        await asyncio.sleep(0.05)
    after = proc.memory(proc.tree(pid)).rss // 1024
    for client in clients:
        client.transport.abort()
    return before, after


@contextlib.contextmanager
def proxies(backend: int) -> Iterator[dict[str, tuple[int, int]]]:
    """(port, process) of each."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        values = {"backend": backend, "folder": folder, "admin": free_port()}
        found = {}
        for name, text, command in (
            ("spangate", _SPANGATE, [sys.executable, "-m", "proxy", "run"]),
            ("nginx", _NGINX, ["nginx", "-c"]),
        ):
            port = free_port()
            file = Path(folder, "routes.toml" if name == "spangate" else "nginx.conf")
            file.write_text(text.format(port=port, **values))
            process = subprocess.Popen([*command, str(file)], stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            while not proc.listens(port):
                time.sleep(0.05)
            found[name] = (port, process.pid)
        yield found


async def measure(seconds: float, rounds: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=2048)
    backend = server.sockets[0].getsockname()[1]
    with proxies(backend) as running:
        rates: dict[str, list[float]] = {name: [] for name in running}
        for _ in range(rounds):
            for name, (port, pid) in running.items():
                rates[name].append(await cost(port, pid, seconds))
        for name, (port, pid) in running.items():
            before, after = await memory(port, pid)
            print(
                f"{name:<9} {statistics.median(rates[name]):>9,.0f} messages a CPU second, "
                f"{(after - before) / OPEN:.1f} KiB a tunnel ({before:,} to {after:,} KiB)"
            )
        ratios = [a / b for a, b in zip(rates["spangate"], rates["nginx"], strict=True)]
        print(f"ratio     {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    uvloop.run(measure(options.seconds, options.rounds))


if __name__ == "__main__":
    main()
