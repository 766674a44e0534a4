"""What interception adds to two sidecars: `python -m benchmarks.mesh_redirect [--rounds 8]`.

    client -> outbound sidecar -> inbound sidecar -> application

on two hosts in network namespaces of this benchmark's own, once by the sidecars' addresses without
any rule, once by the application's own address with the rules of nftables on both hosts. Ways take
turns. CPU is that of all processes of both sidecars for each request, and of the client, in whose
time the kernel does its part of what is sent. Needs root, nft and ip.

    kept        requests on connections that are kept
    connection  a connection for each request
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks import proc
from proxy.config.mesh_model import Mesh
from proxy.mesh.install import install, remove
from proxy.mesh.rules import Own, redirect
from tests.mesh.hosts import V4, Host, hosts

ROOT = Path(__file__).parents[1]
OWN = 1337  # the group of sidecars, which rules leave alone
PORT, OUT, INTO = 8080, 15001, 15006
KEPT, CONNECTIONS = 5000, 1000  # requests of a round
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + b"x" * 900
CONFIG = f"""
[mesh]
name = "app"
app = "127.0.0.1:{PORT}"
outbound = ":{OUT}"
[access_log]
stdout = false
"""
Took = dict[tuple[str, str, str], list[float]]  # way, what, number: of all rounds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mesh_redirect", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    proc.stop_all_when_ended()
    took: Took = {}
    with hosts("near", "far") as (near, far), tempfile.TemporaryDirectory() as folder:
        serve(far.listen(V4, "0.0.0.0", PORT))
        with sidecar(near, folder) as out, sidecar(far, folder) as into:
            roots = (out.pid, into.pid)
            for number in range(rounds + 1):  # the first warms up
                for way in ("direct", "nft") if number % 2 else ("nft", "direct"):
                    measured = measure(near, far, way, roots)
                    if number:
                        for key, value in measured.items():
                            took.setdefault((way, *key), []).append(value)
    print(table(took))
    return 0


def serve(listener: socket.socket) -> None:
    """Answer all requests, which have no bodies, in threads of their own."""

    def answer(client: socket.socket) -> None:
        with client:
            while client.recv(65536):
                client.sendall(ANSWER)

    def accept() -> None:
        listener.settimeout(None)
        while True:
            client = listener.accept()[0]
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


@contextlib.contextmanager
def sidecar(host: Host, folder: str) -> Iterator[subprocess.Popen[bytes]]:
    file = Path(folder, "routes.toml")
    file.write_text(CONFIG)
    words = ["ip", "netns", "exec", host.name, "setpriv", f"--regid={OWN}", "--clear-groups"]
    words += [sys.executable, "-m", "proxy", "sidecar", str(file)]
    started = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)
    assert started.stderr
    try:
        while b"ready" not in (line := started.stderr.readline()):
            assert line, "the sidecar has ended"
        yield started
    finally:
        started.terminate()
        started.wait(30)


def measure(
    near: Host, far: Host, way: str, roots: tuple[int, int]
) -> dict[tuple[str, str], float]:
    """Microseconds by what is sent, and "cpu" or "p50"."""
    place, host = ("127.0.0.1", OUT), f"{far.v4}:{INTO}"
    if way == "nft":
        place, host = (far.v4, PORT), f"{far.v4}:{PORT}"
    request = f"GET /x HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode()
    found = {}
    with rules(way, near, far):
        for what, number in (("kept", KEPT), ("connection", CONNECTIONS)):
            times, cpu = near.inside(lambda n=number: ask(place, request, n, n == KEPT, roots))  # type: ignore[misc]
            found[what, "cpu"] = cpu / number * 1e6
            found[what, "p50"] = median(times) * 1e6
    return found


@contextlib.contextmanager
def rules(way: str, *places: Host) -> Iterator[None]:
    made = redirect(Mesh(redirect="nft"), Own(OWN, OWN))
    if way == "nft":
        for host in places:
            host.inside(lambda: install(made))
    try:
        yield
    finally:
        for host in places:
            host.inside(remove)


def ask(
    place: tuple[str, int], request: bytes, number: int, kept: bool, roots: tuple[int, int]
) -> tuple[list[float], float]:
    """How long each request took, and the CPU of sidecars and of this thread, in seconds."""
    times, sock = [], None
    before = used(roots) + time.thread_time()
    for _ in range(number):
        begun = time.perf_counter()
        if sock is None:
            sock = socket.create_connection(place, 30)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(request)
        answer = sock.recv(65536)
        while not answer.endswith(b"x" * 900):
            more = sock.recv(65536)
            assert more, answer
            answer += more
        assert answer.startswith(b"HTTP/1.1 200 ")
        if not kept:
            sock.close()
            sock = None
        times.append(time.perf_counter() - begun)
    if sock is not None:
        sock.close()
    return times, used(roots) + time.thread_time() - before


def used(roots: tuple[int, int]) -> float:
    """Seconds that all processes of the sidecars have run."""
    return sum(proc.ran(pid) for root in roots for pid in proc.tree(root))


def table(took: Took) -> str:
    lines = ["| | direct, µs | nft, µs | added |", "|---|---:|---:|---:|"]
    for what in ("kept", "connection"):
        for number in ("cpu", "p50"):
            direct = took["direct", what, number]
            nft = took["nft", what, number]
            added = median(b / a for a, b in zip(direct, nft, strict=True)) - 1
            cells = f"{median(direct):.0f} | {median(nft):.0f} | {added * 100:+.1f} %"
            lines.append(f"| {what}, {number} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
