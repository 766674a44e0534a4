"""Message queues: what publishing and consuming take, by Kafka (the broker of the tests) and Redis.

    python -m benchmarks.messaging [--seconds 8] [--messages 20000] [--clients 32]

One worker. Publishing: requests of one message of 256 bytes each, and of 100 as a batch, on
connections that stay open. Consuming: so many messages are there, of 1,000 keys, and are delivered
to a server of this process with `concurrency = 32`. CPU is that of each process for one message;
how many there are in a second is what the machine does, with broker and load on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks import peers, proc

tansu = import_module("tests.collector.tansu").tansu  # tests are not typed
free_port = import_module("tests.ports").free_port

CONFIG = """
listen = "127.0.0.1:{port}"
workers = 1
[admin]
listen = "127.0.0.1:{admin}"
[messaging.{kind}.bus]
{server}
[[route]]
path = "/one"
publish = {{ to = "bus", topic = "{topic}", key = "header:x-key" }}
[[route]]
path = "/batch"
publish = {{ to = "bus", topic = "{topic}", batch = true }}
"""
CONSUME = """
[upstream.billing]
servers = ["http://127.0.0.1:{backend}"]
[[consume]]
name = "orders"
from = "bus"
topics = ["orders"]
group = "billing"
to = "billing"
start = "earliest"
concurrency = 32
"""
BODY = b"x" * 256
BATCH = b"[" + b",".join([b'{"text":"' + BODY + b'"}'] * 100) + b"]"
KEYS = 1000
PATIENCE = 120.0  # seconds
ROLES = ("worker", "messaging", "hub")


@dataclass(frozen=True)
class Queue:
    """A broker that runs."""

    name: str
    kind: str  # of [messaging.KIND.NAME]
    server: str  # the line that says where it is
    pid: Callable[[], int]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.messaging", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=32)
    said = parser.parse_args()
    proc.stop_all_when_ended()
    print("| | messages/s | p50, p99 | worker | queues | hub | broker |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    asyncio.run(measure(said))
    return 0


async def measure(said: argparse.Namespace) -> None:
    async with tansu() as broker:
        await broker.topic("orders")
        await broker.topic("published")
        line = f'brokers = ["{broker.address}"]'
        await each(Queue("Kafka", "kafka", line, lambda: pid_of(broker)), said)
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        return
    port = free_port()
    with subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    ) as server:
        try:
            await asyncio.to_thread(
                proc.wait_until, lambda: proc.listens(port), PATIENCE, "redis-server"
            )
            line = f'server = "redis://127.0.0.1:{port}"'
            await each(Queue("Redis", "redis", line, lambda: server.pid), said)
        finally:
            server.terminate()


def pid_of(broker: Any) -> int:
    assert broker._process is not None
    return int(broker._process.pid)


async def each(queue: Queue, said: argparse.Namespace) -> None:
    with gateway(queue, "published", "") as (root, port):
        for name, path, body, number in (
            ("one", "/one", BODY, 1),
            ("batches", "/batch", BATCH, 100),
        ):
            before, begun = spent(queue, root), time.monotonic()
            times = await published(port, path, body, said)
            count, took = len(times) * number, time.monotonic() - begun
            row(f"{queue.name}: publish {name}", count, took, times, before, spent(queue, root))
    with gateway(queue, "orders", "") as (_, port):
        await filled(port, said)
    async with backend() as (server, got):
        more = CONSUME.format(backend=server)
        with gateway(queue, "orders", more) as (root, _):
            await until(got, 1)
            first, before, begun = got[0], spent(queue, root), time.monotonic()
            await until(got, said.messages)
            count, took = got[0] - first, time.monotonic() - begun
            row(f"{queue.name}: consume", count, took, [], before, spent(queue, root))


@contextlib.contextmanager
def gateway(queue: Queue, topic: str, more: str) -> Iterator[tuple[int, int]]:
    """Its process, and its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "routes.toml")
        text = CONFIG.format(
            port=port, admin=free_port(), kind=queue.kind, server=queue.server, topic=topic
        )
        file.write_text(text + more)
        words = [str(peers.ENTRY), "run", str(file)]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as started:
            assert started.stderr
            while b"ready: " not in (line := started.stderr.readline()):
                assert line, "the gateway has ended"
            try:
                yield started.pid, port
            finally:
                started.terminate()
                started.stderr.read()


def spent(queue: Queue, root: int) -> dict[str, float]:
    """Seconds of CPU by process."""
    return {**proc.shares(root), "broker": proc.ran(queue.pid())}


async def published(port: int, path: str, body: bytes, said: argparse.Namespace) -> list[float]:
    """Seconds that each request took."""
    end, times = time.monotonic() + said.seconds, list[float]()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        asking = request(path, body, number)
        while (begun := time.monotonic()) < end:
            await asked(reader, writer, asking)
            times.append(time.monotonic() - begun)
        writer.close()

    await asyncio.gather(*map(client, range(said.clients)))
    return times


async def filled(port: int, said: argparse.Namespace) -> None:
    left = iter(range(said.messages))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in left:
            await asked(reader, writer, request("/one", BODY, number % KEYS))
        writer.close()

    await asyncio.gather(*(client() for _ in range(said.clients)))


def request(path: str, body: bytes, key: int = 0) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Key: {key}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asking: bytes) -> None:
    writer.write(asking)
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    body = await reader.readexactly(int(length or 0))
    if head[9:10] != b"2":
        raise SystemExit(f"it was not published: {head[:60]!r} {body[:200]!r}")


@contextlib.asynccontextmanager
async def backend() -> AsyncIterator[tuple[int, list[int]]]:
    """Its port, and how many requests came."""
    got = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                got[0] += 1

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], got


async def until(got: list[int], number: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while got[0] < number:
            await asyncio.sleep(0.005)


def row(
    name: str, count: int, took: float, times: list[float],
    before: dict[str, float], after: dict[str, float],
) -> None:  # fmt: skip
    cuts = quantiles(times, n=100) if len(times) > 1 else []
    waits = f"{cuts[49] * 1e3:.1f}, {cuts[98] * 1e3:.1f} ms" if cuts else ""
    cells = [(after[role] - before[role]) / count * 1e6 for role in (*ROLES, "broker")]
    shown = " | ".join(f"{cell:.0f} µs" for cell in cells)
    print(f"| {name} | {count / took:,.0f} | {waits} | {shown} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
