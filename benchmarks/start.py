"""From the command to the first answer, and what an idle proxy costs in memory.

`python -m benchmarks.start [--times 5] [--only …] [--idle 10000]`. With --idle, so many clients
send one request each and stay connected; the memory they take is measured in the gateway.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import bed as beds
from benchmarks import peers, proc, report, workload
from benchmarks.bed import Bed, Running
from benchmarks.peers import Target

DEFAULT = "nginx,envoy-traced,traefik-traced,caddy-traced,spangate-all"
REST = 1.0  # seconds after the first answer until memory is read


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; results go to benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--only", default=DEFAULT)
    parser.add_argument("--idle", type=int, default=0, help="idle connections to hold")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    _raise_limit()
    found: dict[str, Any] = {}
    with beds.make() as bed:
        for target in peers.TARGETS:
            if target.name not in options.only.split(","):
                continue
            if reason := peers.missing(target):
                print(f"skipped {target.name}: {reason}")
                continue
            found[target.name] = _measure(bed, target, options)
    if not options.dry:
        made = {"machine": report.machine(), "versions": report.versions(), "start": found}
        print(report.write_json(made, "start"))
    return 0


def _measure(bed: Bed, target: Target, options: argparse.Namespace) -> dict[str, Any]:
    times = []
    for again in range(options.times):
        proxy = bed.start(target)
        times.append(proxy.started)
        if again < options.times - 1:
            bed.stop(proxy)
    time.sleep(REST)
    processes = _processes(proxy)
    print(
        f"{target.name:15} first answer after {statistics.median(times):.2f} s"
        f" ({min(times):.2f}–{max(times):.2f})"
    )
    for one in processes:
        rss, pss = one["rss"] / 1e6, one["pss"] / 1e6
        print(f"    {one['command']:30} RSS {rss:6.1f} MB  PSS {pss:6.1f} MB")
    made: dict[str, Any] = {"seconds": times, "processes": processes}
    if options.idle:
        made["idle"] = _crowded(proxy, options.idle)
    bed.stop(proxy)
    return made


def _processes(proxy: Running) -> list[dict[str, Any]]:
    found = []
    for pid in proc.tree(proxy.process.pid):
        memory = proc.memory([pid])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
        command = " ".join([Path(words[0]).name, *words[1:3]])[:30]
        found.append({"command": command, "rss": memory.rss, "pss": memory.pss})
    return found


def _crowded(proxy: Running, number: int) -> list[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        request = workload.request("2" * 32)
        for _ in range(number):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
            link.sendall(request)
            got = link.recv(65536)
            if not got.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"connection refused: {got[:80]!r}")
        processes = _processes(proxy)
    for one in processes:
        megabytes = one["rss"] / 1e6
        print(f"    {number:,} idle connections: {one['command']:30} RSS {megabytes:6.1f} MB")
    return processes


def _raise_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {proc.cores()[1]})


if __name__ == "__main__":
    sys.exit(main())
