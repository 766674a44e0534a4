"""What many sidecars cost a control plane, and it them: `python -m benchmarks.xds_fleet [clients]
[clusters] [delta|sotw] [real sidecars]`.

One strict server (that of the tests, in this process) has clusters with three endpoints each and a
route to each. Its clients are the whole of `proxy.sources.xds.process` with a hub that says yes to
everything, many in a process; and a few real sidecars, each with hub, worker and child, so that
one can see whether the others are like them. Then one assignment changes, and then the server ends
all streams and is away for a while.

Times are taken where the server is acknowledged, in wall clock, with all of it on one machine: the
server is Python and its core is what bounds them, so that CPU is what to compare.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import socket
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import proc

free_port = import_module("tests.ports").free_port  # tests are not typed

PROCESSES = 2
KINDS = {"Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"}
AWAY = (0.0, 5.0)  # seconds that the server is gone
LONGEST = 400.0
TICKS = os.sysconf("SC_CLK_TCK")
SIDECAR = """
workers = 1
access_log = {{ stdout = false }}
[admin]
listen = "127.0.0.1:{admin}"
[source.xds]
server = "grpc://127.0.0.1:{port}"
node = "{node}"
mode = "{mode}"
"""


class Seen:
    """What the server has heard, with the time of it."""

    def __init__(self) -> None:
        self.accepted: dict[str, set[str]] = {}  # kinds by node
        self.newest: dict[str, tuple[str, float]] = {}  # version of endpoints by node, and when
        self.opened: list[tuple[float, str]] = []  # streams
        self.refused = 0

    def append(self, said: Any) -> None:
        """Takes what the server takes for a list: its answers, and the nodes of new streams."""
        now = time.monotonic()
        if not hasattr(said, "kind"):
            self.opened.append((now, said.id))
        elif said.reason:
            self.refused += 1
        else:
            self.accepted.setdefault(said.node, set()).add(said.kind)
            if said.kind == "ClusterLoadAssignment":
                self.newest[said.node] = (said.version, now)


async def main(clients: int, clusters: int, mode: str, real: int) -> None:
    _more_files()
    made: Any = import_module("tests.peers.xds_made")
    server: Any = import_module("tests.peers.xds_server").Server()
    seen = Seen()
    server.answers = server.nodes = seen
    server.requests = deque(maxlen=1)
    await server.start()
    _fill(server, made, clusters)
    nodes = {f"sim{i}" for i in range(clients)} | {f"real{i}" for i in range(real)}
    print(f"\n{clients} simulated, {real} real, {clusters} clusters, {mode}", flush=True)
    async with _simulated(server.port, clients, mode) as pids:
        before = Costs(pids)
        begun = time.monotonic()
        await _until(lambda: sum(node[0] == "s" for node in _whole(seen)) == clients)
        print(f"first state: all after {time.monotonic() - begun:.2f} s")
        before.show(clients, await _bytes(server.port))
        async with _real(server, made, real, mode) as hubs:
            await _until(lambda: _whole(seen) >= nodes)
            await asyncio.sleep(3)
            for pid in hubs[:2]:
                _show_real(pid)
            if hubs:
                await _show_bytes_of(server, hubs[0])
            await _change(server, seen, nodes, pids, made)
            for away in AWAY:
                await _restart(server, seen, nodes, pids, away)
                await _change(server, seen, nodes, pids, made)
    await server.stop()
    print("refused", seen.refused, "violations", server.violations[:3])


def _fill(server: Any, made: Any, clusters: int) -> None:
    names = [f"c{i}" for i in range(clusters)]
    server.put(*(made.cluster(name, connect_timeout="1s") for name in names))
    server.put(*(made.endpoints(name, 9001, 9002, 9003) for name in names))
    server.put(made.listener("l", 9000, "r"))
    routes = [made.route({"prefix": f"/{name}/"}, name) for name in names]
    server.put(made.routes("r", made.host("v", ["*"], *routes)))


def _whole(seen: Seen) -> set[str]:
    """Nodes that have acknowledged all kinds."""
    return {node for node, kinds in seen.accepted.items() if kinds >= KINDS}


async def _change(server: Any, seen: Seen, nodes: set[str], pids: list[int], made: Any) -> None:
    """One assignment, to everybody."""
    costs, begun = Costs(pids), time.monotonic()
    ports = [9001, 9002, 10_000 + int(begun) % 10_000]
    version = server.put(made.endpoints("c0", *ports))
    await _until(lambda: sum(v == version for v, _ in seen.newest.values()) == len(nodes))
    took = {node: at - begun for node, (_, at) in seen.newest.items()}
    for word in ("sim", "real"):
        times = sorted(1000 * at for node, at in took.items() if node.startswith(word))
        if times:
            p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
            print(f"one change: {word} p50 {p50:.0f}, p99 {p99:.0f}, last {times[-1]:.0f} ms")
    costs.show(len(nodes))


async def _restart(server: Any, seen: Seen, nodes: set[str], pids: list[int], away: float) -> None:
    costs = Costs(pids)
    seen.opened.clear()
    await server.stop()
    stopped = time.monotonic()
    await asyncio.sleep(away)
    await server.start(server.port)
    begun = time.monotonic()
    await _until(lambda: {node for _, node in seen.opened} >= nodes)
    first: dict[str, float] = {}
    for at, node in seen.opened:
        first.setdefault(node, at - begun)
    peak = Counter(int(at * 10) for at in first.values()).most_common(1)[0][1]
    print(
        f"restart, away {begun - stopped:.1f} s: all back {max(first.values()):.2f} s later,"
        f" half {sorted(first.values())[len(first) // 2]:.2f} s, at most {peak} streams in"
        f" 100 ms, {len(seen.opened)} streams in all"
    )
    costs.show(len(nodes))


class Costs:
    """CPU and memory of this process and of those that simulate, since it was made."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._own = time.process_time()
        self._theirs = sum(map(_cpu, pids))
        self._memory = sum(map(_pss, pids))

    def show(self, clients: int, sizes: str = "") -> None:
        own = 1000 * (time.process_time() - self._own) / clients
        theirs = 1000 * (sum(map(_cpu, self._pids)) - self._theirs) / clients
        memory = (sum(map(_pss, self._pids)) - self._memory) / clients
        print(
            f"  for each client: server {own:.2f} ms of CPU, client {theirs:.2f} ms, {memory:.0f}"
            f" KB more{sizes}; server {_pss(os.getpid()) / 1024:.0f} MB in all",
            flush=True,
        )


def _cpu(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / TICKS


def _pss(pid: int) -> int:
    """In KB."""
    return int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0])


def _show_real(pid: int) -> None:
    for one in proc.tree(pid):
        words = Path(f"/proc/{one}/cmdline").read_bytes().decode().split("\0")
        print(f"  real: {' '.join(words[1:4]):<36} {_cpu(one):.2f} s, {_pss(one) / 1024:.1f} MB")


async def _bytes(port: int, more: str = "") -> str:
    """Sent and received by the server for each connection, as its kernel has counted."""
    command = f"ss -tinH state established '( sport = :{port} {more} )'"
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    text = (await process.communicate())[0].decode()
    sent = [int(found) for found in re.findall(r"bytes_sent:(\d+)", text)]
    received = [int(found) for found in re.findall(r"bytes_received:(\d+)", text)]
    if not sent:
        return ", bytes not known without ss"
    return f", {sum(sent) / len(sent):.0f} bytes down, {sum(received) / len(sent):.0f} up"


async def _show_bytes_of(server: Any, pid: int) -> None:
    children = [one for one in proc.tree(pid) if b"sources.xds" in _command(one)]
    process = await asyncio.create_subprocess_shell(
        f"ss -tnpH state established dport = :{server.port} | grep 'pid={children[0]},'",
        stdout=asyncio.subprocess.PIPE,
    )
    found = re.search(r":(\d+)\s", (await process.communicate())[0].decode())
    if found:
        print(f"  real{await _bytes(server.port, f'and dport = :{found[1]}')}")


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def _until(holds: Any) -> None:
    async with asyncio.timeout(LONGEST):
        while not holds():
            await asyncio.sleep(0.05)


def _more_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.asynccontextmanager
async def _simulated(port: int, clients: int, mode: str) -> AsyncIterator[list[int]]:
    """Processes with so many clients, which begin all at once; their pids."""
    running = []
    for index in range(PROCESSES):
        numbers = json.dumps([port, mode, *range(index, clients, PROCESSES)])
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.xds_fleet", "simulate"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(numbers.encode() + b"\n")
        running.append(process)
    for process in running:
        assert process.stdout is not None
        await process.stdout.readline()
    try:
        for process in running:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        yield [process.pid for process in running]
    finally:
        for process in running:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def _real(server: Any, made: Any, number: int, mode: str) -> AsyncIterator[list[int]]:
    """Whole gateways, each with a listener of its own."""
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for index in range(number):
            node = f"real{index}"
            server.put(made.listener("l", free_port(), "r"), node=node)
            file = Path(folder, f"{node}.toml")
            said = {"admin": free_port(), "port": server.port, "node": node, "mode": mode}
            file.write_text(SIDECAR.format(**said))
            command = (sys.executable, "-m", "proxy", "run", str(file))
            running.append(
                await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
            )
        try:
            yield [process.pid for process in running]
        finally:
            for process in running:
                process.terminate()
            for process in running:
                await process.wait()


# the simulated ones


class Hub(asyncio.Protocol):
    """The other end of one client: every state is in force at once."""

    def __init__(self, settings: bytes) -> None:
        frames: Any = import_module("proxy.frames")
        self._words: Any = import_module("proxy.sources.xds.frames")
        self._frames, self._framed = frames.Frames(), frames.encode
        self._settings = settings
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._framed(self._words.START, self._settings, 0))

    def data_received(self, data: bytes) -> None:
        for kind, items, _ in self._frames.feed(data):
            if kind == self._words.GIVEN:
                yes = self._words.encode([])
                self._transport.write(self._framed(self._words.SETTLED, yes, items))


async def simulate(port: int, mode: str, numbers: Iterable[int]) -> None:
    _more_files()
    process: Any = import_module("proxy.sources.xds.process")
    words: Any = import_module("proxy.sources.xds.frames")
    print("up", flush=True)
    sys.stdin.readline()
    loop = asyncio.get_running_loop()
    for number in numbers:
        said = words.Settings(
            f"grpc://127.0.0.1:{port}", mode, f"sim{number}", "fleet", "spangate 0"
        )
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        await loop.create_unix_connection(process.Process, sock=theirs)
        await loop.create_unix_connection(partial(Hub, words.encode(said)), sock=ours)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["simulate"]:
        port, mode, *numbers = json.loads(sys.stdin.readline())
        asyncio.run(simulate(port, mode, numbers))
    else:
        said = [*sys.argv[1:], *["1000", "100", "delta", "10"][len(sys.argv) - 1 :]]
        asyncio.run(main(int(said[0]), int(said[1]), said[2], int(said[3])))
