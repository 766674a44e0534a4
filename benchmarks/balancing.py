"""Latency through policies in front of servers that take 1, 1 and 50 ms.

    python -m benchmarks.balancing [--seconds 5] [--rate 300] [--only spangate-peak_ewma,…]

The three servers are in one process, the gateway with one worker is another one. Requests leave by
a schedule with random gaps (Poisson) and their latency counts from when they were due. HAProxy,
Envoy and Traefik are measured beside where they are installed; the best policy of theirs, and round
robin.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
DELAYS = (0.001, 0.001, 0.050)  # seconds, of the three servers
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
POLICIES = ("round_robin", "random", "least_request", "peak_ewma")
WARM = 0.2  # of a run, which is not reported

SPANGATE = """
listen = "127.0.0.1:{port}"
workers = 1
access_log = {{ stdout = false }}
[admin]
listen = ""
[[route]]
to = "b"
[upstream.b]
balance = "{policy}"
servers = {servers}
"""
HAPROXY = """
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend in
    bind 127.0.0.1:{port}
    default_backend out
backend out
    balance {policy}
"""
ENVOY = """
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
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: b}}}}]}}
  clusters:
  - name: b
    type: STATIC
    lb_policy: {policy}
    load_assignment:
      cluster_name: b
      endpoints:
      - lb_endpoints: [{servers}]
"""  # noqa: E501
TRAEFIK = """
entryPoints:
  in:
    address: "127.0.0.1:{port}"
providers:
  file:
    filename: "services.yaml"
"""
SERVICES = """
http:
  routers:
    all:
      rule: "PathPrefix(`/`)"
      service: b
  services:
    b:
      loadBalancer:
        strategy: "{policy}"
        servers: [{servers}]
"""


class Server(asyncio.Protocol):
    """Says ok to each request after `delay` seconds."""

    def __init__(self, delay: float) -> None:
        self._delay = delay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, ANSWER)


def serve(sockets: Sequence[socket.socket], scale: float) -> None:
    """All servers, until the process is ended."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for sock, delay in zip(sockets, DELAYS, strict=True):
            await loop.create_server(lambda delay=delay: Server(scale * delay), sock=sock)  # type: ignore[misc]
        await asyncio.Event().wait()

    asyncio.run(run())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def configured(product: str, policy: str, port: int, servers: Sequence[int]) -> tuple[str, str]:
    """A gateway's configuration, and the ending of its file's name."""
    if product == "spangate":
        urls = [f"http://127.0.0.1:{server}" for server in servers]
        return SPANGATE.format(port=port, policy=policy, servers=urls), "toml"
    if product == "haproxy":
        lines = [f"    server s{n} 127.0.0.1:{s}\n" for n, s in enumerate(servers)]
        return HAPROXY.format(port=port, policy=policy) + "".join(lines), "cfg"
    if product == "traefik":
        return TRAEFIK.format(port=port), "yaml"
    one = "{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}"
    all_of_them = ", ".join(one.format(server) for server in servers)
    return ENVOY.format(port=port, policy=policy, servers=all_of_them), "yaml"


def command(product: str, file: Path) -> list[str]:
    if product == "spangate":
        return [str(BIN / "spangate"), "run", str(file)]
    if product == "haproxy":
        return ["haproxy", "-q", "-db", "-f", str(file)]
    if product == "traefik":
        return ["traefik", f"--configFile={file}"]
    return ["envoy", "--concurrency", "1", "-l", "off", "-c", str(file)]


@contextlib.contextmanager
def gateway(product: str, policy: str, servers: Sequence[int]) -> Iterator[int]:
    """The port of a running one."""
    port = free_port()
    text, ending = configured(product, policy, port, servers)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"gateway.{ending}"
        file.write_text(text)
        if product == "traefik":
            urls = ", ".join(f'{{url: "http://127.0.0.1:{server}"}}' for server in servers)
            services = Path(folder) / "services.yaml"
            services.write_text(SERVICES.format(policy=policy, servers=urls))
        started = command(product, file)
        process = subprocess.Popen(
            started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
        )
        try:
            until = time.monotonic() + 15
            while time.monotonic() < until:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/").close()
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait(15)


async def load(port: int, rate: float, seconds: float) -> list[float]:
    """Latencies (s) of the requests after the warm part, by when they were due."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    found: list[float] = []
    begin = time.perf_counter()

    async def ask(due: float) -> None:
        pair = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        pair[1].write(REQUEST)
        await pair[0].readuntil(b"\r\n\r\nok")
        idle.append(pair)
        if due - begin > WARM * seconds:
            found.append(time.perf_counter() - due)

    due, tasks, chance = begin, [], random.Random(1)
    while due < begin + seconds:
        due += chance.expovariate(rate)
        await asyncio.sleep(due - time.perf_counter())
        tasks.append(asyncio.create_task(ask(due)))  # noqa: TID251
    await asyncio.wait_for(asyncio.gather(*tasks), 30)
    for _, writer in idle:
        writer.close()
    return sorted(found)


def targets(only: str) -> list[tuple[str, str]]:
    known = [("spangate", policy) for policy in POLICIES]
    if shutil.which("haproxy"):
        known += [("haproxy", "roundrobin"), ("haproxy", "leastconn")]
    if shutil.which("envoy"):
        known += [("envoy", "ROUND_ROBIN"), ("envoy", "LEAST_REQUEST")]
    if shutil.which("traefik"):
        known += [("traefik", "wrr"), ("traefik", "p2c"), ("traefik", "leasttime")]
    return [(p, policy) for p, policy in known if not only or f"{p}-{policy}" in only.split(",")]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.balancing", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--only", default="")
    parser.add_argument("--scale", type=float, default=1, help="of the delays, for a busy machine")
    options = parser.parse_args(arguments)
    sockets = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in DELAYS]
    ports = [int(sock.getsockname()[1]) for sock in sockets]
    process = multiprocessing.get_context("fork").Process(
        target=serve, args=(sockets, options.scale)
    )
    process.start()
    delays = ", ".join(f"{options.scale * delay * 1e3:g}" for delay in DELAYS)
    print(f"servers of {delays} ms, {options.rate:g} requests/s, {options.seconds:g} s; ms")
    print(f"{'':<28}{'p50':>8}{'p90':>8}{'p99':>8}{'mean':>8}{'slow':>8}")
    try:
        for product, policy in targets(options.only):
            with gateway(product, policy, ports) as port:
                times = asyncio.run(load(port, options.rate, options.seconds))
            points = [times[int(len(times) * share)] * 1e3 for share in (0.5, 0.9, 0.99)]
            slow = sum(t >= options.scale * DELAYS[2] for t in times) / len(times)
            points += [sum(times) / len(times) * 1e3]
            row = "".join(f"{value:>8.1f}" for value in points)
            print(f"{product + ' ' + policy:<28}{row}{slow:>8.1%}", flush=True)
    finally:
        process.terminate()
        process.join()


if __name__ == "__main__":
    main()
