"""What a gateway costs that has nothing to do: memory, and CPU with ten thousand idle connections.

    python -m benchmarks.idle [--report] [--connections 10000] [--seconds 20]

`spangate run` with one worker, a receiver and an exporter for OTLP/HTTP. Memory is that of hub,
collector (if it is a process of its own) and worker, some seconds after the first answer and
before the connections; PSS shares out what the processes have in common. CPU is what the kernel
says that the threads have run (schedstat), so neighbours are not in it. Exit code 1 if a bound is
broken, unless `--report`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence

from benchmarks import proc, stalls_bed
from benchmarks.stalls_bed import Options
from benchmarks.stalls_cases import IDLE, held

REST = 5.0  # seconds until what was needed to start has settled
SHARE = 0.003  # of a core, that the connections may cost the worker
MEMORY = 85e6  # bytes, RSS of all together


def shares(pids: Mapping[str, int], seconds: float) -> dict[str, float]:
    """Of a core, that each process uses during so many seconds."""
    begun = time.monotonic()
    before = {kind: proc.ran(pid) for kind, pid in pids.items()}
    time.sleep(seconds)
    elapsed = time.monotonic() - begun
    return {kind: (proc.ran(pid) - before[kind]) / elapsed for kind, pid in pids.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 if a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--connections", type=int, default=IDLE)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--report", action="store_true", help="only print, whatever comes")
    options = parser.parse_args(arguments)
    proc.stop_all_when_ended()
    with stalls_bed.gateway(Options(watched=False)) as gateway:
        pids = gateway.kinds()
        time.sleep(REST)
        total = proc.memory(list(pids.values()))
        for kind, pid in pids.items():
            own = proc.memory([pid])
            print(f"{kind:10} RSS {own.rss / 1e6:6.1f} MB  PSS {own.pss / 1e6:6.1f} MB")
        print(f"{'together':10} RSS {total.rss / 1e6:6.1f} MB  PSS {total.pss / 1e6:6.1f} MB")
        without = shares(pids, options.seconds)
        with held(gateway.port, options.connections):
            time.sleep(1.0)
            beside = shares(pids, options.seconds)
            grown = proc.memory([pids["worker"]])
    for kind in pids:
        print(f"{kind:10} CPU {without[kind]:6.2%} of a core, with connections {beside[kind]:6.2%}")
    cost = beside["worker"] - without["worker"]
    print(
        f"{options.connections:,} idle connections: {cost:.2%} of a core (bound {SHARE:.1%}),"
        f" worker RSS {grown.rss / 1e6:.1f} MB; idle together {total.rss / 1e6:.1f} MB"
        f" (bound {MEMORY / 1e6:.0f} MB)"
    )
    kept = cost <= SHARE and total.rss <= MEMORY
    return 0 if kept or options.report else 1


if __name__ == "__main__":
    sys.exit(main())
