"""All proxies side by side: `python -m benchmarks.run [--rounds 3] [--seconds 4] [--only a,b]`.

Every proxy is started once, checked (exact body, spans that reached the sink), and then loaded in
rounds that are interleaved, so that a slow minute of the machine hurts all alike. CPU is read
after the exporters have sent what they hold: a proxy pays for its spans within its own round.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import bed as beds
from benchmarks import load, peers, proc, report, workload
from benchmarks.bed import Bed, Running
from benchmarks.peers import Target

REST = 3.0  # seconds for the spans of the warm-up to be sent, or the first round would pay for them
SETTLE = 8.0  # seconds at most for the spans of a round to arrive
COMPLETE = 0.995  # share of the expected spans below which a round counts as lossy


@dataclass(frozen=True, slots=True)
class Round:
    """What one proxy did in one round. Times in seconds, memory in bytes."""

    target: str
    number: int
    requests: int
    rate: float
    errors: int
    cpu: float  # for each request, exporters included
    busy: float  # share of the proxies' core while the load ran
    p50: float
    p99: float
    rss: int
    pss: int
    server: float  # spans for each request that reached the sink
    client: float
    logs: float
    lossy: bool
    worker: float = 0.0  # of `cpu`, where the processes are ours
    hub: float = 0.0
    collector: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write results; exit code 1 if a proxy failed its check."""
    options = _options(arguments)
    targets = [t for t in peers.TARGETS if not options.only or t.name in options.only.split(",")]
    if not targets:
        print("no such proxy; there are:", ", ".join(t.name for t in peers.TARGETS))
        return 2
    with beds.make() as bed:
        notes, proxies = start(bed, targets)
        rounds: list[Round] = []
        for number in range(1, options.rounds + 1):
            # Each round begins elsewhere, so that nobody always follows the same neighbour.
            shift = (number - 1) % max(1, len(proxies))
            for proxy in proxies[shift:] + proxies[:shift]:
                rounds.append(measure(bed, proxy, number, options.seconds))
                print(_line(rounds[-1]), file=sys.stderr, flush=True)
    result = report.result(rounds, notes, options.seconds)
    print(report.terminal(result))
    if not options.dry:
        print("written:", *report.save(result))
    return 1 if any(note.startswith("FAILED") for note in notes) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of load in each round")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--dry", action="store_true", help="write no results and no documentation")
    return parser.parse_args(arguments)


def start(bed: Bed, targets: Sequence[Target]) -> tuple[list[str], list[Running]]:
    """Start and check each; returns notes about those left out, and the rest."""
    notes: list[str] = []
    proxies: list[Running] = []
    for target in targets:
        if reason := peers.missing(target):
            notes.append(f"skipped {target.name}: {reason}")
            continue
        try:
            proxy = bed.start(target)
            _check(bed, proxy)
        except (RuntimeError, OSError) as error:
            notes.append(f"FAILED {target.name}: {error}")
        else:
            proxies.append(proxy)
            load.run(proxy.port, 1, bed.back, bed.directory)  # warm: connections, caches, JIT
    for note in notes:
        print(note, file=sys.stderr)
    time.sleep(REST)
    return notes, proxies


def _check(bed: Bed, proxy: Running) -> None:
    """RuntimeError unless the body is exact and the trace reached the sink under its own id."""
    target = proxy.target
    bed.reset()
    trace = f"{time.time_ns():032x}"
    # A tenth of the ids is recorded at 10 %: those with the highest 56 bits.
    wanted = trace[:18] + "f" * 14
    status, body, _ = beds.ask(proxy.port, workload.request(wanted))
    if (status, body) != (200, workload.BODY):
        raise RuntimeError(f"answered {status} and {len(body)} bytes instead of the backend's")
    if not target.traced:
        return

    def arrived() -> bool:
        kinds = [s["kind"] for s in bed.spans(target.name) if s["trace"] == wanted]
        return "server" in kinds and ("client" in kinds or not target.client)

    try:
        proc.wait_until(arrived, 10, "spans of the checked request", every=0.1)
    except TimeoutError as error:
        seen = [(s["kind"], s["name"], s["trace"]) for s in bed.spans(target.name)]
        raise RuntimeError(f"{error}; the last ones were {seen[-4:]}") from None


def measure(
    bed: Bed, proxy: Running, number: int, seconds: float, requests: Sequence[bytes] = ()
) -> Round:
    """One round of one proxy, with `requests` or the workload."""
    target, root = proxy.target, proxy.process.pid
    bed.reset()
    before, shares = proc.cpu(root), proc.shares(root)
    got = load.run(proxy.port, seconds, bed.back, bed.directory, requests=requests)
    busy = (proc.cpu(root) - before) / got.seconds
    settle(bed, target, got.requests)
    used = proc.cpu(root) - before
    own = {r: (s - shares.get(r, 0.0)) / got.requests for r, s in proc.shares(root).items()}
    memory = proc.memory(proc.tree(root))
    counts = bed.counts(target.name)
    each = {kind: counts.get(kind, 0) / got.requests for kind in ("server", "client", "logs")}
    expected = {"server": target.server, "client": target.client, "logs": target.logs}
    return Round(
        target=target.name,
        number=number,
        requests=got.requests,
        rate=got.rate,
        errors=got.errors,
        cpu=used / got.requests,
        busy=busy,
        p50=got.p50,
        p99=got.p99,
        rss=memory.rss,
        pss=memory.pss,
        server=each["server"],
        client=each["client"],
        logs=each["logs"],
        lossy=any(each[kind] < COMPLETE * expected[kind] for kind in each),
        **own,
    )


def settle(bed: Bed, target: Target, requests: int) -> None:
    """Wait until the spans of `requests` arrived, or nothing more comes."""
    if not target.traced:
        time.sleep(0.2)  # what is in flight when the load ends
        return
    wanted = (target.server + target.client + target.logs) * requests
    deadline = time.monotonic() + SETTLE
    while time.monotonic() < deadline:
        counts = bed.counts(target.name)
        if sum(counts.get(kind, 0) for kind in ("server", "client", "logs")) >= wanted:
            return
        time.sleep(0.1)


def _line(one: Round) -> str:
    return (
        f"round {one.number}  {one.target:15} {one.rate:8,.0f}/s  {one.cpu * 1e6:6.1f} µs"
        f"  spans/request {one.server + one.client:.2f}"
        + (f"  hub {one.hub * 1e6:.2f} collector {one.collector * 1e6:.2f}" if one.hub else "")
        + ("  LOSSY" if one.lossy else "")
        + (f"  {one.errors} ERRORS" if one.errors else "")
    )


if __name__ == "__main__":
    sys.exit(main())
