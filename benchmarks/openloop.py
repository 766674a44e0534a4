"""What a proxy adds to a request's latency at half of its own peak, by an open loop.

    python -m benchmarks.openloop [--rounds 5] [--seconds 3] [--only nginx,spangate-100] [--dry]

Requests leave by a fixed schedule and their latency counts from when they were due (`openloop.c`),
so that a stall is seen by all who would have asked meanwhile. Each round asks the backend directly
and then through the proxy, at the same rate, which is half of what the proxy answered at its peak
(wrk, two seconds, before the rounds). What a proxy adds is the difference of the percentiles of
one round; the medians of the rounds are reported, and those of how much more each proxy adds than
nginx does in the same round, which is free of what the machine does to both. The proxy has a core
to itself, with one worker; load, backend and sink share the other, and what they do to each other
is in both figures.

Spans go to the backend's nginx, which throws them away. The sink of the other benchmarks counts
them, for milliseconds at a time when a batch comes, and for as long the load's core neither asks
nor hears answers: that was most of what a traced gateway seemed to add to the 99th percentile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import bed as beds
from benchmarks import load, peers, report, workload
from benchmarks.bed import Bed

SOURCE = Path(__file__).with_name("openloop.c")
CONNECTIONS = 64
WARM = 0.5  # seconds of each run that are not reported
SHARE = 0.5  # of the peak
POINTS = ("p50", "p90", "p99", "p999")

Rounds = dict[str, list[dict[str, float]]]  # by proxy
Over = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; results go to benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.openloop", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default="nginx,spangate,spangate-100")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    found: Rounds = {}
    with beds.make() as bed:
        program = build(bed.directory)
        targets = [t for t in peers.TARGETS if t.name in options.only.split(",")]
        there = [target for target in targets if not peers.missing(target)]
        proxies = [bed.start(target, sink=bed.backend) for target in there]
        rates = {p.target.name: SHARE * _peak(bed, p.port) for p in proxies}
        for number in range(1, options.rounds + 1):
            for proxy in proxies:
                name = proxy.target.name
                run = [program, rates[name], options.seconds]
                direct = _run(bed, bed.backend, *run)
                through = _run(bed, proxy.port, *run)
                one = {point: through[point] - direct[point] for point in POINTS}
                one |= {"waited": through["waited"], "direct_p99": direct["p99"]}
                found.setdefault(name, []).append(one)
                print(f"round {number}  {_line(name, rates[name], one)}", file=sys.stderr)
    medians = {
        name: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for name, rounds in found.items()
    }
    text = table(medians, rates, over_nginx(found))
    print(text)
    if not options.dry:
        report.put("openloop", text, options.rounds)
        made = {"machine": report.machine(), "versions": report.versions(), "rates": rates}
        print(report.write_json({**made, "added_us": medians, "rounds": found}, "openloop"))
    return 0


def over_nginx(found: Rounds) -> dict[str, float]:
    """By proxy, in µs: the median over the rounds of what it adds to the 99th percentile beyond
    what nginx adds in the same round; empty where nginx was not measured."""
    peer = found.get("nginx", [])
    return {
        name: statistics.median(
            one["p99"] - other["p99"] for one, other in zip(rounds, peer, strict=True)
        )
        for name, rounds in found.items()
        if peer and name != "nginx"
    }


def table(medians: dict[str, dict[str, float]], rates: dict[str, float], over: Over) -> str:
    """Markdown, in milliseconds; `over` as `over_nginx` gave it."""
    points = " | ".join(f"{point} added" for point in POINTS)
    lines = [
        f"| proxy | requests/s | {points} | p99 over nginx's | p99 direct |",
        "|---|---:|" + "---:|" * 6,
    ]
    for name, one in medians.items():
        cells = [f"{one[point] / 1e3:.3f}" for point in POINTS]
        cells.append(f"{over[name] / 1e3:+.3f}" if name in over else "")
        cells.append(f"{one['direct_p99'] / 1e3:.3f}")
        lines.append(f"| {name} | {rates[name]:,.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def build(directory: Path) -> str:
    """The load generator, compiled."""
    program = str(directory / "openloop")
    subprocess.run(["cc", "-O2", "-o", program, str(SOURCE)], check=True)
    return program


def _peak(bed: Bed, port: int) -> float:
    return load.run(port, 2, bed.back, bed.directory).rate


def _run(bed: Bed, port: int, program: str, rate: float, seconds: float) -> dict[str, Any]:
    with Load(bed, program, port, CONNECTIONS, rate, seconds) as load:
        return load.run()


class Load:
    """The load generator as its user sees it: connections are made when it is, and end with it."""

    def __init__(
        self, bed: Bed, program: str, port: int, connections: int, rate: float, seconds: float
    ) -> None:
        prepared = bed.directory / "requests"
        size = workload.write(prepared)
        numbers = [port, connections, rate, seconds + WARM, WARM]
        self._process = subprocess.Popen(
            [program, *map(str, numbers), str(prepared), str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {bed.back}),
        )
        self._line()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, complete: bool = True) -> dict[str, Any]:
        """Counts and percentiles in microseconds; of those that came, unless it is `complete`."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        got: dict[str, Any] = json.loads(self._line())
        if got["failed"] or (complete and got["answered"] < got["sent"]):
            raise SystemExit(f"not all answers came, or were 200: {got}")
        return got

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the open loop ended early; its complaint is above")
        return line


def _line(name: str, rate: float, one: dict[str, float]) -> str:
    added = "  ".join(f"{point} +{one[point] / 1e3:.3f}" for point in POINTS)
    direct = one["direct_p99"] / 1e3
    return f"{name:14} at {rate:7,.0f}/s  added ms: {added}  (direct p99 {direct:.3f})"


if __name__ == "__main__":
    sys.exit(main())
