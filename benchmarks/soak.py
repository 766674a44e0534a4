"""Minutes of half the peak load with clients that leave: nothing may leak, grow or go missing.

`python -m benchmarks.soak [--minutes 10] [--leaving 0.1]`. Looks at /proc and at the gateway's own
/stats while it runs and after everybody has gone; prints a verdict, writes JSON, and returns 1 if
one of the checks failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import uvloop

from benchmarks import bed as beds
from benchmarks import load, peers, proc, report
from benchmarks.bed import Bed, Running
from benchmarks.client import Crowd

SAMPLES = 120  # in a run, but not more often than once a second
WARM = 0.25  # share of the samples that belongs to the warm-up: pools, buffers, allocator
GROWTH = 3_000_000  # bytes by which a process may grow after that, fitted over its samples
LATE = 0.02  # share of requests that may find every connection busy, or the load was not that
SPARE = 3  # descriptors that may be open more than before: a probe, an export connection
PATIENCE = 12.0  # seconds after which idle connections to the backend must be gone (pool: 4 s)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the gateway. Descriptors and bytes by process id."""

    second: float
    rss: dict[int, int]
    descriptors: dict[int, int]
    unbalanced: list[str]
    dropped: int


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    passed: bool
    seen: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak; exit code 0 if all checks passed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--leaving", type=float, default=0.1, help="share of clients that leave")
    parser.add_argument("--mode", default="spangate-all")
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    target = next(t for t in peers.TARGETS if t.name == options.mode)
    with beds.make() as bed:
        proxy = bed.start(target)
        peak = load.run(proxy.port, 4, bed.back, bed.directory).rate
        print(f"peak {peak:,.0f}/s; {options.minutes:g} minutes at half of it", flush=True)
        os.sched_setaffinity(0, {bed.back})
        made = uvloop.run(_soak(bed, proxy, peak / 2, options))
    checks = made.pop("checks")
    for check in checks:
        print(f"{'ok  ' if check.passed else 'FAIL'}  {check.name}: {check.seen}")
    if not options.dry:
        made = {"machine": report.machine(), "versions": report.versions(), "peak": peak, **made}
        print(report.write_json({**made, "checks": [asdict(c) for c in checks]}, "soak"))
    return 0 if all(check.passed for check in checks) else 1


async def _soak(
    bed: Bed, proxy: Running, rate: float, options: argparse.Namespace
) -> dict[str, Any]:
    quiet = await _quiet(proxy, begin=time.monotonic())
    crowd = Crowd(proxy.port, options.connections, rate, options.leaving)
    seconds = options.minutes * 60
    every = max(1.0, seconds / SAMPLES)
    samples: list[Sample] = []
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        await crowd.run(every)
        samples.append(await asyncio.to_thread(_sample, proxy, begin))
    await crowd.close()
    after = await _quiet(proxy, begin)
    tally = crowd.tally
    latencies = sorted(tally.latencies) or [0.0]
    return {
        "rate": rate,
        "minutes": options.minutes,
        "sent": tally.sent,
        "answered": tally.answered,
        "left": tally.left,
        "failed": tally.failed,
        "late": tally.late,
        "refused": tally.refused,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
        "exported": bed.counts(proxy.target.name),
        "quiet": asdict(quiet),
        "after": asdict(after),
        "samples": [asdict(s) for s in samples],
        "checks": list(_checks(quiet, samples, after, crowd)),
    }


async def _quiet(proxy: Running, begin: float) -> Sample:
    """Wait until idle connections to the backend have been closed, and look then."""
    await asyncio.sleep(PATIENCE)
    return await asyncio.to_thread(_sample, proxy, begin)


def _checks(
    quiet: Sample, samples: Sequence[Sample], after: Sample, crowd: Crowd
) -> Iterator[Check]:
    tally = crowd.tally
    yield Check("every whole request was answered", not tally.failed, f"{tally.failed} failed")
    kept_up = tally.late <= tally.sent * LATE and not tally.refused
    yield Check(
        "the load was carried",
        kept_up,
        f"{tally.sent:,} sent, {tally.left:,} left, {tally.late:,} late, {tally.refused} refused",
    )
    same = quiet.rss.keys() == after.rss.keys()
    yield Check("no process died", same, f"{len(after.rss)} processes")
    for pid, before in quiet.descriptors.items():
        now = after.descriptors.get(pid, 0)
        yield Check(f"descriptors of {pid}", now <= before + SPARE, f"{before} before, {now} after")
        slope = growth(samples, pid)
        yield Check(f"memory of {pid}", slope <= GROWTH, f"{slope / 1e6:+.2f} MB after warming up")
    wrong = [s.unbalanced for s in (*samples, after) if s.unbalanced]
    yield Check("books balance in every sample", not wrong, f"{len(samples)} samples {wrong[:1]}")
    yield Check("nothing was dropped", not after.dropped, f"{after.dropped} items")


def growth(samples: Sequence[Sample], pid: int) -> float:
    """Bytes by which a straight line through the samples rises after the warm-up."""
    kept = [s for s in samples[int(len(samples) * WARM) :] if pid in s.rss]
    if len(kept) < 3:
        return 0.0
    times = [s.second for s in kept]
    line = statistics.linear_regression(times, [s.rss[pid] for s in kept])
    return line.slope * (times[-1] - times[0])


def _sample(proxy: Running, begin: float) -> Sample:
    pids = proc.tree(proxy.process.pid)
    ledgers = list(books(stats(proxy)))
    return Sample(
        second=round(time.monotonic() - begin, 1),
        rss={pid: proc.memory([pid]).rss for pid in pids},
        descriptors={pid: proc.descriptors(pid) for pid in pids},
        unbalanced=[str(ledger) for ledger in ledgers if not balanced(ledger)] or _absent(ledgers),
        dropped=sum(sum(ledger["dropped"].values()) for ledger in ledgers),
    )


def _absent(ledgers: Sequence[Any]) -> list[str]:
    return [] if ledgers else ["/stats has no books"]


def stats(proxy: Running) -> Any:
    """The gateway's /stats."""
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.admin}/stats", timeout=10) as answer:
        return json.load(answer)


def books(value: Any) -> Iterator[dict[str, Any]]:
    """Every ledger (created, exported, dropped, queued) anywhere in /stats."""
    if isinstance(value, dict):
        if {"created", "exported", "dropped", "queued"} <= value.keys():
            yield value
        else:
            for inner in value.values():
                yield from books(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from books(inner)


def balanced(ledger: dict[str, Any]) -> bool:
    """created = exported + dropped + queued, by our own arithmetic."""
    gone = ledger["exported"] + sum(ledger["dropped"].values()) + ledger["queued"]
    return bool(ledger["created"] == gone)


if __name__ == "__main__":
    sys.exit(main())
