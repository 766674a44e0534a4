"""The longest turn of each process while strangers and neighbours do their worst.

    python -m benchmarks.stalls [--report] [--only reload,bomb] [--json FILE]

For each case a gateway of its own: hub, collector and one worker. Bounds: 20 ms for a turn of hub
and workers, 50 ms of the collector; exit code 1 if one is broken, unless `--report`. How a turn is
measured, and why so, is said in `turns.py`. Beside it: what another client waited at most (`probe`;
it contains the neighbours' share of the machine, so it has no bound here), by how much each
process's memory was above what it had before, and how many files it had open. Where the product
has `spangate.loop.lag`, that is printed too.

The slow disk is made by the library that measures: writes below the queue's directory take 20 ms
and an fsync 300 ms, in the thread that makes them. No file system with a delay can be had without
root and a module of the kernel that many machines lack; this needs neither.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import proc, report, stalls_bed
from benchmarks.stalls_bed import Seen
from benchmarks.stalls_cases import CASES, Case

BOUNDS = {"hub": 0.020, "worker": 0.020, "collector": 0.050}
QUIET = 0.5  # seconds before and after a case: what is left over belongs to it
COLUMNS = f"{'case':34} {'process':10} {'turn ms':>9} {'wall ms':>9} {'wait ms':>9}"
COLUMNS += f" {'+MiB':>7} {'files':>6}"


def play(case: Case) -> Seen:
    """One case on a gateway of its own."""
    with stalls_bed.gateway(case.options) as gateway:
        case.before(gateway)
        with stalls_bed.probed(gateway) as probe:
            time.sleep(QUIET)
            with stalls_bed.Watch(gateway, probe) as watch:
                note = case.play(gateway)
                time.sleep(QUIET)
                seen = watch.seen(note)
        seen.lag = gateway.lag()
        return seen


def rows(case: Case, seen: Seen) -> list[str]:
    """What is printed of a case: one line for each process."""
    lines = []
    for kind, longest in seen.longest.items():
        over = longest.own > BOUNDS[kind.split()[0]]
        waited = seen.waits.get(kind, 0.0)
        cells = f"{longest.own * 1e3:9.1f} {longest.wall * 1e3:9.1f} {waited * 1e3:9.1f}"
        cells += f" {seen.grown[kind] / 2**20:7.1f} {seen.files[kind]:6}"
        lines.append(f"{case.name:34} {kind:10} {cells}{'  OVER' if over else ''}")
    if "collector" not in seen.longest:
        lines.append(f"{'':34} {'(OTLP)':10} {'':19} {seen.waits['collector'] * 1e3:9.1f}")
    lines[0] += f"   {seen.note}"
    lags = [f"{labels} {value * 1e3:.1f} ms" for labels, value in seen.lag.items()]
    return [*lines, *(f"    the gateway's own figure: {lag}" for lag in lags)]


def broken(seen: Seen) -> list[str]:
    """Kinds of processes whose bound was."""
    return [k for k, longest in seen.longest.items() if longest.own > BOUNDS[k.split()[0]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Play all cases; exit code 1 if a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stalls", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose names contain one of these")
    parser.add_argument("--report", action="store_true", help="only print, whatever comes")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    proc.stop_all_when_ended()
    os.sched_setaffinity(0, set(proc.cores()))
    wanted = options.only.split(",")
    found: dict[str, Seen] = {}
    failed: list[str] = []
    print(COLUMNS, flush=True)
    for case in CASES:
        if not any(word in case.name for word in wanted):
            continue
        try:
            found[case.name] = play(case)
        except (OSError, TimeoutError, ValueError) as error:
            print(f"{case.name:34} not measured: {error!r}", flush=True)
            failed.append(case.name)
            continue
        print("\n".join(rows(case, found[case.name])), flush=True)
    if options.json:
        made = {"commit": report.commit(), "machine": report.machine()}
        cases = {name: asdict(seen) for name, seen in found.items()}
        options.json.write_text(json.dumps({**made, "cases": cases}, indent=1) + "\n")
    over = [name for name, seen in found.items() if broken(seen)]
    print(f"{len(over)} of {len(found)} cases over their bounds, {len(failed)} not measured")
    return 1 if (over or failed) and not options.report else 0


if __name__ == "__main__":
    sys.exit(main())
