"""What floods of HTTP/2 do to other clients, and to memory.

    python -m benchmarks.floods [--seconds 3] [--only nginx,envoy-traced,spangate-100] [--dry]

A well-behaved client asks at a modest, fixed rate (`openloop.c`: latencies count from when requests
were due), first alone and then beside each flood: 8 connections that send prepared frames as fast
as they are taken, and come again at once when they are closed (`floods.c`). The proxy has a core
to itself, with one worker, which a flood keeps busy; everything else shares the other core, where
the flood gets what nobody else wants (SCHED_IDLE). What is left of its influence there is told by
the same client, asking the backend directly beside the same flood of the proxy.

Memory is resident, of the proxy's whole process tree, and for us of the worker alone: before each
flood, its peak, and a second afterwards. A flood's connections are counted as closed where the
proxy ended them; how many frames that takes is what tests/server/test_h2_abuse.py says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import bed as beds
from benchmarks import openloop, peers, proc, report
from benchmarks.bed import Bed, Running

SOURCE = Path(__file__).with_name("floods.c")
ATTACKERS = 8
RATE = 1000.0  # requests a second of the well-behaved client
CONNECTIONS = 16  # of it
REST = 1.0  # seconds after a flood
PAIRS = 100_000  # of a request and its reset, on one connection
_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
_GET = b"\x82\x86\x84\x41\x01a"  # GET http://a/ in HPACK, nothing of it remembered
_POST = b"\x83\x86\x84\x41\x01a"
_NGINX = {
    "backlog=4096;": "backlog=4096;\n        listen 127.0.0.1:@ADMIN@ http2 backlog=4096;",
}


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113 §4.1."""
    head = len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4)
    return head + payload


@dataclass(frozen=True, slots=True)
class Flood:
    """What one connection sends: `first` once, then `more` over and over."""

    name: str
    first: Callable[[], bytes]
    more: bytes = b""


def _resets() -> bytes:
    ids = range(1, 2 * PAIRS, 2)
    return b"".join([frame(1, 5, n, _GET) + frame(3, 0, n, b"\0\0\0\x08") for n in ids])


def _bombs() -> bytes:
    """A line of 3,900 bytes, and 4,000 references to it; again in new requests if they may."""
    line = b"\x40\x01a\x7f\xbd\x1d" + b"x" * 3900
    return b"".join([frame(1, 5, n, _GET + line + b"\xbe" * 4000) for n in range(1, 200, 2)])


FLOODS = (
    Flood("PING", bytes, frame(6, 0, 0, b"12345678")),
    Flood("SETTINGS", bytes, frame(4, 0, 0)),
    Flood("WINDOW_UPDATE", bytes, frame(8, 0, 0, b"\0\0\0\1")),
    Flood("empty DATA", lambda: frame(1, 4, 1, _POST), frame(0, 0, 1)),
    Flood("CONTINUATION", lambda: frame(1, 1, 1, _GET), frame(9, 0, 1, b"\x00\x01b\x01c")),
    Flood("rapid reset", _resets),
    Flood("header bomb", _bombs),
)


@dataclass(frozen=True, slots=True)
class Result:
    """One flood and one proxy. Microseconds and bytes; `direct`: past the proxy, beside the same
    flood of it. `worker`: how much its process has grown at most; -1 where there is no such."""

    target: str
    flood: str
    p50: float
    p99: float
    direct_p99: float
    closed: float  # connections a second
    sent: float  # bytes a second
    before: int
    peak: int
    after: int
    worker: int = -1


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; results go to benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floods", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default="nginx,envoy-traced,spangate-100")
    parser.add_argument("--floods", default=",".join(flood.name for flood in FLOODS))
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    chosen = [flood for flood in FLOODS if flood.name in options.floods.split(",")]
    results = []
    with beds.make() as bed:
        load = openloop.build(bed.directory)
        program = str(bed.directory / "floods")
        subprocess.run(["cc", "-O2", "-o", program, str(SOURCE)], check=True)
        for target in peers.TARGETS:
            if target.name not in options.only.split(",") or peers.missing(target):
                continue
            edits = _NGINX if target.name == "nginx" else {}
            proxy = bed.start(replace(target, edits=edits), sink=bed.backend)
            test = Test(bed, proxy, load, program, options.seconds)
            test.ask(proxy.port)  # warm
            for flood in (None, *chosen):
                results.append(test.measure(flood))
                print(_line(results[-1]), file=sys.stderr, flush=True)
            bed.stop(proxy)
    print(table(results))
    if not options.dry:
        report.put("floods", table(results), 1)
        made = {"machine": report.machine(), "versions": report.versions()}
        print(report.write_json({**made, "results": [asdict(r) for r in results]}, "floods"))
    return 0


@dataclass(frozen=True, slots=True)
class Test:
    """One proxy under floods."""

    bed: Bed
    proxy: Running
    load: str  # the programs
    program: str
    seconds: float

    def measure(self, flood: Flood | None) -> Result:
        """None: nobody but the well-behaved client."""
        pids = proc.tree(self.proxy.process.pid)
        workers = [pid for pid in pids if "proxy.server" in proc.command(pid)]
        proc.reset_peak(pids)
        before, of_worker = proc.memory(pids), proc.memory(workers)
        with self._flooded(flood) as counts:
            got = self.ask(self.proxy.port)
            direct = self.ask(self.bed.backend)
        peak, grown = proc.memory(pids).peak, proc.memory(workers).peak - of_worker.rss
        time.sleep(REST)
        return Result(
            target=self.proxy.target.name,
            flood=flood.name if flood is not None else "",
            p50=got["p50"],
            p99=got["p99"],
            direct_p99=direct["p99"],
            closed=counts.get("closed", 0),
            sent=counts.get("bytes", 0),
            before=before.rss,
            peak=peak,
            after=proc.memory(pids).rss,
            worker=grown if workers else -1,
        )

    def ask(self, port: int) -> dict[str, Any]:
        """What the well-behaved client sees."""
        numbers = (CONNECTIONS, RATE, self.seconds)
        with openloop.Load(self.bed, self.load, port, *numbers) as load:
            return load.run(complete=False)

    @contextmanager
    def _flooded(self, flood: Flood | None) -> Iterator[dict[str, float]]:
        counts: dict[str, float] = {}
        if flood is None:
            yield counts
            return
        first = _OPENING + flood.first()
        path = self.bed.directory / "flood"
        path.write_bytes(first + flood.more * (16384 // max(1, len(flood.more))))
        port = self.proxy.admin if self.proxy.target.name == "nginx" else self.proxy.port
        start = len(first) if flood.more else 0
        process = subprocess.Popen(
            [self.program, str(port), str(ATTACKERS), str(path), str(start)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=self._become_modest,
        )
        begin = time.monotonic()
        try:
            yield counts
        finally:
            out, _ = process.communicate(timeout=10)
        took = time.monotonic() - begin
        counts |= {key: value / took for key, value in json.loads(out).items()}

    def _become_modest(self) -> None:
        os.sched_setaffinity(0, {self.bed.back})
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def table(results: Sequence[Result]) -> str:
    """Markdown: percentiles in milliseconds, how often the quiet ones they are; memory in MiB."""
    quiet = {one.target: one for one in results if not one.flood}
    lines = ["| flood | proxy | p50 ms | p99 ms | × quiet | p99 past it | closed/s | MB/s | RSS |"]
    lines.append("|---|---|" + "---:|" * 7)
    for one in sorted(
        results, key=lambda one: [f.name for f in FLOODS].index(one.flood) if one.flood else -1
    ):
        grown = f"{(one.peak - one.before) / 2**20:+.1f}"
        if one.worker >= 0:
            grown += f" (worker {one.worker / 2**20:+.1f})"
        lines.append(
            f"| {one.flood or 'none'} | {one.target} | {one.p50 / 1e3:.2f} | {one.p99 / 1e3:.2f}"
            f" | {one.p99 / quiet[one.target].p99:.1f} | {one.direct_p99 / 1e3:.2f}"
            f" | {one.closed:,.0f} | {one.sent / 1e6:.1f} | {grown} |"
        )
    return "\n".join(lines)


def _line(one: Result) -> str:
    mib = [size / 2**20 for size in (one.before, one.peak, one.after, one.worker)]
    return (
        f"{one.target:13} {one.flood or 'none':14}"
        f" p50 {one.p50 / 1e3:6.2f} p99 {one.p99 / 1e3:7.2f} ms"
        f"  direct p99 {one.direct_p99 / 1e3:6.2f}"
        f"  {one.closed:6,.0f} closed/s {one.sent / 1e6:6.1f} MB/s"
        f"  RSS {mib[0]:.1f} {mib[1]:.1f} {mib[2]:.1f} MiB  worker {mib[3]:+.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
