"""The back end is away for minutes and the hub is killed meanwhile: how much of it arrives?

    python -m benchmarks.outage [--minutes 10] [--rate 200] [--command collect|run] [--batch]

An application sends spans over OTLP/HTTP and, as SDKs do, sends again what was not accepted. A
`spangate collect` (or `run`) passes them on through a queue on disk. After a quiet minute's worth
the back end goes away; in the middle of that time the process gets a kill -9 and is started anew,
as a service manager does. Then the back end returns. Every span has an id of its own, so what is
missing and what came twice is known and not estimated. `--batch` puts a batch processor before
the queue, whose 200 ms are in memory, to show what that costs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import aiohttp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks import collector_ends, peers, proc, report
from benchmarks.soak import Check, balanced, books
from tests.otlp.fake_collector import FakeCollector

CONFIG = """
listen = "127.0.0.1:{listen}"
[admin]
listen = "127.0.0.1:{admin}"
[[route]]
name = "ping"
path = "/ping"
respond = {{ status = 200, body = "pong" }}
[collector.receivers.otlp]
http = "127.0.0.1:{port}"
[collector.processors.batch]
[collector.exporters."otlp_http/backend"]
endpoint = "{endpoint}"
retry_on_failure = {{ max_interval = "2s", max_elapsed_time = "0s" }}
sending_queue = {{ storage = "{directory}", num_consumers = {consumers} }}
[collector.pipelines.traces]
receivers = ["otlp"]
processors = [{processors}]
exporters = ["otlp_http/backend"]
"""

EVERY = 0.5  # seconds between two requests of the application
WARM = 10.0  # seconds before the outage: what a process grows to by working at all
PATIENCE = 60.0  # seconds for what was kept to arrive
SHARE = 0.9999  # of what the application has made that must arrive
GROWTH = 32 * 1024 * 1024  # bytes that memory may grow by
CONSUMERS = 1


@dataclass(slots=True)
class Seen:
    """What was measured."""

    made: int = 0
    waits: list[float] = field(default_factory=list)  # seconds from request to acceptance
    again: int = 0  # requests that had to be sent more than once
    baseline: int = 0
    peak: int = 0
    on_disk: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    unbalanced: list[str] = field(default_factory=list)
    restart: float = 0.0  # seconds from the kill to /ready


class Application:
    """Makes spans and keeps them until they are accepted."""

    def __init__(self, port: int, rate: int, seen: Seen) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/traces"
        self._spans = max(1, round(rate * EVERY))
        self._seen = seen
        self._waiting: deque[bytes] = deque()
        self._template = ExportTraceServiceRequest.FromString(collector_ends.request(self._spans))

    async def run(self, seconds: float) -> None:
        """Make spans for so long, and go on until all are accepted."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
            end = time.monotonic() + seconds
            due = time.monotonic()
            while time.monotonic() < end or self._waiting:
                if time.monotonic() < end:
                    self._waiting.append(self._make())
                await self._send(session)
                due += EVERY
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _make(self) -> bytes:
        for span in self._template.resource_spans[0].scope_spans[0].spans:
            self._seen.made += 1
            span.span_id = self._seen.made.to_bytes(8, "big")
        return self._template.SerializeToString()

    async def _send(self, session: aiohttp.ClientSession) -> None:
        headers = {"Content-Type": "application/x-protobuf"}
        while self._waiting:
            begin = time.monotonic()
            try:
                async with session.post(self._url, data=self._waiting[0], headers=headers) as got:
                    if got.status != 200:
                        raise aiohttp.ClientError(str(got.status))
            except (aiohttp.ClientError, TimeoutError):
                self._seen.again += 1
                return
            self._seen.waits.append(time.monotonic() - begin)
            self._waiting.popleft()


class Hub:
    """The process under test, which can be killed and started again."""

    def __init__(self, command: str, directory: Path, values: dict[str, Any], seen: Seen) -> None:
        self._file = directory / "routes.toml"
        self._file.write_text(CONFIG.format(**values))
        self._command = [sys.executable, "-m", "proxy", command, str(self._file)]
        self._log = directory / "hub.out"
        self._admin = values["admin"]
        self._queue = Path(values["directory"])
        self._seen = seen
        self._process: Popen[bytes] | None = None

    async def start(self) -> float:
        """Seconds until /ready says 200."""
        begin = time.monotonic()
        self._process = proc.start(self._command, proc.cores()[0], self._log)
        await asyncio.to_thread(proc.wait_until, self._ready, 30, "spangate")
        return time.monotonic() - begin

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            proc.stop(self._process, 15)

    def look(self) -> None:
        """Memory, files and books at this moment."""
        assert self._process is not None
        self._seen.peak = max(self._seen.peak, proc.memory([self._process.pid]).rss)
        files = sum(path.stat().st_size for path in self._queue.rglob("*.queue"))
        self._seen.on_disk = max(self._seen.on_disk, files)
        for ledger in self.ledgers():
            if not balanced(ledger):
                self._seen.unbalanced.append(str(ledger))

    def ledgers(self) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self._admin}/stats"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)["export"].get("otlp_http/backend", {})
        return [ledger for ledger in books(found) if ledger["created"]]

    def queued(self) -> int:
        return sum(ledger["queued"] for ledger in self.ledgers())

    def count_drops(self) -> None:
        """Of this process, before it goes."""
        for ledger in self.ledgers():
            for reason, items in ledger["dropped"].items():
                self._seen.dropped[reason] = self._seen.dropped.get(reason, 0) + items

    def _ready(self) -> bool:
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self._admin}/ready"
            with urllib.request.urlopen(url, timeout=1) as answer:
                return bool(answer.status == 200)
        return False

    async def watch(self) -> None:
        while True:
            with contextlib.suppress(OSError):  # it is being killed
                await asyncio.to_thread(self.look)
            await asyncio.sleep(1)


async def outage(options: argparse.Namespace, directory: Path) -> tuple[Seen, FakeCollector]:
    """One run of the whole story."""
    seen = Seen()
    half = options.minutes * 30
    async with FakeCollector() as backend:
        values: dict[str, Any] = {
            "listen": peers.free_port(),
            "admin": peers.free_port(),
            "port": peers.free_port(),
            "endpoint": backend.endpoint,
            "directory": directory / "queue",
            "consumers": CONSUMERS,
            "processors": '"batch"' if options.batch else "",
        }
        hub = Hub(options.command, directory, values, seen)
        try:
            await hub.start()
            application = Application(values["port"], options.rate, seen)
            running = asyncio.create_task(application.run(WARM + 2 * half + 5))  # noqa: TID251
            await asyncio.sleep(WARM)
            hub.look()
            seen.baseline = seen.peak
            watching = asyncio.create_task(hub.watch())  # noqa: TID251
            await backend.die()
            await asyncio.sleep(half)
            hub.count_drops()
            hub.kill()
            seen.restart = await hub.start()
            await asyncio.sleep(half)
            await backend.revive()
            await running
            deadline = time.monotonic() + PATIENCE
            while hub.queued() and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
            watching.cancel()
            hub.look()
            hub.count_drops()
        finally:
            hub.stop()
    return seen, backend


def arrivals(backend: FakeCollector) -> Counter[bytes]:
    """How often each span arrived, by its id."""
    found: Counter[bytes] = Counter()
    for payload in backend.accepted["traces"]:
        message = ExportTraceServiceRequest.FromString(payload)
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                found.update(span.span_id for span in scope.spans)
    return found


def judge(seen: Seen, found: Counter[bytes], request: int) -> list[Check]:
    share = len(found) / seen.made
    missing = seen.made - len(found)
    twice = sum(found.values()) - len(found)
    counted = sum(seen.dropped.values())
    growth = seen.peak - seen.baseline
    waits = sorted(seen.waits)
    print(
        f"{seen.made:,} spans made, {len(found):,} delivered, {missing} missing, {twice} twice;"
        f" {seen.on_disk / 1e6:.1f} MB on disk at most; ready {seen.restart:.2f} s after the kill;"
        f" accepted within {waits[len(waits) // 2] * 1e3:.1f} ms (median),"
        f" {waits[len(waits) * 99 // 100] * 1e3:.1f} ms (p99), {waits[-1] * 1e3:.0f} ms (worst);"
        f" {seen.again} requests sent again"
    )
    return [
        Check("delivered", share >= SHARE, f"{share:.4%}"),
        Check("duplicates: one request", twice <= CONSUMERS * request, f"{twice} spans"),
        Check("memory", growth <= GROWTH, f"{growth / 2**20:+.1f} MiB"),
        Check("each loss is counted", missing == counted, f"{missing} missing, {seen.dropped}"),
        Check("books balance", not seen.unbalanced, f"{seen.unbalanced[:1]}"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; exit code 0 if all checks passed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=200, help="spans a second")
    parser.add_argument("--command", choices=("collect", "run"), default="collect")
    parser.add_argument("--batch", action="store_true", help="a batch processor before the queue")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="spangate-outage-") as directory:
        seen, backend = asyncio.run(outage(options, Path(directory)))
    checks = judge(seen, arrivals(backend), round(options.rate * EVERY))
    for check in checks:
        print(f"{'ok  ' if check.passed else 'FAIL'}  {check.name}: {check.seen}")
    if not options.dry:
        made = {"machine": report.machine(), "versions": report.versions(), **vars(options)}
        made |= {**asdict(seen), "checks": [asdict(check) for check in checks]}
        print(report.write_json(made, "outage"))
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
