"""Whether what a request costs stays flat as there is more of everything.

    python -m benchmarks.scale [--only workers,connections,routes,endpoints] [--rounds 5] [--dry]

**Routes** (10 to 10,000) and **endpoints** (1 to 1,000): instructions of the worker a request. The
sweep and the reports to the hub, which come by the clock and look after each connection and each
series, are left out of these counts: under valgrind the clock runs some fifty times too fast.

**Connections** (10 to 10,000): instructions a request while all but 32 of them are idle, and CPU of
the worker a request while requests go round all of them at a fixed rate (`openloop.c`), where
what the kernel and the caches have to bear with so many sockets is included.

**Workers** (1 and 2), on a machine of two cores, where load, backend and sink need room as well: a
control group gives each worker a quarter of a core (`QUOTA`), in slices of ten milliseconds,
and nothing else is held back. So workers are what is scarce, with one and with two of them; two
run at the same time on two cores, and share whatever they share in earnest: the listening address,
the kernel, caches and memory, the hub and the collector. The requests a second with two over those
with one are the speed-up. It needs a control group that may be written (root), and is left out
with a note where there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import resource
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import bed as beds
from benchmarks import instructions, load, openloop, peers, proc, report, workload
from benchmarks.bed import Bed, Running
from benchmarks.counted import NO_TIMERS, Counted, counted

ROUTES = (10, 100, 1_000, 10_000)
ENDPOINTS = (1, 10, 100, 1_000)
CONNECTIONS = (10, 100, 1_000, 10_000)
RATE = 2_000  # requests a second, at any number of connections
QUOTA = 0.25  # of a core, for each worker
PERIOD = 10_000  # µs

Figures = dict[str, dict[str, Any]]


def routes() -> Figures:
    """Instructions a request by the number of routes; the one that is asked for is a template."""
    base = instructions.configuration("traced")
    kinds = ("/a{n}/b", "/a{n}/{{{{id}}}}", "/a{n}/*", "/shop/{{{{id}}}}/a{n}")
    found: Figures = {}
    with counted(base) as worker:
        for number in ROUTES:
            more = "".join(
                f'[[route]]\nname = "r{n}"\npath = "{kinds[n % 4].format(n=n)}"\nto = "backend"\n'
                for n in range(number - 2)
            )
            worker.use(base.replace("[upstream.", more + "[upstream."))
            found[f"{number:,}"] = {"instructions": worker.instructions(_requests())}
            _say("routes", number, found)
    return found


def endpoints() -> Figures:
    """Instructions a request by the number of endpoints, each with warm connections."""
    base = instructions.configuration("traced")
    servers = 'servers = {{ "http://127.0.0.1:{backend}" = 1 }}'
    found: Figures = {}
    with counted(base, "0.0.0.0", NO_TIMERS) as worker:
        for number in ENDPOINTS:
            names = (
                f'"http://127.0.{n // 250 + 1}.{n % 250 + 1}:{{backend}}"' for n in range(number)
            )
            many = f'servers = [{", ".join(names)}]\npool = {{{{ idle_timeout = "1h" }}}}'
            worker.use(base.replace(servers, many))
            profile = worker.profile(_requests(), warm=300 + 2 * number)
            found[f"{number:,}"] = {"instructions": round(sum(profile.values()))}
            _say("endpoints", number, found)
    return found


def connections(rounds: int) -> Figures:
    """Instructions beside idle connections, and CPU with requests on all connections in turn."""
    found: Figures = {f"{number:,}": {} for number in CONNECTIONS}
    with counted(instructions.configuration("traced"), stretch=NO_TIMERS) as worker:
        for number in CONNECTIONS:
            found[f"{number:,}"]["instructions"] = _beside(worker, number)
            _say("connections", number, found)
    with beds.make() as bed:
        program = openloop.build(bed.directory)
        proxy = bed.start(next(t for t in peers.TARGETS if t.name == "spangate-100"))
        pid = _workers(proxy)[0]
        for key in found:
            found[key]["cpu_us"] = []
        for _ in range(rounds):
            for number in CONNECTIONS:
                cost = _rotating(bed, proxy, pid, program, number)
                found[f"{number:,}"]["cpu_us"].append(cost * 1e6)
    for row in found.values():
        row["cpu_us"] = statistics.median(row["cpu_us"])
    return found


def _beside(worker: Counted, number: int) -> int:
    with contextlib.ExitStack() as stack:
        for _ in range(number - 32):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", worker.port)))
            link.sendall(workload.request("2" * 32))
            link.recv(65536)
        return worker.instructions(_requests())


def _rotating(bed: Bed, proxy: Running, pid: int, program: str, number: int) -> float:
    """Seconds of the worker's CPU a request."""
    seconds = 1.5
    with openloop.Load(bed, program, proxy.port, number, RATE, seconds) as going:
        _settle(pid)  # connections were made
        before = proc.ran(pid)
        got = going.run()
        used = proc.ran(pid) - before
    _settle(pid)  # and have ended
    return used / float(got["answered"])


def _settle(pid: int) -> None:
    """Wait until a process does next to nothing."""
    while True:
        before = proc.ran(pid)
        time.sleep(0.2)
        if proc.ran(pid) - before < 0.01:
            return


def workers(rounds: int) -> Figures:
    """Requests a second and CPU a request with one and with two workers of a quota each."""
    one = next(t for t in peers.TARGETS if t.name == "spangate-100")
    found: Figures = {"1": {"rate": [], "cpu_us": []}, "2": {"rate": [], "cpu_us": []}}
    with beds.make() as bed, contextlib.ExitStack() as stack:
        everything = set(range(os.cpu_count() or 1))
        proxies = {}
        for number in found:
            name = f"{one.name}-{number}"
            command = [*one.command[:2], f"@DIR@/{name}.toml", "--workers", number]
            files = {f"{name}.toml": "spangate.toml"}
            target = dataclasses.replace(one, name=name, files=files, command=command)
            proxies[number] = bed.start(target)
            for pid in _workers(proxies[number]):
                stack.enter_context(held_back(pid))
        for pid in proc.tree(os.getpid()):
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(task), everything)
        for _ in range(rounds):
            for number, proxy in proxies.items():
                for key, value in _loaded(bed, proxy, everything).items():
                    found[number][key].append(value)
    return {n: {k: statistics.median(v) for k, v in row.items()} for n, row in found.items()}


def _loaded(bed: Bed, proxy: Running, cores: set[int]) -> dict[str, float]:
    pids = _workers(proxy)
    before = sum(map(proc.ran, pids))
    got = load.run(proxy.port, 2, cores, bed.directory, connections=64)
    cpu = (sum(map(proc.ran, pids)) - before) / got.requests
    return {"rate": got.rate, "cpu_us": cpu * 1e6}


@contextlib.contextmanager
def held_back(pid: int) -> Iterator[None]:
    """A control group of its own for a process, with QUOTA of a core."""
    quota = round(QUOTA * PERIOD)
    first = Path("/sys/fs/cgroup/cpu")
    group = (first if first.exists() else Path("/sys/fs/cgroup")) / f"spangate-bench-{pid}"
    group.mkdir()
    try:
        if first.exists():
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        with contextlib.suppress(OSError):
            (group.parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def _workers(proxy: Running) -> list[int]:
    pids = proc.tree(proxy.process.pid)
    return [pid for pid in pids if "proxy.server" in proc.command(pid)]


def _requests() -> list[bytes]:
    return [workload.request(trace_id) for trace_id in workload.trace_ids()]


def _say(what: str, number: int, found: Figures) -> None:
    print(f"{what} {number:>7,}  {found[f'{number:,}']}", file=sys.stderr, flush=True)


def table(name: str, found: Figures) -> str:
    """Markdown: the figures, and how often the first row's they are."""
    keys = list(next(iter(found.values())))
    first = next(iter(found.values()))
    lines = [f"| {name} | " + " | ".join(f"{key} | ratio" for key in keys) + " |"]
    lines.append("|---:|" + "---:|---:|" * len(keys))
    for number, row in found.items():
        cells = [
            f"{row[key]:,.{0 if row[key] > 1000 else 1}f} | {row[key] / first[key]:.2f}"
            for key in keys
        ]
        lines.append(f"| {number} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; results go to benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--only", default="workers,connections,routes,endpoints")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    proc.stop_all_when_ended()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parts: dict[str, Callable[[], Figures]] = {
        "workers": lambda: workers(options.rounds),
        "connections": lambda: connections(options.rounds),
        "routes": routes,
        "endpoints": endpoints,
    }
    found: dict[str, Figures] = {}
    for name in options.only.split(","):
        try:
            found[name] = parts[name]()
        except PermissionError as error:
            print(f"{name}: left out: {error}")
    print("\n\n".join(table(name, figures) for name, figures in found.items()))
    if not options.dry:
        made = {"commit": report.commit(), "machine": report.machine(), "scale": found}
        print(report.write_json(made, "scale"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
