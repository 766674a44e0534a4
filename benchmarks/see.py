"""What it costs to see: the store of recent traces, its searches, and people who look.

    python -m benchmarks.see [--only cpu,viewers,memory,visible,search,store] [--rounds 5]

    cpu      CPU of a request, all processes, with the store and with `[recent] size = 0`: an open
             loop at half of the peak, in interleaved rounds; with an exporter, and without one
    viewers  p99 at full load (closed loop) and at half of it (open loop) with nobody looking, with
             four who read the tap and ask for the rates every second, and beside these one who
             asks for the tap and never reads
    memory   hub and collector after 2,000,000 spans, with the store and without it
    visible  how soon a trace is whole in /api/traces/{id}
    search   /api/traces and the other questions over 30,000 spans
    store    what storing takes of the exporter alone

The gateway with its worker has one core; load, backend, sink and viewers have the other. `--free`
gives the gateway both, as it would have them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from benchmarks import bed as beds
from benchmarks import load, openloop, peers, proc, see_store, workload
from benchmarks.bed import Bed, Running
from benchmarks.counted import counted
from benchmarks.features import TRACES, Feature
from benchmarks.see_viewers import Viewers

VIEWERS = 4
OFF = "[recent]\nsize = 0\n"
BY_NAME = {target.name: target for target in peers.TARGETS}
KINDS = {"nobody": (0, 0), "4 viewers": (VIEWERS, 0), "4 and a silent one": (VIEWERS, 1)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; `machine` says what else the machine did."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.see",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="cpu,worker,viewers,memory,visible,search,store")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--spans", type=int, default=2_000_000, help="of the part memory")
    parser.add_argument("--free", action="store_true", help="the gateway has all cores")
    options = parser.parse_args(arguments)
    proc.stop_all_when_ended()
    parts: dict[str, Callable[[], list[str]]] = {
        "cpu": lambda: cpu(options.rounds, options.seconds),
        "worker": worker,
        "viewers": lambda: viewers(options.rounds, options.seconds, options.free),
        "memory": lambda: see_store.memory(options.spans),
        "visible": lambda: [*see_store.visible(40), *see_store.visible(40, 200_000)],
        "search": lambda: see_store.search(20),
        "store": lambda: see_store.cost(300_000),
    }
    for name in options.only.split(","):
        print(f"{name}: load {os.getloadavg()[0]:.1f} before", flush=True)
        print("\n".join(parts[name]()), flush=True)
    return 0


def cpu(rounds: int, seconds: float) -> list[str]:
    """Of each pair of gateways, what a request takes, and the ratio of the pairs of rounds."""
    lines = []
    for name in ("spangate-100", "spangate"):
        with beds.make() as bed:
            lines += _cpu(bed, name, rounds, seconds)
    return lines


def _cpu(bed: Bed, name: str, rounds: int, seconds: float) -> list[str]:
    like = BY_NAME[name]
    telemetry = like.telemetry if like.traced else ""  # without `sampler = "never"`
    on, off = (_start(bed, f"{name}-on", telemetry), _start(bed, f"{name}-off", telemetry + OFF))
    program = openloop.build(bed.directory)
    rate = 0.5 * min(load.run(p.port, 2, bed.back, bed.directory).rate for p in (on, off))
    found: dict[str, list[float]] = {"on": [], "off": []}
    for number in range(rounds):
        pairs = [("on", on), ("off", off)]
        for word, proxy in pairs if number % 2 else reversed(pairs):
            found[word].append(_request(bed, program, proxy, rate, seconds))
    ratios = [a / b for a, b in zip(found["on"], found["off"], strict=True)]
    what = "exported" if like.traced else "no exporter"
    return [
        f"CPU of a request, {what}, {rate:,.0f} requests/s:"
        f" {statistics.median(found['on']):.1f} µs with the store,"
        f" {statistics.median(found['off']):.1f} without; ratio {statistics.median(ratios):.3f}"
        f" ({min(ratios):.3f} to {max(ratios):.3f} in {rounds} rounds; bound 1.03)"
    ]


def _start(bed: Bed, name: str, telemetry: str) -> Running:
    like = BY_NAME["spangate-100"]
    command = (str(peers.ENTRY), "run", f"@DIR@/{name}.toml", "--workers", "1")
    files = {f"{name}.toml": "spangate.toml"}
    made = replace(like, name=name, files=files, command=command, telemetry=telemetry)
    return bed.start(made, sink=bed.backend)


def _request(bed: Bed, program: str, proxy: Running, rate: float, seconds: float) -> float:
    """µs that all processes take for one."""
    with openloop.Load(bed, program, proxy.port, openloop.CONNECTIONS, rate, seconds) as run:
        before = used(proxy)
        answered: int = run.run()["sent"]
        time.sleep(0.5)  # what the hub and the collector still do with them
        took = used(proxy) - before
    return 1e6 * took / answered


def worker() -> list[str]:
    """Instructions with the store, while somebody looks, and without the store, as
    `benchmarks.features` counts them."""
    requests = [workload.request(trace_id) for trace_id in workload.trace_ids()]
    lines = []
    for what, export in (("exported", TRACES), ("no exporter", "")):
        admin = peers.free_port()
        on = Feature(what, tracing="", export=export)
        with counted(_with_admin(replace(on, top=OFF), admin)) as bed:
            bare = bed.instructions(requests)
            bed.use(_with_admin(on, admin))
            stored = bed.instructions(requests)
            with Viewers(admin, VIEWERS):
                time.sleep(1.0)
                watched = bed.instructions(requests)
        lines.append(
            f"instructions of the worker, {what}: {stored:,} with the store, {watched:,} while"
            f" somebody looks, {bare:,} without; ratios {stored / bare:.3f}, {watched / bare:.3f}"
        )
    return lines


def _with_admin(feature: Feature, port: int) -> str:
    off = '[admin]\nlisten = ""'
    assert off in feature.text()
    return feature.text().replace(off, f'[admin]\nlisten = "127.0.0.1:{port}"')


def used(proxy: Running) -> float:
    """Seconds that its processes have run, to the nanosecond."""
    return sum(proc.ran(pid) for pid in proc.tree(proxy.process.pid))


@dataclass(slots=True)
class Looked:
    """What the rounds have shown while so many looked."""

    full: list[float] = field(default_factory=list)  # ms, p99 of the closed loop
    half: list[float] = field(default_factory=list)  # ms, p99 of the open one
    cpu: list[float] = field(default_factory=list)  # µs of the worker for a request, closed loop
    others: list[float] = field(default_factory=list)  # of a core: hub and collector meanwhile
    told: str = ""


def viewers(rounds: int, seconds: float, free: bool) -> list[str]:
    """p99 of a closed and of an open loop and CPU of the closed one, by who looks."""
    found = {kind: Looked() for kind in KINDS}
    with beds.make() as bed:
        proxy = bed.start(BY_NAME["spangate-100"], sink=bed.backend)
        if free:
            for pid in proc.tree(proxy.process.pid):
                for thread in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(thread), set(proc.cores()))
        os.sched_setaffinity(0, {bed.back})
        program = openloop.build(bed.directory)
        rate = 0.5 * load.run(proxy.port, 2, bed.back, bed.directory).rate
        for number in range(rounds):
            for kind in sorted(KINDS, reverse=bool(number % 2)):
                _look(bed, proxy, kind, found[kind], (program, rate, seconds))
                print(f"  {kind}: {found[kind].told}", file=sys.stderr)
    return [_looked(kind, one, found["nobody"]) for kind, one in found.items()]


def _look(
    bed: Bed, proxy: Running, kind: str, found: Looked, how: tuple[str, float, float]
) -> None:
    program, rate, seconds = how
    reading, silent = KINDS[kind]
    with Viewers(proxy.admin, reading, silent) as seen:
        time.sleep(1.0)  # until the workers know that somebody looks
        before = proc.shares(proxy.process.pid)
        closed = load.run(proxy.port, seconds, bed.back, bed.directory)
        ran = {k: v - before[k] for k, v in proc.shares(proxy.process.pid).items()}
        with openloop.Load(bed, program, proxy.port, openloop.CONNECTIONS, rate, seconds) as run:
            opened = run.run()
    found.full.append(1e3 * closed.p99)
    found.half.append(opened["p99"] / 1e3)
    worker = ran.pop("worker")
    found.cpu.append(1e6 * worker / closed.requests)
    found.others.append(sum(ran.values()) / closed.seconds)
    rss = proc.memory(proc.tree(proxy.process.pid)).rss / see_store.MIB
    found.told = (
        f"{seen.events:,} requests seen, {seen.dropped:,} told as dropped, {seen.asked} rates,"
        f" {seen.failed} failed; {closed.rate:,.0f} requests/s; RSS {rss:.0f} MiB"
    )


def _looked(kind: str, found: Looked, nobody: Looked) -> str:
    """Medians, and their ratios to the same rounds with nobody looking."""
    points = []
    for name, unit in (("full", "ms p99"), ("half", "ms p99"), ("cpu", "µs CPU of the worker")):
        values, others = getattr(found, name), getattr(nobody, name)
        ratios = [a / b for a, b in zip(values, others, strict=True)]
        points.append(
            f"{name}: {statistics.median(values):.2f} {unit},"
            f" x {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    share = statistics.median(found.others)
    return f"{kind}\n  {'; '.join(points)}\n  hub and collector {share:.1%} of a core; {found.told}"


if __name__ == "__main__":
    sys.exit(main())
