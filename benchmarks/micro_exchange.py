"""µs of Python for one whole request through a worker, without sockets or an event loop.

`python -m benchmarks.micro_exchange`: transports are stubs, everything else is the real thing,
so what remains against a load test is the price of system calls and the loop.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import pstats
import socket
import sys
import time
from typing import Any

from benchmarks.micro_telemetry import release
from proxy.config.load import loads
from proxy.server.compile import Compiler
from proxy.server.door import Door
from proxy.server.h1_client import ClientConnection
from proxy.server.h1_upstream import UpstreamConnection
from proxy.server.house import Tell
from proxy.server.listener import Listener
from proxy.server.ring import Ring, memory_only
from proxy.server.serve import tell
from proxy.server.worker import Worker

CONFIG = """
[export]
otlp = "http://127.0.0.1:9"
[access_log]
otlp = {logs}
stdout = false
[[route]]
name = "orders"
path = "/api/orders/{{id}}"
to = "http://127.0.0.1:9000"
"""

REQUEST = (
    b"GET /api/orders/42 HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36\r\n"
    b"Accept: application/json\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Accept-Language: en-US,en;q=0.9\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Cookie: session=abcdef0123456789; theme=dark\r\n"
    b"Referer: https://example.com/shop\r\n"
    b"Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9\r\n"
    b"X-Request-Id: 7f3c2b1a\r\n"
    b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-%b\r\n"
    b"X-Forwarded-Proto: https\r\n"
    b"Connection: keep-alive\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\n"
    b"Server: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 20:13:54 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 901\r\nConnection: keep-alive\r\n"
    b"X-A: 1\r\nX-B: 2\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\n"
    b"X-Frame-Options: DENY\r\nX-Content-Type-Options: nosniff\r\n\r\n" + b"x" * 901
)


class StubTransport:
    """Takes what is written and forgets it."""

    def __init__(self, peer: tuple[str, int]) -> None:
        self.peer = peer

    def get_extra_info(self, name: str) -> Any:
        return socket.socket() if name == "socket" else self.peer

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None:
        pass


async def prepare(
    text: str, tell: Tell = tell
) -> tuple[Worker, ClientConnection, UpstreamConnection]:
    """A worker with one client connection and one warm upstream connection."""
    config = loads(text, "bench.toml", {}).config
    worker = Worker(0, Ring(memory_only()), {})
    compiler = Compiler(config, worker.upstreams)
    compiler.run()
    await worker.adopt(compiler)
    worker.recorder.configure(config)
    listener = Listener(":8080", socket.socket())
    listener.trust(config)
    client = ClientConnection(worker, Door(worker, listener, tell))
    client.connection_made(StubTransport(("127.0.0.1", 50000)))  # type: ignore[arg-type]
    endpoint = next(worker.upstreams.endpoints())
    pool: Any = worker.pool_of(endpoint)
    upstream = UpstreamConnection(pool)
    upstream.connection_made(StubTransport(("127.0.0.1", 9000)))  # type: ignore[arg-type]
    upstream.pool.give(upstream, time.monotonic_ns())
    return worker, client, upstream


def run(flags: bytes, logs: bool) -> float:
    """The best µs a request of five rounds."""
    return asyncio.run(_run(flags, logs, 20000))


async def _run(flags: bytes, logs: bool, number: int) -> float:
    worker, client, upstream = await prepare(CONFIG.format(logs="true" if logs else "false"))
    gc.freeze()  # as a worker does
    request = REQUEST % flags
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(number // 5):
            client.data_received(request)
            worker.outbox.flush()
            upstream.data_received(RESPONSE)
            worker.outbox.flush()
        best = min(best, (time.perf_counter() - began) / (number // 5) * 1e6)
        release(worker.recorder)
    return best


def main() -> None:
    if "--profile" in sys.argv:
        profile = cProfile.Profile()
        profile.runcall(run, b"01", False)
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        return
    print(f"{'untraced':32}{run(b'00', False):8.1f} µs a request")
    print(f"{'traced (2 spans)':32}{run(b'01', False):8.1f} µs a request")
    print(f"{'traced, access log as OTLP':32}{run(b'01', True):8.1f} µs a request")


if __name__ == "__main__":
    main()
