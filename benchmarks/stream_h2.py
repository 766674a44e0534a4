"""Large bodies by HTTP/2, down and up, to backends of HTTP/1.1 and of HTTP/2.

    python -m benchmarks.stream_h2 [--gib 1] [--rounds 3] [--only nginx,envoy-traced,spangate-100]

As `benchmarks.stream`, whose source and drain are behind all of it, but the client is curl, by
prior knowledge; the backend of HTTP/2 is an nginx before them (nginx itself has no upstreams of
HTTP/2, so its figures are with HTTP/1.1 behind). Client and backends share a core, and are what
holds the rate back: seconds of CPU for a gigabyte, and memory, are the proxy's own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace

from benchmarks import bed as beds
from benchmarks import peers, proc, protocols, report, stream
from benchmarks.bed import Bed, Running

_CURL = ("curl", "--http2-prior-knowledge", "-sS", "--fail", "--max-time", "300")
_TO_H2 = "-to-h2"  # in the names of targets


def main(arguments: Sequence[str] | None = None) -> int:
    """Stream both ways through each proxy and print; ends with 1 if a byte was missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_h2", description=__doc__)
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="nginx,envoy-traced,spangate-100")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    size = int(options.gib * stream.GIB)
    streams: list[stream.Stream] = []
    with beds.make() as bed:
        os.sched_setaffinity(0, {bed.back})
        proxies = _start(bed, options.only.split(","))
        for number in range(options.rounds):
            shift = number % len(proxies)
            for proxy in proxies[shift:] + proxies[:shift]:
                for direction, transfer in (("down", _down), ("up", _up)):
                    streams.append(stream._measure(proxy, direction, transfer, size))
                    print(stream._line(streams[-1]), file=sys.stderr, flush=True)
    print(stream.table(streams))
    if not options.dry:
        report.put("stream_h2", stream.table(streams), options.rounds)
        made = {"machine": report.machine(), "versions": report.versions(), "bytes": size}
        print(report.write_json({**made, "streams": [asdict(s) for s in streams]}, "stream_h2"))
    return 0


def _start(bed: Bed, names: Sequence[str]) -> list[Running]:
    """Each proxy, once for each kind of backend that it can talk to."""
    port = peers.free_port()
    command = [sys.executable, "-m", "benchmarks.stream", "--serve", str(port), str(bed.directory)]
    bed.stack.callback(proc.stop, proc.start(command, bed.back, bed.directory / "source.out"))
    h2_port = peers.free_port()
    text = (peers.HERE / "peers" / "stream-h2.conf").read_text()
    values = {"DIR": str(bed.directory), "PORT": str(h2_port), "BACKEND": str(port)}
    path = bed.directory / "stream-h2.conf"
    path.write_text(peers.fill(text, values))
    command = [str(peers.find("nginx")), "-c", str(path)]
    bed.stack.callback(proc.stop, proc.start(command, bed.back, bed.directory / "stream-h2.out"))
    started = []
    to_h1, to_h2 = protocols.CASES[:2]
    for case, behind, suffix in ((to_h1, port, ""), (to_h2, h2_port, _TO_H2)):
        for target in peers.TARGETS:
            if target.name not in names or target.name not in case.edits or peers.missing(target):
                continue
            one = replace(target, name=target.name + suffix, edits=case.edits[target.name])
            started.append(bed.start(one, backend=behind, answers=case.answers))
    return started


def _down(port: int, size: int) -> None:
    url = f"http://127.0.0.1:{port}/bytes/{size}"
    told = _curl("-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_download}", url)
    if told != f"2 200 {size}":
        raise RuntimeError(told)


def _up(port: int, size: int) -> None:
    with tempfile.NamedTemporaryFile() as zeros:
        zeros.truncate(size)
        body = ("-X", "POST", "-T", zeros.name, "-w", " %{http_version} %{http_code}")
        told = _curl(*body, f"http://127.0.0.1:{port}/drain")
    if told != f"{size:020} 2 200":
        raise RuntimeError(told)


def _curl(*arguments: str) -> str:
    done = subprocess.run([*_CURL, *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
