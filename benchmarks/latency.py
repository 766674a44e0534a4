"""What a proxy adds to a request at half of its own peak: the same client, direct and through it.

`python -m benchmarks.latency [--seconds 5] [--only nginx,spangate-100]`. The direct figure is
taken at the same rate right before, so that only the proxy makes the difference.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

import uvloop

from benchmarks import bed as beds
from benchmarks import load, peers, report
from benchmarks.client import Crowd


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; results go to benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", default="nginx,envoy-traced,spangate,spangate-100")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    found: dict[str, dict[str, float]] = {}
    with beds.make() as bed:
        os.sched_setaffinity(0, {bed.back})
        for target in peers.TARGETS:
            if target.name not in options.only.split(",") or peers.missing(target):
                continue
            proxy = bed.start(target)
            peak = load.run(proxy.port, 2, bed.back, bed.directory).rate
            # Client, backend and sink share a core: beyond this the client itself would queue.
            rate = min(peak / 2, 6000.0)
            direct = uvloop.run(_percentiles(bed.backend, rate, options.seconds))
            through = uvloop.run(_percentiles(proxy.port, rate, options.seconds))
            bed.stop(proxy)
            added = {key: through[key] - direct[key] for key in direct}
            found[target.name] = {"rate": rate, **{f"added_{k}": v for k, v in added.items()}}
            print(
                f"{target.name:15} at {rate:6,.0f}/s  "
                + "  ".join(f"{k} +{v * 1e3:.2f} ms" for k, v in added.items()),
                flush=True,
            )
    if not options.dry:
        made = {"machine": report.machine(), "versions": report.versions(), "latency": found}
        print(report.write_json(made, "latency"))
    return 0


async def _percentiles(port: int, rate: float, seconds: float) -> dict[str, float]:
    crowd = Crowd(port, 32, rate)
    await crowd.run(1)
    await asyncio.sleep(0.1)
    crowd.tally.latencies.clear()
    await crowd.run(seconds)
    await crowd.close()
    times = sorted(crowd.tally.latencies)
    return {f"p{p}": times[len(times) * p // 100] for p in (50, 90, 99)}


if __name__ == "__main__":
    sys.exit(main())
