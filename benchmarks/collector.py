"""The collector against `rotel`: CPU a span, OTLP in → batch → OTLP out, in the same run.

    python -m benchmarks.collector [--seconds 4] [--rounds 3] [--only http,grpc] [--write]

Both get the same closed loop of requests of 100 spans from the other core and send to the same
kind of sink; rounds are interleaved. CPU is utime + stime of the whole process tree.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import proc, report

CONFIG = """
[admin]
listen = ""
[collector.receivers.otlp]
{protocol} = "127.0.0.1:{port}"
[collector.processors.batch]
{processors}
[collector.exporters.otlp_{protocol}]
endpoint = "{endpoint}"
compression = "{compression}"
[collector.pipelines.traces]
receivers = ["otlp"]
processors = [{names}]
exporters = ["otlp_{protocol}"]
"""

NAMES = (
    "spangate",
    "spangate+gzip",
    "spangate+attributes+probabilistic_sampler",
    "rotel",
)
BEGIN = "<!-- benchmarks.collector writes below -->"
END = "<!-- benchmarks.collector writes above -->"

STAGES = {
    "attributes": """
[collector.processors.attributes]
actions = [{ key = "team", value = "shop", action = "upsert" }]
""",
    "probabilistic_sampler": """
[collector.processors.probabilistic_sampler]
sampling_percentage = 100
""",
}


@dataclass(frozen=True)
class Round:
    """One measurement."""

    name: str
    spans: int
    cpu: float  # µs a span
    rate: float  # spans a second
    rss: int  # bytes, at the end
    refused: int
    lost: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], core: int, log: Path) -> Iterator[int]:
    process = proc.start(command, core, log)
    try:
        yield process.pid
    finally:
        proc.stop(process)


def spangate(folder: Path, protocol: str, port: int, sink: int, name: str = "") -> list[str]:
    """`name` is "spangate", "+gzip" and "+processor …" may follow."""
    _, *more = name.split("+")
    stages = [stage for stage in more if stage != "gzip"]
    endpoint = f"http://127.0.0.1:{sink}" if protocol == "http" else f"127.0.0.1:{sink}"
    names = ", ".join(f'"{n}"' for n in (*stages, "batch"))
    processors = "\n".join(STAGES[stage] for stage in stages)
    file = folder / "collector.toml"
    file.write_text(
        CONFIG.format(
            protocol=protocol,
            port=port,
            endpoint=endpoint,
            names=names,
            processors=processors,
            compression="gzip" if "gzip" in more else "none",
        )
    )
    return [sys.executable, "-m", "proxy", "collect", str(file)]


def rotel(folder: Path, protocol: str, port: int, sink: int) -> list[str]:
    found = importlib.util.find_spec("rotel")
    assert found is not None and found.origin is not None, "pip install rotel"
    return [
        str(Path(found.origin).parent / "rotel-agent"),
        "start",
        f"--pid-file={folder / 'rotel.pid'}",
        f"--log-file={folder / 'rotel.log'}",
        f"--otlp-{protocol}-endpoint=127.0.0.1:{port}",
        f"--otlp-{'grpc' if protocol == 'http' else 'http'}-endpoint=127.0.0.1:{free_port()}",
        "--exporter=otlp",
        f"--otlp-exporter-protocol={protocol}",
        f"--otlp-exporter-endpoint=http://127.0.0.1:{sink}",
        "--otlp-exporter-compression=none",  # it compresses all the same: 34 bytes a span of 397
        "--batch-timeout=200ms",
    ]


def measure(name: str, protocol: str, seconds: float, connections: int) -> Round:
    front, back = proc.cores()
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        port, sink = free_port(), free_port()
        counts = folder / "counts.json"
        ends = [sys.executable, "-m", "benchmarks.collector_ends"]
        # Names are counted and nothing parsed, or else the sink is what is measured.
        taking = [*ends, "sink", protocol, str(sink), str(counts), "0"]
        stack.enter_context(running(taking, back, folder / "sink.log"))
        if name == "rotel":
            command = rotel(folder, protocol, port, sink)
        else:
            command = spangate(folder, protocol, port, sink, name)
        pid = stack.enter_context(running(command, front, folder / "out.log"))
        proc.wait_until(lambda: listens(port) and counts.exists(), 20, name)
        load = [*ends, "load", protocol, str(port), str(connections), str(seconds), "100"]
        subprocess.run([*load[:-2], "0.5", "100"], check=True, capture_output=True)  # warm
        time.sleep(0.5)
        before, begun, arrived = proc.cpu(pid), time.monotonic(), came(counts)
        done = subprocess.run(load, check=True, capture_output=True, text=True)
        sent = json.loads(done.stdout)
        elapsed = time.monotonic() - begun
        with contextlib.suppress(TimeoutError):
            proc.wait_until(lambda: came(counts) - arrived >= sent["spans"], 10, "delivery")
        used = proc.cpu(pid) - before
        return Round(
            name,
            sent["spans"],
            used * 1e6 / max(1, sent["spans"]),
            sent["spans"] / elapsed,
            proc.memory(proc.tree(pid)).rss,
            sent["refused"],
            sent["spans"] - (came(counts) - arrived),
        )


def came(counts: Path) -> int:
    try:
        return int(json.loads(counts.read_text())["spans"])
    except (FileNotFoundError, ValueError):
        return 0


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--only", default="http,grpc")
    parser.add_argument("--names", default=",".join(NAMES))
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    given = parser.parse_args()
    rows = []
    for protocol in given.only.split(","):
        rounds: dict[str, list[Round]] = {}
        for _ in range(given.rounds):
            for name in given.names.split(","):
                found = measure(name, protocol, given.seconds, given.connections)
                rounds.setdefault(name, []).append(found)
                print(
                    f"{protocol:5} {name:45} {found.cpu:6.2f} µs/span  {found.rate:8.0f} spans/s"
                    f"  {found.rss / 2**20:5.0f} MiB  refused {found.refused}  lost {found.lost}",
                    flush=True,
                )
        rows += table(protocol, rounds)
    print("\n".join(rows))
    if given.write:
        write(rows, given.seconds, given.rounds)


def table(protocol: str, rounds: dict[str, list[Round]]) -> list[str]:
    """Rows of the page's table: medians."""
    peer = rounds.get("rotel", [])
    against = statistics.median(r.cpu for r in peer) if peer else 0.0
    rows = []
    for name, found in rounds.items():
        cpu = statistics.median(r.cpu for r in found)
        rows.append(
            f"| {protocol} | `{name}` | {cpu:.2f} | ({min(r.cpu for r in found):.2f} to"
            f" {max(r.cpu for r in found):.2f}) | {f'{cpu / against:.2f}' if against else ''}"
            f" | {statistics.median(r.rate for r in found):,.0f}"
            f" | {max(r.rss for r in found) / 2**20:.0f} | {sum(r.lost for r in found)} |"
        )
    return rows


def write(rows: list[str], seconds: float, rounds: int) -> None:
    """Put the table between its markers in docs/performance.md."""
    text = (
        f"{measured(rounds, seconds)}; rotel {importlib.metadata.version('rotel')}.\n\n"
        "| OTLP | collector | µs CPU / span | (range) | × rotel | spans/s | RSS MiB | lost |\n"
        "|---|---|---:|---:|---:|---:|---:|---:|\n" + "\n".join(rows)
    )
    replace(text, BEGIN, END)


def measured(rounds: int, seconds: float) -> str:
    """When, of what and on what: the beginning of the line above a table."""
    machine = report.machine()
    return (
        f"Measured {datetime.date.today().isoformat()} at commit {report.commit()} on"
        f" {machine['cpu']}, {machine['cores']} cores; medians of {rounds} interleaved rounds of"
        f" {seconds:g} s"
    )


def replace(text: str, begin: str, end: str) -> None:
    """Put `text` between two markers of docs/performance.md."""
    head, _, rest = report.PAGE.read_text().partition(begin)
    tail = rest.partition(end)[2]
    report.PAGE.write_text(f"{head.rstrip()}\n\n{begin}\n\n{text}\n\n{end}\n\n{tail.lstrip()}")


if __name__ == "__main__":
    main()
