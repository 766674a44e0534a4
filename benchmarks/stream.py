"""Large bodies through the gateway and through nginx, down and up, and what memory they take.

`python -m benchmarks.stream [--gib 1] [--rounds 5] [--only nginx,spangate-100]`. Rounds are
interleaved; medians are printed, and ratios to nginx. CPU is that of the process that moves the
bytes and of those beside it, the whole tree. Source and drain are as cheap
as Linux allows, so that the proxy is the one that works: `sendfile` from a file in the page cache,
and `recv` with MSG_TRUNC, which counts the bytes of a TCP stream without copying them.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import bed as beds
from benchmarks import peers, proc, report
from benchmarks.bed import Running

PIECE = 8 * 1024 * 1024  # bytes of the file that is sent again and again
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Stream:
    """One direction through one proxy. Memory in bytes, of the whole process tree."""

    target: str
    direction: str
    gigabytes_per_second: float
    cpu_seconds_per_gigabyte: float
    rss_before: int
    rss_peak: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Stream both ways through each proxy and print; exit code 1 if a byte was missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="nginx,spangate-100")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    size = int(options.gib * GIB)
    streams: list[Stream] = []
    with beds.make() as bed:
        port = peers.free_port()
        command = [sys.executable, "-m", "benchmarks.stream", "--serve", str(port)]
        source = proc.start([*command, str(bed.directory)], bed.back, bed.directory / "source.out")
        bed.stack.callback(proc.stop, source)
        os.sched_setaffinity(0, {bed.back})
        targets = [t for t in peers.TARGETS if t.name in options.only.split(",")]
        proxies = [bed.start(t, backend=port) for t in targets if not peers.missing(t)]
        for number in range(options.rounds):
            for proxy in proxies[number % 2 :] + proxies[: number % 2]:
                for direction, transfer in (("down", _down), ("up", _up)):
                    streams.append(_measure(proxy, direction, transfer, size))
                    print(_line(streams[-1]), file=sys.stderr, flush=True)
    print(table(streams))
    if not options.dry:
        made = {"machine": report.machine(), "versions": report.versions(), "bytes": size}
        print(report.write_json({**made, "streams": [asdict(s) for s in streams]}, "stream"))
    return 0


def table(streams: Sequence[Stream]) -> str:
    """Markdown: medians, and how often nginx's they are."""
    groups: dict[tuple[str, str], list[Stream]] = {}
    for one in streams:
        groups.setdefault((one.direction, one.target), []).append(one)
    rate, cpu = "gigabytes_per_second", "cpu_seconds_per_gigabyte"
    found = {
        key: [statistics.median(getattr(one, name) for one in group) for name in (rate, cpu)]
        for key, group in groups.items()
    }
    lines = ["| | proxy | GB/s | × nginx | s of CPU/GB | × nginx | peak RSS MB |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for (direction, target), (gigabytes, seconds) in sorted(found.items()):
        base = found.get((direction, "nginx"), [gigabytes, seconds])
        peak = max(one.rss_peak for one in groups[direction, target]) / 1e6
        lines.append(
            f"| {direction} | {target} | {gigabytes:.2f} | {gigabytes / base[0]:.2f} "
            f"| {seconds:.2f} | {seconds / base[1]:.2f} | {peak:.0f} |"
        )
    return "\n".join(lines)


def _measure(
    proxy: Running, direction: str, transfer: Callable[[int, int], None], size: int
) -> Stream:
    transfer(proxy.port, PIECE)  # buffers as large as they become
    pids = proc.tree(proxy.process.pid)
    proc.reset_peak(pids)
    before, used, begin = proc.memory(pids), proc.cpu(pids[0]), time.perf_counter()
    transfer(proxy.port, size)
    seconds = time.perf_counter() - begin
    return Stream(
        target=proxy.target.name,
        direction=direction,
        gigabytes_per_second=size / 1e9 / seconds,
        cpu_seconds_per_gigabyte=(proc.cpu(pids[0]) - used) / (size / 1e9),
        rss_before=before.rss,
        rss_peak=proc.memory(pids).peak,
    )


def _line(one: Stream) -> str:
    return (
        f"{one.target:14} {one.direction:5} {one.gigabytes_per_second:6.2f} GB/s"
        f"  {one.cpu_seconds_per_gigabyte:5.2f} s of CPU/GB"
        f"  RSS {one.rss_before / 1e6:.1f} MB before, {one.rss_peak / 1e6:.1f} MB at most"
    )


def _down(port: int, size: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        link.sendall(f"GET /bytes/{size} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        head, body = _head(link)
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(head.decode("latin-1"))
        _drain(link, size - len(body))


def _up(port: int, size: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as link, tempfile.TemporaryFile() as zeros:
        zeros.truncate(PIECE)
        head = f"POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
        link.sendall(head.encode())
        _send(link, zeros.fileno(), size)
        answer, body = _head(link)
        body += link.recv(100) if not body else b""
        if body != b"%020d" % size:
            raise RuntimeError(f"{answer!r} {body!r}")


def serve(port: int, directory: Path) -> None:
    """The source and drain: GET /bytes/N sends N zeros, POST counts what it gets."""
    (directory / "piece").write_bytes(bytes(PIECE))
    with socket.create_server(("127.0.0.1", port), backlog=128) as server:
        while True:
            link, _ = server.accept()
            talk = (link, directory / "piece")
            threading.Thread(target=_converse, args=talk, daemon=True).start()


def _converse(link: socket.socket, piece: Path) -> None:
    with link, piece.open("rb") as zeros:
        while True:
            head, body = _head(link)
            if not head:
                return
            line, fields = head.lower().split(b"\r\n", 1)
            if line.startswith(b"post"):
                size = int(fields.partition(b"content-length:")[2].split(b"\r\n")[0])
                _drain(link, size - len(body))
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n%020d" % size)
            else:
                number = line.split()[1].rpartition(b"/")[2]
                size = int(number) if number.isdigit() else 0
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                _send(link, zeros.fileno(), size)


def _send(link: socket.socket, file: int, size: int) -> None:
    link.setblocking(True)
    while size:
        size -= os.sendfile(link.fileno(), file, 0, min(size, PIECE))


def _drain(link: socket.socket, size: int) -> None:
    nowhere = bytearray(1024 * 1024)
    while size > 0:
        got = link.recv_into(nowhere, min(size, len(nowhere)), socket.MSG_TRUNC)
        if not got:
            raise RuntimeError(f"{size} bytes are missing")
        size -= got


def _head(link: socket.socket) -> tuple[bytes, bytes]:
    """A head and what came with it of the body; two times nothing at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = link.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return head + b"\r\n", body


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(main())
