"""Rate limits: what comes through, over two workers and over two gateways, and what a check costs.

    python -m benchmarks.rates [--seconds 10] [--redis]

The figures that count are admitted requests against the limit. Load is what the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from proxy.kernel import gcra
from tests.ports import free_port

LIMIT = 1000
BURST = 10
CLIENTS = 16


def check_cost() -> None:
    """us of one check, without and with the hashing of its key."""
    from proxy.config.model import Route
    from proxy.config.rate_model import RateLimit
    from proxy.server.rates import Rule, hashed

    table = gcra.Table(bytearray(gcra.HEADER + (1 << 16) * gcra.SLOT))
    rule = Rule(Route(name="r"), RateLimit(limit="1000/s"))
    count = 200_000
    begun = time.perf_counter()
    for i in range(count):
        table.take(i * 0x9E3779B97F4A7C15 & (1 << 64) - 1, i, 1000, 0)
    bare = time.perf_counter() - begun
    begun = time.perf_counter()
    for i in range(count):
        table.take(hashed(b"secret", rule, b"some key"), i, 1000, 0)
    full = time.perf_counter() - begun
    print(f"check {bare / count * 1e6:.2f} us, with its hash {full / count * 1e6:.2f} us")


async def _client(port: int, until: float, counts: dict[bytes, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 8
    while time.monotonic() < until:
        writer.write(request)
        for _ in range(8):
            head = await reader.readuntil(b"\r\n\r\n")
            status = head[9:12]
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            counts[status] = counts.get(status, 0) + 1
    writer.close()


def load(ports: list[int], seconds: float) -> dict[bytes, int]:
    """Ask as fast as it goes; how many got which status."""
    counts: dict[bytes, int] = {}

    async def run() -> None:
        until = time.monotonic() + seconds
        clients = [_client(ports[i % len(ports)], until, counts) for i in range(CLIENTS)]
        await asyncio.gather(*clients)

    asyncio.run(run())
    return counts


def gateway(scope: str, workers: int, redis: int) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    text = f"""
listen = "127.0.0.1:{port}"
workers = {workers}
admin.listen = ""
[redis]
url = "{f"redis://127.0.0.1:{redis}" if redis else ""}"
when_down = "open"
[[route]]
name = "limited"
path = "/*"
to = "b"
rate = {{ limit = "{LIMIT}/s", burst = {BURST}, scope = "{scope}" }}
[upstream.b]
servers = ["http://127.0.0.1:{BACKEND}"]
"""
    path = Path(tempfile.mkdtemp()) / "routes.toml"
    path.write_text(text.replace('url = ""', ""))
    command = [sys.executable, "-m", "proxy", "run", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return process, port


BACKEND = free_port()


async def _backend() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    await (await asyncio.start_server(serve, "127.0.0.1", BACKEND)).serve_forever()


def _backends() -> None:
    asyncio.run(_backend())


def wait(port: int) -> None:
    import socket

    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the gateway does not start")


def measure(title: str, scope: str, sizes: list[int], seconds: float, redis: int = 0) -> None:
    made = [gateway(scope, workers, redis) for workers in sizes]
    try:
        for _, port in made:
            wait(port)
        time.sleep(0.5)
        begun = time.monotonic()
        counts = load([port for _, port in made], seconds)
        took = time.monotonic() - begun
    finally:
        for process, _ in made:
            process.terminate()
        for process, _ in made:
            process.wait()
    offered, admitted = sum(counts.values()), counts.get(b"200", 0)
    wanted = LIMIT * took + BURST
    print(
        f"{title}: offered {offered / took:,.0f}/s for {took:.1f} s, admitted {admitted}"
        f" of {wanted:.0f} ({admitted / wanted - 1:+.2%}), others {sorted(counts)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--redis", action="store_true", help="two gateways and a redis-server")
    said = parser.parse_args()
    check_cost()
    backend = multiprocessing.Process(target=_backends, daemon=True)
    backend.start()
    wait(BACKEND)
    if said.redis:
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir())
        wait(port)
        try:
            measure("two gateways, Redis", "shared", [1, 1], said.seconds, port)
        finally:
            server.kill()
            server.wait()
    else:
        measure("two workers, host", "host", [2], said.seconds)
    backend.kill()
    backend.join()


if __name__ == "__main__":
    main()
