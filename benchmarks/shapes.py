"""CPU a request for other shapes of traffic than the common one, against nginx in the same run.

    python -m benchmarks.shapes [--rounds 5] [--only post,chunked] [--targets nginx,spangate-100]

POST of 10 KB, answers in chunks, HTTP/1.0 with and without kept connections, pipelining. Everything
is as in `run`: interleaved rounds, medians, the CPU of a proxy's whole process tree, read when the
spans of the round have arrived; only the requests differ.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

from benchmarks import bed as beds
from benchmarks import peers, report, workload
from benchmarks.run import REST, Round, measure, start

BODY = b"x" * 10_000
DEPTH = 8  # requests that are sent together


def shapes() -> dict[str, list[bytes]]:
    """What is sent at a time, by name; all of one size."""
    plain = [workload.request(one) for one in workload.trace_ids()]
    chunked = [workload.request(one, path="/chunked/184467") for one in workload.trace_ids()]
    return {
        "get": plain,
        "post": [_posted(request) for request in plain],
        "chunked": chunked,
        "1.0": [_old(request, b"keep-alive") for request in plain],
        "1.0-close": [_old(request, b"close") for request in plain],
        "pipelined": [b"".join(plain[n : n + DEPTH]) for n in range(0, len(plain), DEPTH)],
    }


def _posted(request: bytes) -> bytes:
    fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    return request.replace(b"GET", b"POST", 1)[:-2] + fields + BODY


def _old(request: bytes, connection: bytes) -> bytes:
    request = request.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
    return request[:-2] + b"Connection: " + connection + b"\r\n\r\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; results go to benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shapes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--only", default=",".join(shapes()))
    parser.add_argument("--targets", default="nginx,spangate-100")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    chosen = {name: sent for name, sent in shapes().items() if name in options.only.split(",")}
    rounds: dict[str, dict[str, list[Round]]] = {name: {} for name in chosen}
    with beds.make() as bed:
        targets = [t for t in peers.TARGETS if t.name in options.targets.split(",")]
        _, proxies = start(bed, targets)
        for number in range(1, options.rounds + 1):
            for name, sent in chosen.items():
                for proxy in proxies[number % 2 :] + proxies[: number % 2]:
                    got = measure(bed, proxy, number, options.seconds, sent)
                    rounds[name].setdefault(got.target, []).append(got)
                    print(f"{number} {name:10} {_line(got)}", file=sys.stderr, flush=True)
        time.sleep(REST)
    print(table(rounds))
    if not options.dry:
        kept = {
            name: {target: [one.cpu for one in group] for target, group in found.items()}
            for name, found in rounds.items()
        }
        made = {"machine": report.machine(), "versions": report.versions(), "cpu": kept}
        print(report.write_json({"commit": report.commit(), **made}, "shapes"))
    return 0


def table(rounds: dict[str, dict[str, list[Round]]]) -> str:
    """Markdown: µs of CPU a request, and how often nginx's that is."""
    names = sorted(next(iter(rounds.values())))
    lines = ["| requests | " + " | ".join(f"{name} µs | × nginx" for name in names) + " |"]
    lines.append("|---|" + "---:|---:|" * len(names))
    for shape, found in rounds.items():
        medians = {name: statistics.median(one.cpu for one in found[name]) for name in names}
        base = medians.get("nginx", 0.0)
        cells = [f"{cpu * 1e6:.1f} | {cpu / base if base else 0:.2f}" for cpu in medians.values()]
        errors = sum(one.errors for group in found.values() for one in group)
        wrong = f" {errors} ERRORS" if errors else ""
        lossy = " LOSSY" if any(one.lossy for group in found.values() for one in group) else ""
        lines.append(f"| {shape}{wrong}{lossy} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _line(one: Round) -> str:
    return (
        f"{one.target:14} {one.rate:8,.0f}/s {one.cpu * 1e6:6.1f} µs"
        + ("  LOSSY" if one.lossy else "")
        + (f"  {one.errors} ERRORS" if one.errors else "")
    )


if __name__ == "__main__":
    sys.exit(main())
