"""Three times what a server takes: how much of it is answered, and how quickly.

    python -m benchmarks.overload [--seconds 6] [--over 3] [--envoy /path/to/envoy]

The server is a process of its own that takes PLACES requests at once, each for TOOK; what comes
besides waits in it. Requests leave by a schedule with random gaps (Poisson) and their latency
counts from when they were due. Each gateway is measured at half of the capacity (unloaded) and at
`over` times it: goodput is the share of the capacity that was answered with 200, p99 that of these.
Meanwhile the admin port is asked ten times a second; its slowest answer is told.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from proxy.tasks import spawn

PLACES, TOOK = 16, 0.050  # requests at once, seconds of each
CAPACITY = PLACES / TOOK
WARM = 0.4  # of a run, which is not reported
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
SPANGATE = """
listen = "127.0.0.1:{port}"
workers = 2
access_log = {{ stdout = false }}
[admin]
listen = "127.0.0.1:{admin}"
[[route]]
to = "b"
[upstream.b]
servers = ["http://127.0.0.1:{backend}"]
{limits}
"""
LIMITS = {
    "spangate, no limits": "",
    "spangate, requests = 16": "limits = { requests = 16 }",
    "spangate, adaptive": "limits = { adaptive = true }",
}
ENVOY = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          http_filters:
          - name: envoy.filters.http.adaptive_concurrency
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency
              gradient_controller_config:
                sample_aggregate_percentile: {{value: 50}}
                concurrency_limit_params: {{concurrency_update_interval: 0.1s}}
                min_rtt_calc_params: {{jitter: {{value: 10}}, interval: 60s, request_count: 50}}
              enabled: {{default_value: true, runtime_key: a}}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: b}}}}]}}
  clusters:
  - name: b
    type: STATIC
    load_assignment:
      cluster_name: b
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {backend}}}}}}}
"""  # noqa: E501


def free_port() -> int:
    """One that nobody has just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def serve(port: int) -> None:
    """The server's process."""
    asyncio.run(_serve(port))


async def _serve(port: int) -> None:
    places = asyncio.Semaphore(PLACES)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                async with places:
                    await asyncio.sleep(TOOK)
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


class Load:
    """Requests on as many connections as it takes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.good: list[tuple[float, float]] = []  # when it was due, seconds it took

    async def run(self, rate: float, seconds: float) -> list[float]:
        """Latencies of those that were answered with 200, without those of the warm part."""
        self.good.clear()
        began = due = time.monotonic()
        tasks = []
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            tasks.append(spawn(self._ask(due), "ask"))
            due += random.expovariate(rate)
        await asyncio.wait(tasks, timeout=1.0)
        for task in tasks:
            task.cancel()
        return sorted(took for at, took in self.good if at > began + WARM * seconds)

    async def _ask(self, due: float) -> None:
        try:
            pair = self._idle.pop() if self._idle else None
            pair = pair or await asyncio.open_connection("127.0.0.1", self._port)
            pair[1].write(REQUEST)
            head = await pair[0].readuntil(b"\r\n\r\n")
            length = next(v for v in head.lower().split(b"\r\n") if v.startswith(b"content-length"))
            await pair[0].readexactly(int(length.partition(b":")[2]))
        except (OSError, asyncio.IncompleteReadError):
            return
        if head.split()[1] == b"200":
            self.good.append((due, time.monotonic() - due))
        self._idle.append(pair)


async def measured(name: str, port: int, admin: int, options: argparse.Namespace) -> str:
    """One gateway, as a row."""
    load = Load(port)
    calm = await load.run(CAPACITY / 2, options.seconds / 2)
    slowest = [0.0]
    asks = spawn(_ask_admin(admin, slowest), "admin")
    busy = await load.run(CAPACITY * options.over, options.seconds)
    asks.cancel()
    goodput = len(busy) / (options.seconds * (1 - WARM)) / CAPACITY
    one, other = _p99(calm), _p99(busy)
    times = f"{other / one:.2f}" if one else "-"
    times += f" | {slowest[0] * 1e3:.0f} ms"
    return f"| {name} | {goodput:.0%} | {one * 1e3:.0f} ms | {other * 1e3:.0f} ms | {times} |"


async def _ask_admin(port: int, slowest: list[float]) -> None:
    while True:
        before = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        slowest[0] = max(slowest[0], time.monotonic() - before)
        writer.close()
        await asyncio.sleep(0.1)


def _p99(latencies: list[float]) -> float:
    return latencies[len(latencies) * 99 // 100] if latencies else 0.0


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A gateway that takes connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until and process.poll() is None:
            with socket.socket() as sock:
                if not sock.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of the overload")
    parser.add_argument("--over", type=float, default=3.0, help="times the capacity")
    parser.add_argument("--envoy", default="", help="path of the program")
    options = parser.parse_args(arguments)
    print("| | goodput | p99 unloaded | p99 | times | admin |\n|---|---:|---:|---:|---:|---:|")
    escaped = {name: text.replace("{", "{{").replace("}", "}}") for name, text in LIMITS.items()}
    rows = {name: SPANGATE.replace("{limits}", text) for name, text in escaped.items()}
    if options.envoy:
        rows["envoy, adaptive concurrency"] = ENVOY
    for name, text in rows.items():
        backend, port, admin = free_port(), free_port(), free_port()
        server = multiprocessing.Process(target=serve, args=(backend,), daemon=True)
        server.start()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / ("envoy.yaml" if name.startswith("envoy") else "routes.toml")
            file.write_text(text.format(port=port, admin=admin, backend=backend))
            command = [sys.executable, "-m", "proxy", "run", str(file)]
            if name.startswith("envoy"):
                command = [options.envoy, "-c", str(file), "--concurrency", "2", "-l", "off"]
            with running(command, port):
                print(asyncio.run(measured(name, port, admin, options)), flush=True)
        server.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
