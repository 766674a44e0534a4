"""How long it takes until a backend hears that a client has cancelled its request.

    python -m benchmarks.cancel [--times 200] [--only nginx,envoy-traced,spangate-100] [--dry]

A client of HTTP/2 asks, and when the request has reached the backend, which does not answer, it
sends RST_STREAM. A backend of HTTP/1.1 hears of it by the end of its connection, one of HTTP/2 by
RST_STREAM. Client and backend are one process, so the time between the two is read from one clock.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import bed as beds
from benchmarks import peers, protocols, report
from benchmarks.bed import Running
from benchmarks.floods import frame

_HEADERS, _RST_STREAM, _SETTINGS, _PING, _ACK = 1, 3, 4, 6, 1
_GET = b"\x82\x86\x84\x41\x01a"  # GET http://a/ in HPACK
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_CANCEL = b"\0\0\0\x08"
_PATIENCE = 10.0  # seconds

Row = tuple[str, str, list[float]]


class Link:
    """One end of a connection that speaks HTTP/2, frame by frame."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._data = b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(_PATIENCE)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()

    def read(self, size: int) -> bytes:
        """Exactly so many bytes; ConnectionError if they do not come."""
        while len(self._data) < size:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError("closed in the middle")
            self._data += more
        found, self._data = self._data[:size], self._data[size:]
        return found

    def wait(self, wanted: int) -> int:
        """The stream of the next frame of this kind; SETTINGS and PING are acknowledged."""
        while True:
            head = self.read(9)
            kind, flags, payload = head[3], head[4], self.read(int.from_bytes(head[:3]))
            if kind == wanted:
                return int.from_bytes(head[5:]) & 0x7FFFFFFF
            if kind == _SETTINGS and not flags & _ACK:
                self.send(frame(_SETTINGS, _ACK, 0))
            elif kind == _PING and not flags & _ACK:
                self.send(frame(_PING, _ACK, 0, payload))


class H1Backend:
    """Reads one head on each connection, and waits for its end."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server

    def asked(self) -> None:
        self._link, _ = self._server.accept()
        self._link.settimeout(_PATIENCE)
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._link.recv(65536)

    def cancelled(self) -> None:
        with contextlib.suppress(ConnectionResetError):
            assert self._link.recv(1) == b""
        self._link.close()


class H2Backend:
    """One connection for all streams."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._link: Link | None = None
        self._stream = 0

    def asked(self) -> None:
        if self._link is None:
            self._link = Link(self._server.accept()[0])
            assert self._link.read(len(_PREFACE)) == _PREFACE
            self._link.send(frame(_SETTINGS, 0, 0))
        self._stream = self._link.wait(_HEADERS)

    def cancelled(self) -> None:
        assert self._link is not None and self._link.wait(_RST_STREAM) == self._stream


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; results go to benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cancel", description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--only", default="nginx,envoy-traced,spangate-100")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    to_h1, to_h2 = protocols.CASES[:2]
    rows: list[Row] = []
    with beds.make() as bed:
        for case, kind in ((to_h1, H1Backend), (to_h2, H2Backend)):
            for target in peers.TARGETS:
                wanted = target.name in options.only.split(",") and target.name in case.edits
                if not wanted or peers.missing(target):
                    continue
                edited = replace(target, edits=case.edits[target.name])
                with socket.create_server(("127.0.0.1", 0)) as server:
                    server.settimeout(_PATIENCE)
                    port = server.getsockname()[1]
                    proxy = bed.start(edited, backend=port, sink=bed.backend, answers=case.answers)
                    took = _measure(proxy, kind(server), options.times)
                    bed.stop(proxy)
                rows.append((target.name, case.name, took))
    print(table(rows))
    if not options.dry:
        report.put("cancel", table(rows))
        found = [dict(zip(("target", "case", "seconds"), row, strict=True)) for row in rows]
        made = {"machine": report.machine(), "versions": report.versions(), "took": found}
        print(report.write_json(made, "cancel"))
    return 0


def _measure(proxy: Running, backend: H1Backend | H2Backend, times: int) -> list[float]:
    """Seconds from a client's RST_STREAM until the backend has heard of it, each time."""
    took = []
    client = Link(socket.create_connection(("127.0.0.1", proxy.port)))
    client.send(_PREFACE + frame(_SETTINGS, 0, 0) + frame(_SETTINGS, _ACK, 0))
    for number in range(times):
        stream = 2 * number + 1
        client.send(frame(_HEADERS, 5, stream, _GET))
        backend.asked()
        begin = time.perf_counter()
        client.send(frame(_RST_STREAM, 0, stream, _CANCEL))
        backend.cancelled()
        took.append(time.perf_counter() - begin)
    client.close()
    return took


def table(rows: Sequence[Row]) -> str:
    """Markdown, in milliseconds."""
    lines = [
        "| proxy | backend | times | median ms | p99 ms | at most |",
        "|---|---|" + "---:|" * 4,
    ]
    for name, case, took in rows:
        p99 = statistics.quantiles(took, n=100)[98]
        numbers = [f"{value * 1e3:.2f}" for value in (statistics.median(took), p99, max(took))]
        behind = "HTTP/1.1" if case == "h2" else "HTTP/2"
        lines.append(f"| {name} | {behind} | {len(took)} | {' | '.join(numbers)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
