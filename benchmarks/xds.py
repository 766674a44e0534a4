"""What a large control plane costs: `python -m benchmarks.xds [clusters] [changes a second]`.

The strict server of the tests gives clusters with three endpoints each and a route to each of
them; a gateway with one worker takes all of it, and says so by acknowledging. Then endpoints change
at a rate while requests run: none may fail, and no loop may be late. Memory is the proportional
share of each process (Pss). The time of loading is wall clock, so nothing else should run beside
it; the longest turn of each loop is that process's own (see `turns.py`), so that neighbours and the
load do not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import proc

free_port = import_module("tests.ports").free_port  # tests are not typed
turns: Any = import_module("benchmarks.turns")
made: Any = import_module("tests.peers.xds_made")
Server: Any = import_module("tests.peers.xds_server").Server

SECONDS = 10.0
TEXT = """
workers = 1
access_log = {{ stdout = false }}
[admin]
listen = "127.0.0.1:{admin}"
[source.xds]
server = "grpc://127.0.0.1:{port}"
node = "bench"
"""
TICKS = os.sysconf("SC_CLK_TCK")


async def main(clusters: int, rate: int) -> None:
    backend = await asyncio.start_server(_answer, "127.0.0.1", 0)
    ports = [backend.sockets[0].getsockname()[1], *(free_port() for _ in range(2))]
    server = Server()
    await server.start()
    listen, admin = free_port(), free_port()
    names = [f"c{i}" for i in range(clusters)]
    server.put(*(made.cluster(name, connect_timeout="1s") for name in names))
    server.put(*(made.endpoints(name, ports[0], *ports[1:]) for name in names[1:]))
    server.put(made.endpoints("c0", ports[0]))
    server.put(made.listener("l", listen, "r"))
    routes = [made.route({"prefix": f"/{name}/"}, name) for name in names]
    version = server.put(made.routes("r", made.host("v", ["*"], *routes)))
    async with gateway(TEXT.format(admin=admin, port=server.port)) as (process, watch):
        begun = time.monotonic()
        await server.answered("RouteConfiguration", version)
        while not await asyncio.to_thread(_is_up, listen):
            await asyncio.sleep(0.02)
        print(f"{clusters} clusters in force after {time.monotonic() - begun:.2f} s of wall clock")
        show(process.pid, watch)
        await asyncio.sleep(3)  # the reports of a new worker, and what the admin page imports
        await changes(server, listen, names, rate, ports)
        show(process.pid, watch)
    await server.stop()
    print("violations", server.violations[:3])


async def changes(server: Any, listen: int, names: list[str], rate: int, ports: list[int]) -> None:
    """Endpoints of all clusters in turn, while requests go to the first of them."""
    stop = asyncio.Event()
    load = asyncio.get_running_loop().create_task(_load(listen, stop))
    begun, done = time.monotonic(), 0
    version = ""
    while (passed := time.monotonic() - begun) < SECONDS:
        while done < rate * passed:
            name = names[done % len(names)]
            more = ports[1:] if done // len(names) % 2 else ports[1:2]
            version = server.put(made.endpoints(name, ports[0], *([] if name == "c0" else more)))
            done += 1
        await asyncio.sleep(0.005)
    await server.answered("ClusterLoadAssignment", version)
    took = time.monotonic() - begun
    stop.set()
    good, bad = await load
    print(f"{done} changes, acknowledged after {took:.2f} s; requests: {good} good, {bad} bad")


async def _load(port: int, stop: asyncio.Event) -> tuple[int, int]:
    good = bad = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not stop.is_set():
        await asyncio.sleep(0.002)  # it is to see failures, not to load
        writer.write(b"GET /c0/x HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        good, bad = (good + 1, bad) if b" 200 " in head[:13] else (good, bad + 1)
    writer.close()
    return good, bad


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@contextlib.asynccontextmanager
async def gateway(text: str) -> AsyncIterator[tuple[Any, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "routes.toml")
        file.write_text(text)
        command = (sys.executable, "-m", "proxy", "run", str(file))
        watch = turns.Turns(Path(folder))
        environment = {**os.environ, **watch.environment()}
        process = await asyncio.create_subprocess_exec(*command, env=environment)
        try:
            yield process, watch
        finally:
            process.terminate()
            await process.wait()


def _is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/c0/x", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def show(pid: int, watch: Any) -> None:
    """What each process has taken, and its longest turn since this was shown last."""
    whole = 0
    for one in proc.tree(pid):
        pss = Path(f"/proc/{one}/smaps_rollup").read_text().split("Pss:")[1].split()[0]
        words = Path(f"/proc/{one}/cmdline").read_bytes().decode().split("\0")
        stat = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(stat[11]) + int(stat[12])) / TICKS
        whole += int(pss)
        turn = watch.read(one).own * 1000
        watch.reset(one)
        print(
            f"  {' '.join(words[1:4]):<36} {int(pss) / 1024:7.1f} MB {cpu:7.2f} s of CPU,"
            f" longest turn {turn:.1f} ms"
        )
    print(f"  in all {whole / 1024:.1f} MB")


if __name__ == "__main__":
    said = [int(word) for word in sys.argv[1:]]
    asyncio.run(main(*(said + [10_000, 1000][len(said) :])))
