"""The longest turn of the collector's loop while each bomb arrives, and what it was answered.

    python -m benchmarks.collector_turns [--only TEXT] [--at-once 4] [--write]

A collector in a process of its own, on uvloop, with a callback in every turn of its loop, which
takes the time since the turn before: CPU of the process, since neighbours on the machine do not
disturb it (threads count too, for what they hold the loop waits), and by the clock. Each bomb is
sent alone and several at once, while a client asks with small requests on another connection.
Bound: 50 ms of CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from benchmarks.bombs import Bomb, bombs
from benchmarks.collector import measured, replace
from proxy.collector.pipeline import Pipeline
from proxy.config.load import loads
from proxy.config.observe import Export

BOUND = 0.050  # seconds
BEGIN = "<!-- benchmarks.collector_turns writes below -->"
END = "<!-- benchmarks.collector_turns writes above -->"
CONFIG = """
[collector.receivers.otlp]
http = "127.0.0.1:0"
[collector.receivers.zipkin]
endpoint = "127.0.0.1:0"
[collector.receivers.jaeger]
thrift_http = "127.0.0.1:0"
[collector.receivers.prometheus_remote_write]
endpoint = "127.0.0.1:0"
[collector.processors.batch]
[collector.exporters.debug]
[collector.pipelines.traces]
receivers = ["otlp", "zipkin", "jaeger"]
processors = ["batch"]
exporters = ["debug"]
[collector.pipelines.metrics]
receivers = ["otlp", "prometheus_remote_write"]
processors = ["batch"]
exporters = ["debug"]
[collector.pipelines.logs]
receivers = ["otlp"]
processors = ["batch"]
exporters = ["debug"]
"""


class Turns:
    """The longest turn since `clear`: CPU of this process and time by the clock."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def tick(self) -> None:
        cpu, wall = time.process_time(), time.monotonic()
        self.cpu = max(self.cpu, cpu - self._cpu)
        self.wall = max(self.wall, wall - self._wall)
        self._cpu, self._wall = cpu, wall
        asyncio.get_running_loop().call_soon(self.tick)

    def clear(self) -> dict[str, float]:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seen = {"cpu": self.cpu, "wall": self.wall, "peak": peak}
        self.cpu = self.wall = 0.0
        return seen


async def serve() -> None:
    """The measured process: ports on stdout, then an answer for each line on stdin."""
    collector = loads(CONFIG, "turns.toml", {}).config.collector
    pipeline = Pipeline(Export(), {"service.name": "turns"}, collector=collector)
    await pipeline.start()
    stages = {node.id: node.stage for node in pipeline.graph.receivers()}
    ports = {
        "otlp": stages["otlp"].addresses["http"],
        "zipkin": stages["zipkin"].port,
        "jaeger": stages["jaeger"].addresses["thrift_http"],
        "prometheus_remote_write": stages["prometheus_remote_write"].port,
    }
    turns = Turns()
    turns.tick()
    print(json.dumps(ports), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.readline():
        print(json.dumps(turns.clear()), flush=True)
    await pipeline.stop(1.0)


class Measured:
    """The collector's process, from outside."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.collector_turns", "--serve"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.ports: dict[str, int] = self._read()

    def mark(self) -> dict[str, float]:
        """What was seen since the last mark."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        seen: dict[str, float] = self._read()
        return seen

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def post(port: int, bomb: Bomb, timeout: float = 120.0) -> int:
    """The status of the answer; 0 for none."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        link.request("POST", bomb.path, bomb.body, bomb.headers)
        return link.getresponse().status
    except OSError:
        return 0
    finally:
        link.close()


@contextmanager
def pinging(port: int, waits: list[float]) -> Iterator[None]:
    """Small requests one after the other on one connection meanwhile."""
    over = threading.Event()

    def ping() -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while not over.wait(0.002):
            begun = time.monotonic()
            link.request("POST", "/v1/traces", b"", {"Content-Type": "application/x-protobuf"})
            link.getresponse().read()
            waits.append(time.monotonic() - begun)
        link.close()

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def thrown(measured: Measured, bomb: Bomb, at_once: int) -> tuple[set[int], dict[str, float]]:
    """(statuses, what was seen) for a bomb sent on so many connections at the same time."""
    statuses: list[int] = []
    waits: list[float] = []
    port = measured.ports[bomb.receiver]
    measured.mark()
    begun = time.monotonic()
    with pinging(measured.ports["otlp"], waits):
        threads = [
            threading.Thread(target=lambda: statuses.append(post(port, bomb)))
            for _ in range(at_once)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seen = measured.mark()
    return set(statuses), {
        **seen, "ping": max(waits, default=0.0), "took": time.monotonic() - begun
    }  # fmt: skip


def main() -> int:
    """Exit code 1 if a turn was too long."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve())
        return 0
    rows = ["| bomb | bytes | at once | status | longest turn, CPU ms | by the clock | peak MiB |"]
    rows.append("|---|---:|---:|---|---:|---:|---:|")
    print("\n".join(rows))
    worst = 0.0
    for bomb in bombs():
        if options.only not in bomb.name:
            continue
        subject = Measured()
        for at_once in sorted({1, options.at_once}):
            statuses, seen = thrown(subject, bomb, at_once)
            worst = max(worst, seen["cpu"])
            rows.append(
                f"| {bomb.name} | {len(bomb.body):,} | {at_once}"
                f" | {', '.join(map(str, sorted(statuses)))} | {seen['cpu'] * 1e3:.1f}"
                f" | {seen['wall'] * 1e3:.1f} | {seen['peak']:.0f} |"
            )
            print(rows[-1], f"ping {seen['ping'] * 1e3:.1f} took {seen['took']:.2f}", flush=True)
        subject.stop()
    if options.write:
        replace(f"{measured(1, 1)}.\n\n" + "\n".join(rows), BEGIN, END)
    return 0 if worst <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
