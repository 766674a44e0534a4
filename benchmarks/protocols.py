"""CPU a request over TLS, HTTP/2 and gRPC, against peers in the same run.

    python -m benchmarks.protocols [--rounds 5] [--seconds 2] [--only h2,grpc,tls,handshake]

h2: HTTP/2 in plaintext, 8 connections of 16 streams (h2load), to an HTTP/1.1 server.
grpc: a unary call by HTTP/2 to a server of HTTP/2, whose answer is a status.
tls: the workload of `run` by TLS 1.3 on kept connections, beside the same in plaintext.
handshake: a full handshake and a connection for each request.

Everything else is as in `run`: interleaved rounds, medians, the CPU of a proxy's whole process
tree, read when the spans of the round have arrived.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import bed as beds
from benchmarks import load, peers, proc, report, stalls_bed, workload
from benchmarks.bed import Bed, Running
from benchmarks.run import REST, settle

MESSAGE = b"\0\0\0\0\x0a" + b"x" * 10  # a gRPC message of ten bytes
CALL = "/shop.v1.Orders/Get"
_H2 = {
    "nginx": {"backlog=4096;": "http2 backlog=4096;"},
    "envoy-traced": {},
    "spangate-100": {},
}
_ENVOY_TO_H2 = """\
  - name: backend
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
"""
_TO_H2 = {
    "envoy-traced": {"  - name: backend\n": _ENVOY_TO_H2},
    "spangate-100": {"[upstream.backend]\n": '[upstream.backend]\nprotocol = "h2"\n'},
}
TLS = {
    "nginx": {
        "backlog=4096;": "ssl backlog=4096; ssl_certificate @DIR@/edge.pem;"
        " ssl_certificate_key @DIR@/edge.key; ssl_protocols TLSv1.3;"
    },
    "spangate-100": {
        'listen  = "127.0.0.1:@PORT@"': 'listen = [{ address = "127.0.0.1:@PORT@",'
        ' tls = { cert = "@DIR@/edge.pem", key = "@DIR@/edge.key" } }]'
    },
}
_PLAIN: dict[str, dict[str, str]] = {"spangate-100": {}}


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of traffic. `edits`: of the configuration of each target that takes part."""

    name: str
    edits: dict[str, dict[str, str]]
    run: Callable[[Bed, Running, float], int]  # answers that were right
    answers: Callable[[Running], bool] | None = None
    backend: bool = False  # it goes to the server of HTTP/2


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; results go to benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.protocols", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default=",".join(case.name for case in CASES))
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    chosen = [case for case in CASES if case.name.split("-")[0] in options.only.split(",")]
    used: dict[str, dict[str, list[float]]] = {case.name: {} for case in chosen}
    with beds.make() as bed:
        certificate(bed.directory)
        behind = _backend(bed)
        started = [(case, proxy) for case in chosen for proxy in _start(bed, case, behind)]
        time.sleep(REST)
        for number in range(1, options.rounds + 1):
            shift = (number - 1) % len(started)
            for case, proxy in started[shift:] + started[:shift]:
                cpu = measure(bed, case, proxy, options.seconds)
                used[case.name].setdefault(_product(proxy), []).append(cpu)
                line = f"{number} {case.name:10} {_product(proxy):14} {cpu * 1e6:8.1f} µs"
                print(line, file=sys.stderr, flush=True)
    print(table(used))
    if not options.dry:
        report.put("protocols", table(used), options.rounds)
        made = {"machine": report.machine(), "versions": report.versions(), "cpu": used}
        print(report.write_json({"commit": report.commit(), **made}, "protocols"))
    return 0


def measure(bed: Bed, case: Case, proxy: Running, seconds: float) -> float:
    """Seconds of CPU for each request of one round."""
    bed.reset()
    before = proc.cpu(proxy.process.pid)
    requests = case.run(bed, proxy, seconds)
    settle(bed, proxy.target, requests)
    return (proc.cpu(proxy.process.pid) - before) / requests


def table(used: dict[str, dict[str, list[float]]]) -> str:
    """Markdown: µs of CPU a request by product, and ours divided by each other's."""
    lines = ["| traffic | µs of CPU a request | ours against it |", "|---|---|---|"]
    for name, found in used.items():
        medians = {product: statistics.median(rounds) for product, rounds in found.items()}
        ours = medians.get("spangate-100", 0.0)
        each = ", ".join(f"{product} {cpu * 1e6:.1f}" for product, cpu in medians.items())
        others = [(p, cpu) for p, cpu in medians.items() if p != "spangate-100"]
        against = ", ".join(f"{product} {ours / cpu:.2f}" for product, cpu in others)
        lines.append(f"| {name} | {each} | {against} |")
    return "\n".join(lines)


def certificate(directory: Path) -> None:
    """A certificate for 127.0.0.1 of its own making: `edge.pem` and `edge.key`, P-256."""
    stalls_bed.certificate(directory, stalls_bed.P256)


def _start(bed: Bed, case: Case, behind: int) -> list[Running]:
    started = []
    for target in peers.TARGETS:
        if target.name not in case.edits or peers.missing(target):
            continue
        name = f"{target.name}-{case.name}"  # of the service, in its spans
        one = replace(target, name=name, edits=case.edits[target.name])
        proxy = bed.start(one, behind if case.backend else 0, answers=case.answers)
        case.run(bed, proxy, 1)  # warm
        started.append(proxy)
    return started


def _backend(bed: Bed) -> int:
    """The port of a server of HTTP/2, started."""
    port = peers.free_port()
    text = (peers.HERE / "peers" / "backend-h2.conf").read_text()
    path = bed.directory / "backend-h2.conf"
    path.write_text(peers.fill(text, {"DIR": str(bed.directory), "PORT": str(port)}))
    command = [str(peers.find("nginx")), "-c", str(path)]
    process = proc.start(command, bed.back, bed.directory / "backend-h2.out")
    bed.stack.callback(proc.stop, process)
    return port


def _product(proxy: Running) -> str:
    return next(t.name for t in peers.TARGETS[::-1] if proxy.target.name.startswith(t.name))


def _h2load(bed: Bed, port: int, seconds: float, *more: str, path: str) -> int:
    fields = [f"{name.lower()}: {value}" for name, value in workload.FIELDS if name != "Host"]
    fields.append("traceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01")
    named = [part for line in fields for part in ("-H", line)]
    command = ["h2load", "-t1", "-c8", "-m16", "-D", str(max(1, round(seconds)))]
    done = subprocess.run(
        [*command, *named, *more, f"http://127.0.0.1:{port}{path}"],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {bed.back}),
    )
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", done.stdout)
    statuses = re.search(r"status codes: (\d+) 2xx", done.stdout)
    if found is None or statuses is None or found[1] == "0" or found[2] != "0":
        raise SystemExit(f"h2load: not all was answered:\n{done.stdout[-900:]}")
    return int(statuses[1])


def _run_h2(bed: Bed, proxy: Running, seconds: float) -> int:
    return _h2load(bed, proxy.port, seconds, path=workload.PATH)


def _run_grpc(bed: Bed, proxy: Running, seconds: float) -> int:
    message = bed.directory / "message"
    message.write_bytes(MESSAGE)
    more = ("-H", "content-type: application/grpc", "-H", "te: trailers", "-d", str(message))
    return _h2load(bed, proxy.port, seconds, *more, path=CALL)


def _run_tls(bed: Bed, proxy: Running, seconds: float) -> int:
    return _wrk(load.run(_https(proxy), seconds, bed.back, bed.directory))


def _run_plain(bed: Bed, proxy: Running, seconds: float) -> int:
    return _wrk(load.run(proxy.port, seconds, bed.back, bed.directory))


def _run_handshake(bed: Bed, proxy: Running, seconds: float) -> int:
    plain = [workload.request(one)[:-2] for one in workload.trace_ids()]
    sent = [request + b"Connection: close\r\n\r\n" for request in plain]
    got = load.run(_https(proxy), seconds, bed.back, bed.directory, requests=sent)
    return _wrk(got)


def _https(proxy: Running) -> str:
    return f"https://127.0.0.1:{proxy.port}/"


def _wrk(got: load.Load) -> int:
    if got.errors > got.requests / 1000:
        raise SystemExit(f"wrk: {got.errors} errors in {got.requests} requests")
    return got.requests


def _speaks_h2(proxy: Running) -> bool:
    """Whether it answers the preface with SETTINGS."""
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as link:
            link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            return link.recv(9)[3:4] == b"\4"
    except OSError:
        return False


def speaks_tls(proxy: Running) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as link:
            return context.wrap_socket(link).version() is not None
    except OSError:
        return False


CASES = (
    Case("h2", _H2, _run_h2, _speaks_h2),
    Case("grpc", _TO_H2, _run_grpc, _speaks_h2, backend=True),
    Case("tls", TLS, _run_tls, speaks_tls),
    Case("tls-plain", _PLAIN, _run_plain),
    Case("handshake", TLS, _run_handshake, speaks_tls),
)

if __name__ == "__main__":
    sys.exit(main())
