"""User instructions of a worker for each request, counted by callgrind.

    python -m benchmarks.instructions [--only traced,post] [--check] [--write]
                                      [--objects] [--functions 40] [--json FILE]

Seconds are noisy on a shared machine and differ between machines; instructions are neither, so
they are what a change is held to. The real hub starts one worker under valgrind (`counted`). Each
case is warmed up, and then made twice, with FEW and with MANY requests over 32 kept connections;
the difference of the two counts, divided by the difference of the numbers, is the cost of a
request without what was there once: start-up, connections, the dump itself. `perf stat -e
instructions:u` would be faster, but virtual machines often do not count them, and a hardware count
is that of one processor.

`--objects` says which shared objects a request's instructions are in (the interpreter, uvloop,
libc, each compiled module of ours), `--functions` which functions.

`--check` compares with the baseline of compiled or of plain code, whichever runs, and ends with 1
if a case costs more than MARGIN above it; with 2 if interpreter, libraries or compiler are others
than the baseline's, since then instructions do not compare. `--write` makes what was measured the
baseline.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import callgrind, fixed, fixed_h2, proc, report, workload
from benchmarks.counted import FEW, MANY, WARM, counted
from proxy import WHY_PLAIN
from proxy.plain import STAMP

BASELINE = Path(__file__).with_name("baseline-plain.json" if WHY_PLAIN else "baseline.json")
MARGIN = 0.03
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
[[route]]
name = "calls"
path = "/shop.v1.Orders/*"
to   = "calls"
[upstream.backend]
servers = {{ "http://127.0.0.1:{backend}" = 1 }}
[upstream.calls]
servers = ["http://127.0.0.1:{backend_h2}"]
protocol = "h2"
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
    h2: bool = False

    def requests(self) -> list[Any]:
        """One for each trace id of the workload."""
        make = self._request_h2 if self.h2 else self._request
        return [make(trace_id) for trace_id in workload.trace_ids()]

    @property
    def run(self) -> Callable[..., None]:
        """What makes them."""
        return fixed_h2.run if self.h2 else fixed.run

    def _request(self, trace_id: str) -> bytes:
        head = workload.request(trace_id, path=self.path)
        head = head.replace(b"GET ", self.method.encode() + b" ", 1)
        return head[:-2] + self.extra.encode() + b"\r\n" + self.body

    def _request_h2(self, trace_id: str) -> fixed_h2.Request:
        lines = self._request(trace_id).partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        fields = [tuple(line.split(b": ", 1)) for line in lines]
        first = {b":method": self.method, b":scheme": "http", b":path": self.path}
        made = [(name, value.encode()) for name, value in first.items()]
        made.insert(2, (b":authority", fields.pop(0)[1]))
        return [*made, *((name.lower(), value) for name, value in fields)], self.body


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
    Case("h2", "traced", h2=True),  # to an upstream of HTTP/1.1
    Case(
        "grpc",
        "traced",
        method="POST",
        path="/shop.v1.Orders/Get",
        extra="Content-Type: application/grpc\r\nTE: trailers\r\n",
        body=b"\0\0\0\0\x0a" + b"x" * 10,
        h2=True,
    ),
)
FAST = ("traced", "untraced", "post", "404")


def run(names: Sequence[str]) -> dict[str, dict[tuple[str, str], float]]:
    """All cases of `names`: instructions a request by object and function."""
    cases = [case for case in CASES if case.name in names]
    found: dict[str, dict[tuple[str, str], float]] = {}
    if not cases:
        raise SystemExit(f"no such case; there are: {', '.join(case.name for case in CASES)}")
    with counted(configuration(cases[0].mode)) as worker:
        mode = cases[0].mode
        for case in cases:
            if case.mode != mode:
                mode = case.mode
                worker.use(configuration(mode))
            found[case.name] = worker.profile(case.requests(), case.status, run=case.run)
            whole = round(sum(found[case.name].values()))
            print(f"{case.name:10} {whole:>10,}", file=sys.stderr, flush=True)
    return found


def configuration(mode: str) -> str:
    """The gateway's, with blanks that `counted` fills in."""
    return CONFIG.replace("{telemetry}", TELEMETRY[mode])


def environment() -> dict[str, str]:
    """What must be the same for two counts to be comparable."""
    found = {"python": f"{platform.python_version()} ({report.interpreter()})"}
    for package in ("uvloop", "httptools", "msgspec", "ngh2"):
        found[package] = importlib.metadata.version(package)
    found |= {"machine": platform.machine(), "libc": " ".join(platform.libc_ver())}
    return found if WHY_PLAIN else {**found, "compiler": compiler()}


def compiler() -> str:
    """The C compiler that made the package, as the first of the compiled modules names it."""
    module = importlib.import_module(Path(STAMP).read_text().splitlines()[1])
    made = Path(str(module.__file__)).read_bytes()
    found = re.search(rb"(?:GCC: |clang version )[\w .()+:~-]+", made)
    return found[0].decode() if found else "?"


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
    options = _options(arguments)
    proc.stop_all_when_ended()
    kept: dict[str, Any] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if options.check and (other := _differing(kept.get("environment", {}))):
        print(f"not comparable with {BASELINE.name}: {other}", file=sys.stderr)
        return 2
    profiles = run(options.only.split(","))
    found = {name: round(sum(profile.values())) for name, profile in profiles.items()}
    made = {
        "commit": report.commit(),
        "environment": environment(),
        "requests": {"warm": WARM, "few": FEW, "many": MANY, "connections": fixed.CONNECTIONS},
        "instructions": found,
    }
    for name, profile in profiles.items():
        _explain(name, profile, options)
    print(f"{'plain: ' + WHY_PLAIN if WHY_PLAIN else 'compiled'}, against {BASELINE.name}")
    print(table(found, kept.get("instructions", {})))
    for path in (options.json, BASELINE if options.write else None):
        if path is not None:
            path.write_text(json.dumps(made, indent=1) + "\n")
    over = exceeded(found, kept.get("instructions", {})) if options.check else []
    if over:
        print(f"more than {MARGIN:.0%} above the baseline: {', '.join(over)}")
    return 1 if over else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--only", default=",".join(case.name for case in CASES))
    parser.add_argument("--check", action="store_true", help="fail if the baseline is exceeded")
    parser.add_argument("--write", action="store_true", help="make this the baseline")
    parser.add_argument("--objects", action="store_true", help="by shared object")
    parser.add_argument("--functions", type=int, default=0, help="the dearest so many functions")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


def _explain(
    name: str, profile: Mapping[tuple[str, str], float], options: argparse.Namespace
) -> None:
    if options.objects:
        print(f"\n{name}, by object", *callgrind.lines(callgrind.objects(profile)), sep="\n")
    if options.functions:
        dearest = sorted(profile.items(), key=lambda pair: -pair[1])[: options.functions]
        print(f"\n{name}, by function")
        for (where, function), cost in dearest:
            print(f"{cost:>12,.0f}  {function}  [{where}]")


def _differing(kept: Mapping[str, str]) -> str:
    here = environment()
    pairs = [
        f"{k} {here.get(k, 'none')}, not {kept.get(k, 'none')}"
        for k in {**here, **kept}
        if kept.get(k) != here.get(k)
    ]
    return "; ".join(pairs)


if __name__ == "__main__":
    sys.exit(main())
