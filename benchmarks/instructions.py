"""User instructions of a worker for each request, counted by callgrind.

    python -m benchmarks.instructions [--fast] [--only traced,post] [--check] [--write]

Seconds are noisy on a shared machine and differ between machines; instructions are neither, so
they are what a change is held to. The real hub starts one worker under valgrind. Each case is
warmed up, and then made twice, with FEW and with MANY requests over 32 kept connections; the
difference of the two counts, divided by the difference of the numbers, is the cost of a request
without what was there once: start-up, connections, the dump itself. The worker's timers are
stretched as valgrind stretches it (`patient_worker`). `perf stat -e instructions:u` would be
faster, but virtual machines often do not count them, and a hardware count is that of one processor.

`--check` compares with benchmarks/baseline.json and ends with 1 if a case costs more than MARGIN
above it, 2 if interpreter or libraries are others than the baseline's, since then instructions do
not compare. `--write` makes what was measured the baseline.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import fixed, peers, proc, report, workload

BASELINE = Path(__file__).with_name("baseline.json")
MARGIN = 0.03
WARM, FEW, MANY = 300, 200, 1200  # requests
START_PATIENCE = 120.0  # seconds, under valgrind
STRETCH = 40
POSTED = b"x" * 10_000

CONFIG = """
listen  = "127.0.0.1:{port}"
workers = 1
[resource]
"service.name" = "instructions"
[admin]
listen = ""
[access_log]
stdout = false
{telemetry}
[[route]]
name = "orders"
path = "/api/v1/orders/{{id}}"
to   = "backend"
[[route]]
name = "chunked"
path = "/chunked/*"
to   = "backend"
[upstream.backend]
servers = {{ "http://127.0.0.1:{backend}" = 1 }}
"""

EXPORT = '[export]\notlp = "http://127.0.0.1:{sink}"\nsignals = ["traces"]\n'
TELEMETRY = {
    "traced": EXPORT,
    "untraced": '[tracing]\nsampler = "never"\n',
    "sampled": '[tracing]\nsampler = "ratio"\nsample = 0.1\n' + EXPORT,
}


@dataclass(frozen=True, slots=True)
class Case:
    """Requests of one kind. `mode` is a key of TELEMETRY, `extra` goes into the request's head."""

    name: str
    mode: str
    status: int = 200
    path: str = workload.PATH
    extra: str = ""
    method: str = "GET"
    body: bytes = b""

    def requests(self) -> list[bytes]:
        """One for each trace id of the workload."""
        return [self._request(trace_id) for trace_id in workload.trace_ids()]

    def _request(self, trace_id: str) -> bytes:
        head = workload.request(trace_id, path=self.path)
        head = head.replace(b"GET ", self.method.encode() + b" ", 1)
        return head[:-2] + self.extra.encode() + b"\r\n" + self.body


CASES = (
    Case("traced", "traced"),
    Case("untraced", "untraced"),
    Case("sampled", "sampled"),
    Case(
        "post",
        "traced",
        method="POST",
        body=POSTED,
        extra=f"Content-Type: application/json\r\nContent-Length: {len(POSTED)}\r\n",
    ),
    Case("chunked", "traced", path="/chunked/184467?expand=items,customer"),
    Case("304", "traced", status=304, extra='If-None-Match: "5f2c-1b9d8e7a6c5f4"\r\n'),
    Case("404", "traced", status=404, path="/nowhere/184467?expand=items,customer"),
)
FAST = ("traced", "untraced", "post", "404")


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker under callgrind behind a hub."""

    pid: int
    port: int
    directory: Path

    def count(self, case: Case, requests: Sequence[bytes], number: int) -> int:
        """Instructions of the whole process while it answers `number` requests."""
        _control("--zero", self.pid)
        fixed.run(self.port, requests, number, case.status)
        before = set(self.directory.glob("callgrind.*"))
        _control("--dump", self.pid)
        new = set(self.directory.glob("callgrind.*")) - before
        return sum(_total(path) for path in new)


def measure(worker: Worker, case: Case) -> float:
    """Instructions a request."""
    requests = case.requests()
    fixed.run(worker.port, requests, WARM, case.status)
    few = worker.count(case, requests, FEW)
    many = worker.count(case, requests, MANY)
    return (many - few) / (MANY - FEW)


def start(stack: ExitStack, directory: Path, mode: str, back: Mapping[str, int]) -> Worker:
    """The hub with one worker, instrumented and answering."""
    port = peers.free_port()
    values = {"port": port, **back}
    file = directory / "routes.toml"
    text = CONFIG.format(telemetry=TELEMETRY[mode].format(**values), **values)
    file.write_text(text)
    command = [
        *(sys.executable, "-m", "benchmarks.launch", str(file)),
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"),
        f"--callgrind-out-file={directory}/callgrind.%p",
        f"--log-file={directory}/valgrind.%p",
        *(sys.executable, "-m", "benchmarks.patient_worker"),
    ]
    log = directory / "gateway.out"
    env = {"PYTHONHASHSEED": "0", "SPANGATE_BENCH_STRETCH": str(STRETCH)}
    process = proc.start(command, proc.cores()[0], log, env)
    stack.callback(proc.stop, process)
    try:
        proc.wait_until(lambda: _answers(port, process), START_PATIENCE, "the worker")
    except TimeoutError as error:
        raise SystemExit(f"{error}\n{log.read_text()[-2000:]}") from None
    children = (pid for pid in proc.tree(process.pid) if pid != process.pid)
    (pid,) = (pid for pid in children if "benchmarks.patient_worker" in proc.command(pid))
    _control("--instr=on", pid)
    return Worker(pid, port, directory)


def run(names: Sequence[str]) -> dict[str, int]:
    """All cases of `names`: instructions a request."""
    found: dict[str, int] = {}
    cases = [case for case in CASES if case.name in names]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spangate-ir-")))
        back = _back(stack, directory)
        for mode in dict.fromkeys(case.mode for case in cases):
            own = directory / mode
            own.mkdir()
            with ExitStack() as inner:
                worker = start(inner, own, mode, back)
                for case in (c for c in cases if c.mode == mode):
                    found[case.name] = round(measure(worker, case))
                    print(f"{case.name:10} {found[case.name]:>10,}", file=sys.stderr, flush=True)
    return {case.name: found[case.name] for case in cases}


def _back(stack: ExitStack, directory: Path) -> dict[str, int]:
    ports = {"backend": peers.free_port(), "sink": peers.free_port()}
    for name, port in ports.items():
        command = [sys.executable, "-m", f"benchmarks.{name}", str(port)]
        process = proc.start(command, proc.cores()[1], directory / f"{name}.out")
        stack.callback(proc.stop, process)
    for name, port in ports.items():
        proc.wait_until(lambda port=port: proc.listens(port), 20, name)  # type: ignore[misc]
    return ports


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise TimeoutError(f"the hub ended with {process.returncode}")
    try:
        fixed.run(port, [workload.request("1" * 32)], 1, connections=1)
    except (OSError, fixed.Failed):
        return False
    return True


def _control(what: str, pid: int) -> None:
    done = subprocess.run(
        ["callgrind_control", what, str(pid)], capture_output=True, text=True, check=False
    )
    if done.returncode or "Error" in done.stdout + done.stderr:
        raise SystemExit(f"callgrind_control {what}: {done.stdout}{done.stderr}")


def _total(path: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def environment() -> dict[str, str]:
    """What must be the same for two counts to be comparable."""
    found = {"python": f"{platform.python_version()} ({report.interpreter()})"}
    for package in ("uvloop", "httptools", "msgspec"):
        found[package] = importlib.metadata.version(package)
    return {**found, "machine": platform.machine(), "libc": " ".join(platform.libc_ver())}


def table(found: Mapping[str, int], baseline: Mapping[str, int]) -> str:
    """The figures beside those of the baseline."""
    lines = [f"{'case':10} {'instructions':>13} {'baseline':>10} {'ratio':>7}"]
    for name, value in found.items():
        kept = baseline.get(name)
        beside = f"{kept:>10,} {value / kept:>7.3f}" if kept else ""
        lines.append(f"{name:10} {value:>13,} {beside}".rstrip())
    return "\n".join(lines)


def exceeded(found: Mapping[str, int], baseline: Mapping[str, int]) -> list[str]:
    """Names of the cases that cost more than they may."""
    return [n for n, value in found.items() if n in baseline and value > baseline[n] * (1 + MARGIN)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and compare if asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--only", default=",".join(case.name for case in CASES))
    parser.add_argument("--fast", action="store_true", help=f"only {', '.join(FAST)}")
    parser.add_argument("--check", action="store_true", help="fail if the baseline is exceeded")
    parser.add_argument("--write", action="store_true", help="make this the baseline")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    proc.stop_all_when_ended()
    if shutil.which("valgrind") is None:
        raise SystemExit("instructions are counted by valgrind: apt-get install valgrind")
    kept: dict[str, Any] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if options.check and (other := _differing(kept.get("environment", {}))):
        print(f"not comparable with {BASELINE.name}: {other}", file=sys.stderr)
        return 2
    os.environ["PYTHONHASHSEED"] = "0"
    found = run(FAST if options.fast else options.only.split(","))
    made = {
        "commit": report.commit(),
        "environment": environment(),
        "requests": {"warm": WARM, "few": FEW, "many": MANY, "connections": fixed.CONNECTIONS},
        "instructions": found,
    }
    print(table(found, kept.get("instructions", {})))
    for path in (options.json, BASELINE if options.write else None):
        if path is not None:
            path.write_text(json.dumps(made, indent=1) + "\n")
    over = exceeded(found, kept.get("instructions", {})) if options.check else []
    if over:
        print(f"more than {MARGIN:.0%} above the baseline: {', '.join(over)}")
    return 1 if over else 0


def _differing(kept: Mapping[str, str]) -> str:
    here = environment()
    pairs = [f"{k} {here[k]}, not {kept.get(k, 'known')}" for k in here if kept.get(k) != here[k]]
    return "; ".join(pairs)


if __name__ == "__main__":
    sys.exit(main())
