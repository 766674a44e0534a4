"""Decompression bombs against the collector while the gateway serves: who notices?

    python -m benchmarks.collector_bomb [--rounds 5] [--rate 1000] [--write]

One `spangate run` with a route and a receiver `otlp`, not pinned to a core. Clients ask for the
route at a fixed rate, in turns without bombs and while ten of 1 MiB, which would become
1 GiB, are posted at even distances. CPU and memory are the hub's alone, the CPU less what the
turn without bombs took.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import statistics
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks import bed as beds
from benchmarks import peers, proc
from benchmarks.client import Crowd, Tally
from benchmarks.collector import listens, measured, replace
from proxy.tasks import spawn

CONFIG = """
listen = "127.0.0.1:{port}"
workers = 1
[admin]
listen = ""
[access_log]
stdout = false
[[route]]
name = "orders"
path = "/*"
to = "backend"
[upstream.backend]
servers = {{ "http://127.0.0.1:{backend}" = 1 }}
[collector.receivers.otlp]
http = "127.0.0.1:{otlp}"
[collector.processors.batch]
[collector.exporters.otlp_http]
endpoint = "http://127.0.0.1:{sink}"
[collector.pipelines.traces]
receivers = ["gateway", "otlp"]
processors = ["batch"]
exporters = ["otlp_http"]
"""

BOMBS = 10
WINDOW = 4.0  # seconds of a turn
CONNECTIONS = 32
BECOMES = 1 << 30
CAP = 64 << 20  # max_request_size of the receiver, by default
SPARE = 8 << 20
BEGIN = "<!-- benchmarks.collector_bomb writes below -->"
END = "<!-- benchmarks.collector_bomb writes above -->"


@dataclass(frozen=True)
class Turn:
    """What one turn has shown."""

    rate: float  # answers a second
    p50: float  # seconds
    p99: float
    failed: int
    cpu: float  # seconds, of the hub
    grown: int  # bytes by which the hub's peak was above what it had before


def bomb() -> bytes:
    """1 GiB of zeros as 1 MiB of gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(BECOMES >> 20))
    return packed + packer.flush()


def post(port: int, body: bytes) -> int:
    """The status of the answer."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    try:
        link.request("POST", "/v1/traces", body, headers)
        return link.getresponse().status
    finally:
        link.close()


async def turn(crowd: Crowd, hub: int, throw: Callable[[], int] | None) -> Turn:
    proc.reset_peak([hub])
    before, cpu = proc.memory([hub]).rss, _own(hub)
    crowd.tally = Tally()
    throwing = spawn(_thrown(throw), "bombs")
    begun = asyncio.get_running_loop().time()
    await crowd.run(WINDOW)
    elapsed = asyncio.get_running_loop().time() - begun
    statuses = await throwing
    assert set(statuses) <= {413}, statuses
    tally = crowd.tally
    latencies = sorted(tally.latencies)
    return Turn(
        tally.answered / elapsed,
        latencies[len(latencies) // 2],
        latencies[len(latencies) * 99 // 100],
        tally.failed + tally.late + tally.refused,
        _own(hub) - cpu,
        proc.memory([hub]).peak - before,
    )


async def _thrown(throw: Callable[[], int] | None) -> list[int]:
    """One after the other: what two at once may hold is another limit's business."""
    statuses: list[int] = []
    begun = asyncio.get_running_loop().time()
    for number in range(BOMBS if throw else 0):
        due = begun + (number + 0.2) * WINDOW / BOMBS
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        assert throw is not None
        statuses.append(await asyncio.to_thread(throw))
    return statuses


def _own(hub: int) -> float:
    """CPU of the hub without its workers."""
    workers = [pid for pid in proc.tree(hub) if pid != hub]
    return proc.cpu(hub) - sum(proc.cpu(pid) for pid in workers)


async def measure(port: int, otlp: int, hub: int, options: argparse.Namespace) -> list[list[Turn]]:
    """Turns without bombs, and with them."""
    body = bomb()
    crowd = Crowd(port, CONNECTIONS, options.rate)
    await crowd.run(1.0)
    turns: list[list[Turn]] = [[], []]
    for number in range(options.rounds * 2):
        which = (number + 1) // 2 % 2  # 0 1 1 0 0 1 …: none always comes first
        found = await turn(crowd, hub, (lambda: post(otlp, body)) if which else None)
        turns[which].append(found)
        print(
            f"{'bombs' if which else 'quiet'}  {found.rate:6.0f}/s  p50 {found.p50 * 1e3:5.2f} ms"
            f"  p99 {found.p99 * 1e3:6.2f} ms  failed {found.failed}  hub {found.cpu:5.2f} s CPU"
            f"  +{found.grown / 2**20:.1f} MiB",
            flush=True,
        )
    await crowd.close()
    return turns


def main() -> int:
    """Exit code 1 if a bound is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    options = parser.parse_args()
    with beds.make() as bed:
        port, otlp = peers.free_port(), peers.free_port()
        file = Path(bed.directory) / "bomb.toml"
        file.write_text(CONFIG.format(port=port, otlp=otlp, backend=bed.backend, sink=bed.sink))
        command = [sys.executable, "-m", "proxy", "run", str(file)]
        process = proc.start(command, bed.front, bed.directory / "bomb.out")
        bed.stack.callback(proc.stop, process)
        proc.wait_until(lambda: listens(port) and listens(otlp), 20, "spangate")
        for pid in proc.tree(process.pid):
            os.sched_setaffinity(pid, {bed.front, bed.back})
        os.sched_setaffinity(0, {bed.back})
        turns = uvloop.run(measure(port, otlp, process.pid, options))
    rows, passed = table(*turns)
    print("\n".join(rows))
    if options.write:
        replace(f"{measured(options.rounds, WINDOW)}.\n\n" + "\n".join(rows), BEGIN, END)
    return 0 if passed else 1


def table(quiet: list[Turn], bombed: list[Turn]) -> tuple[list[str], bool]:
    """Rows of the page's table, and whether the bounds are kept."""
    rows = [
        "| | answers/s | p50 ms | p99 ms | (range) | failed |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, turns in (("no bombs", quiet), (f"{BOMBS} bombs in {WINDOW:g} s", bombed)):
        p99 = sorted(t.p99 * 1e3 for t in turns)
        rows.append(
            f"| {name} | {statistics.median(t.rate for t in turns):,.0f}"
            f" | {statistics.median(t.p50 for t in turns) * 1e3:.2f}"
            f" | {statistics.median(p99):.2f} | ({p99[0]:.2f} to {p99[-1]:.2f})"
            f" | {sum(t.failed for t in turns)} |"
        )
    spent = statistics.median(t.cpu for t in bombed) - statistics.median(t.cpu for t in quiet)
    grown = max(t.grown for t in bombed)
    rows += [
        "",
        f"A bomb costs {spent / BOMBS * 1e3:.0f} ms of CPU (bound: 1 s); the hub's memory was at"
        f" most {grown / 2**20:.1f} MiB above what it had before (bound: {CAP >> 20} +"
        f" {SPARE >> 20} MiB). All were refused with 413.",
    ]
    return rows, spent / BOMBS <= 1 and grown <= CAP + SPARE


if __name__ == "__main__":
    sys.exit(main())
