"""What two sidecars between two applications cost: `python -m benchmarks.mesh_peers [--rounds 5]`.

    load -> outbound sidecar -> mTLS, HTTP/2 -> inbound sidecar -> nginx

Two of Spangate's beside two Envoys, in one run, in rounds by turns. Each sidecar has one worker and
a certificate of the same authority, asks for the other's, and sends its spans by OTLP to the same
sink: CLIENT at the outbound side, SERVER and CLIENT at the inbound one, three a request from both
products. CPU is that of all processes of both sidecars for each request, spans exported. What they
add to the latency is the difference to calls of nginx itself within the round, by a closed loop of
FEW connections, so that neither is at its peak. All four share one core, load, nginx and sink the
other.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import bed as beds
from benchmarks import load, peers, proc, workload
from benchmarks.bed import Bed, Running
from benchmarks.peers import Target
from benchmarks.run import COMPLETE, REST, SETTLE

FEW = 4  # connections of the loop that measures latency
GOAL = 0.6  # x Envoy's CPU


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sidecars of one product, and what is sent to the first."""

    name: str
    out: Running
    into: Running
    requests: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Round:
    """Of one pair. Times in microseconds, memory in bytes."""

    rate: float  # requests a second of load.CONNECTIONS connections
    cpu: float  # for each request, as the next three
    out: float
    into: float
    workers: float  # of ours
    p50: float  # added
    p99: float
    pss: int
    errors: int
    spans: float  # for each request


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 if spans were lost or requests failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mesh_peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default="spangate,envoy")
    options = parser.parse_args(arguments)
    proc.stop_all_when_ended()
    with beds.make() as bed:
        certify(bed)
        pairs = [start(bed, name) for name in options.only.split(",")]
        for pair in pairs:
            load.run(pair.out.port, 1, bed.back, bed.directory, requests=pair.requests)
        time.sleep(REST)
        took: dict[str, list[Round]] = {pair.name: [] for pair in pairs}
        for number in range(options.rounds):
            shift = number % len(pairs)
            for pair in pairs[shift:] + pairs[:shift]:
                took[pair.name].append(measure(bed, pair, options.seconds))
                print(f"round {number + 1}  {pair.name:9} {took[pair.name][-1]}", file=sys.stderr)
    print(table(took))
    whole = all(one.spans >= 3 * COMPLETE and not one.errors for r in took.values() for one in r)
    return 0 if whole else 1


def certify(bed: Bed) -> None:
    """An authority, and a certificate of it for whoever has none of its own."""
    folder = ["--dir", f"{bed.directory}/ca"]
    more = ["--ttl", "24h", "--out", str(bed.directory)]
    for words in (["make", *folder], ["issue", "spiffe://mesh/envoy", *folder, *more]):
        made = subprocess.run([peers.ENTRY, "ca", *words], capture_output=True, text=True)
        if made.returncode:
            raise SystemExit(made.stderr)


def start(bed: Bed, name: str) -> Pair:
    """Start two of them, the inbound one first; RuntimeError unless spans of both come."""
    into = bed.start(_target(name, "in"), answers=lambda proxy: proc.listens(proxy.port))
    host = f"127.0.0.1:{into.port:05}".encode()  # so that all requests are of one size
    requests = [
        workload.request(trace).replace(b"Host: shop.example.com", b"Host: " + host)
        for trace in workload.trace_ids()
    ]

    def answers(proxy: Running) -> bool:
        try:
            return beds.ask(proxy.port, requests[0])[:2] == (200, workload.BODY)
        except OSError:
            return False

    out = bed.start(_target(name, "out"), backend=into.port, answers=answers)
    bed.reset()
    answers(out)
    proc.wait_until(lambda: _spans(bed, name) >= 3, 15, f"three spans of {name}", every=0.1)
    return Pair(name, out, into, requests)


def _target(name: str, side: str) -> Target:
    own = f"{name}-{side}"
    if name == "envoy":
        command = ["envoy", "-c", f"@DIR@/{own}.yaml", "--concurrency", "1"]
        command += ["-l", "warn", "--disable-hot-restart"]
        return Target(own, name, {f"{own}.yaml": f"mesh-{own}.yaml"}, command, server=1)
    # The side that is called is at 127.0.0.1, and the other one out of its way.
    called, other = ("inbound ", "outbound") if side == "in" else ("outbound", "inbound ")
    edits = {"@CALLED@": called, "@OTHER@": other}
    command = [str(peers.ENTRY), "sidecar", f"@DIR@/{own}.toml"]
    return Target(own, name, {f"{own}.toml": "mesh-spangate.toml"}, command, server=1, edits=edits)


def _spans(bed: Bed, name: str) -> int:
    found = [bed.counts(f"{name}-{side}") for side in ("out", "in")]
    return sum(counts.get(kind, 0) for counts in found for kind in ("server", "client"))


def measure(bed: Bed, pair: Pair, seconds: float) -> Round:
    """One round of one pair: CPU at its peak, then latency below it."""
    bed.reset()
    roots = [pair.out.process.pid, pair.into.process.pid]
    before, worked = [proc.cpu(root) for root in roots], _worked(roots)
    got = load.run(pair.out.port, seconds, bed.back, bed.directory, requests=pair.requests)
    deadline = time.monotonic() + SETTLE
    while _spans(bed, pair.name) < 3 * got.requests and time.monotonic() < deadline:
        time.sleep(0.1)
    used = [(proc.cpu(root) - before[i]) / got.requests * 1e6 for i, root in enumerate(roots)]
    worked = (_worked(roots) - worked) / got.requests * 1e6
    spans = _spans(bed, pair.name) / got.requests
    direct, through = (
        load.run(port, seconds, bed.back, bed.directory, FEW, pair.requests)
        for port in (bed.backend, pair.out.port)
    )
    pids = [pid for root in roots for pid in proc.tree(root)]
    return Round(
        rate=got.rate,
        cpu=sum(used),
        out=used[0],
        into=used[1],
        workers=worked,
        p50=(through.p50 - direct.p50) * 1e6,
        p99=(through.p99 - direct.p99) * 1e6,
        pss=proc.memory(pids).pss,
        errors=got.errors + through.errors,
        spans=spans,
    )


def _worked(roots: Sequence[int]) -> float:
    return sum(proc.shares(root).get("worker", 0.0) for root in roots)


def table(took: Mapping[str, Sequence[Round]]) -> str:
    """Markdown; medians."""
    lines = [
        "| two sidecars | µs CPU / request | (range) | outbound | inbound | workers alone"
        " | requests/s | p50 added, ms | p99 added, ms | PSS MB |",
        "|---|" + "---:|" * 9,
    ]
    for name, rounds in took.items():
        mid = {key: median(getattr(r, key) for r in rounds) for key in Round.__slots__}
        spread = f"{min(r.cpu for r in rounds):.0f}–{max(r.cpu for r in rounds):.0f}"
        workers = f"{mid['workers']:.1f}" if mid["workers"] else "–"
        lines.append(
            f"| {name} | {mid['cpu']:.1f} | {spread} | {mid['out']:.1f} | {mid['into']:.1f}"
            f" | {workers} | {mid['rate']:,.0f} | {mid['p50'] / 1e3:.3f}"
            f" | {mid['p99'] / 1e3:.3f} | {mid['pss'] / 1e6:.0f} |"
        )
    if {"spangate", "envoy"} <= took.keys():
        pairs = zip(took["spangate"], took["envoy"], strict=True)
        ratio = median(ours.cpu / theirs.cpu for ours, theirs in pairs)
        verdict = "met" if ratio <= GOAL else "missed"
        lines.append(f"\nCPU: {ratio:.2f} × Envoy's (goal ≤ {GOAL}, {verdict})")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
