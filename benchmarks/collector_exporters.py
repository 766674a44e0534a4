"""One exporter is slow or dead: does the other still get as much?

    python -m benchmarks.collector_exporters [--seconds 4] [--rounds 3] [--write]

OTLP/HTTP in → batch → two OTLP/HTTP exporters. The first always sends to a live sink, whose spans
are counted; what the second sends to is live, slow, silent or not there at all. The load is a
closed loop that keeps the collector's core full. A second that is dead costs less than a live
one, so the round without a second exporter is the harder measure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import proc
from benchmarks.collector import came, free_port, listens, measured, replace, running

CONFIG = """
[admin]
listen = ""
[collector.receivers.otlp]
http = "127.0.0.1:{port}"
[collector.processors.batch]
[collector.exporters."otlp_http/first"]
endpoint = "http://127.0.0.1:{first}"
[collector.exporters."otlp_http/second"]
endpoint = "http://127.0.0.1:{second}"
[collector.pipelines.traces]
receivers = ["otlp"]
processors = ["batch"]
exporters = [{exporters}]
"""
BOTH = '"otlp_http/first", "otlp_http/second"'

# what the second exporter meets -> seconds until an answer; None = no sink
SECONDS = {
    "live": 0.0,
    "none": None,
    "slow": 0.5,
    "silent": float("inf"),
    "refusing": None,
}
TELLS = {
    "live": "a live sink",
    "none": "(there is no second exporter)",
    "slow": "answers after 0.5 s",
    "silent": "takes everything and never answers",
    "refusing": "refuses connections",
}
SHARE = 0.95  # of what the first gets beside a live one
BEGIN = "<!-- benchmarks.collector_exporters writes below -->"
END = "<!-- benchmarks.collector_exporters writes above -->"
ENDS = [sys.executable, "-m", "benchmarks.collector_ends"]


@dataclass(frozen=True)
class Round:
    """One measurement."""

    rate: float  # spans a second that reached the first sink
    cpu: float  # µs a span that reached it
    lost: int  # of those accepted, for the first sink
    refused: int  # requests
    rss: int  # bytes, at the end


def measure(second: str, seconds: float, connections: int) -> Round:
    front, back = proc.cores()
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        ports = {"port": free_port(), "first": free_port(), "second": free_port()}
        counts = folder / "first.json"
        for name, file, delay in (("first", str(counts), 0.0), ("second", "-", SECONDS[second])):
            if delay is not None:
                sink = [*ENDS, "sink", "http", str(ports[name]), file, str(delay)]
                stack.enter_context(running(sink, back, folder / f"{name}.log"))
        proc.wait_until(counts.exists, 20, "the sink")
        config = folder / "collector.toml"
        exporters = '"otlp_http/first"' if second == "none" else BOTH
        config.write_text(CONFIG.format(**ports, exporters=exporters))
        command = [sys.executable, "-m", "proxy", "collect", str(config)]
        pid = stack.enter_context(running(command, front, folder / "out.log"))
        proc.wait_until(lambda: listens(ports["port"]), 20, "spangate")
        warm = _load(ports["port"], connections, 0.5)
        with contextlib.suppress(TimeoutError):
            proc.wait_until(lambda: came(counts) >= warm["spans"], 5, "what warmed up")
        cpu, begun, before = proc.cpu(pid), time.monotonic(), came(counts)
        sent = _load(ports["port"], connections, seconds)
        with contextlib.suppress(TimeoutError):
            proc.wait_until(lambda: came(counts) - before >= sent["spans"], 5, "delivery")
        elapsed, used = time.monotonic() - begun, proc.cpu(pid) - cpu
        arrived = came(counts) - before
        rss = proc.memory(proc.tree(pid)).rss
        return Round(
            arrived / elapsed,
            used * 1e6 / max(1, arrived),
            sent["spans"] - arrived,
            sent["refused"],
            rss,
        )


def _load(port: int, connections: int, seconds: float) -> dict[str, int]:
    load = [*ENDS, "load", "http", str(port), str(connections), str(seconds), "100"]
    done = subprocess.run(load, check=True, capture_output=True, text=True)
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


def main() -> int:
    """Exit code 1 if the first got less than 95 % beside a slow or dead one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    given = parser.parse_args()
    rounds: dict[str, list[Round]] = {name: [] for name in SECONDS}
    names = list(SECONDS)
    for number in range(given.rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            found = measure(name, given.seconds, given.connections)
            rounds[name].append(found)
            print(
                f"{name:10} {found.rate:8.0f} spans/s  {found.cpu:5.2f} µs/span"
                f"  {found.rss / 2**20:4.0f} MiB  refused {found.refused}  lost {found.lost}",
                flush=True,
            )
    rows, passed = table(rounds)
    print("\n".join(rows))
    if given.write:
        replace(f"{measured(given.rounds, given.seconds)}.\n\n" + "\n".join(rows), BEGIN, END)
    return 0 if passed else 1


def table(rounds: dict[str, list[Round]]) -> tuple[list[str], bool]:
    """Rows of the page's table, and whether the bound is kept."""
    beside = {name: _ratio(found, rounds["live"]) for name, found in rounds.items()}
    rows = [
        "| the second exporter's peer | spans/s to the first | (range) | × beside a live one"
        " | × alone | µs CPU / span | RSS MiB | lost to the first |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, found in rounds.items():
        each = sorted(r.rate for r in found)
        rows.append(
            f"| {TELLS[name]} | {statistics.median(each):,.0f}"
            f" | ({each[0]:,.0f} to {each[-1]:,.0f})"
            f" | {beside[name]:.2f} | {_ratio(found, rounds['none']):.2f}"
            f" | {statistics.median(r.cpu for r in found):.2f}"
            f" | {max(r.rss for r in found) / 2**20:.0f} | {sum(r.lost for r in found)} |"
        )
    return rows, all(share >= SHARE for share in beside.values())


def _ratio(found: list[Round], other: list[Round]) -> float:
    """The median of the rounds' ratios: what slows the machine slows a whole round."""
    return statistics.median(a.rate / b.rate for a, b in zip(found, other, strict=True))


if __name__ == "__main__":
    sys.exit(main())
