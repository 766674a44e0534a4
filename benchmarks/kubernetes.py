"""What a cluster costs: `python -m benchmarks.kubernetes [services]`.

The API server of the tests holds that many services with three endpoints each and a route to each
of them; a gateway with one worker takes all of it. Shown: the time until the last route answers,
the memory that it adds to the hub and to the worker (the proportional share of each, Pss), the time
from a changed EndpointSlice to the first request that follows it, and what one takes in the hub and
in the worker in processor time. The times are wall clock but for these, so nothing else should run
beside it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import proc
from benchmarks.endpoints import Both
from proxy.config.model import Balance
from proxy.sources.kubernetes.kinds import KINDS, key_of, read
from proxy.sources.kubernetes.store import Store
from proxy.sources.kubernetes.translate import translate
from proxy.sources.kubernetes.vault import Vault
from proxy.sources.kubernetes.world import Terms, World

free_port = import_module("tests.ports").free_port  # tests are not typed
api_server: Any = import_module("tests.peers.kubernetes_api").api_server
made: Any = import_module("tests.sources.kubernetes.objects")

TEXT = """
workers = 1
access_log = {{ stdout = false }}
[admin]
listen = "127.0.0.1:{admin}"
[source.kubernetes]
server = "{url}"
ports = {{ 80 = {port} }}
"""
ROUNDS = 20


def objects(count: int, ports: list[int]) -> list[Any]:
    found = made.edge()
    for number in range(count):
        name = f"shop/s{number}"
        rule = {"matches": [made.path(f"/s{number}")], "backendRefs": [made.to(f"s{number}")]}
        found += [made.service(name), made.route(name, rule), slice_of(name, ports)]
    return list(found)


def slice_of(name: str, ports: list[int]) -> Any:
    """Three endpoints; the first port is where somebody listens, at 127.0.0.1 to 3."""
    addresses = [f"127.0.0.{last}" for last in (1, 2, 3)]
    return made.endpoints(name, *addresses, ports={"p80": ports[0]})


async def main(count: int) -> None:
    answered = [0, 0]
    backends = [await _backend(answered, number) for number in (0, 1)]
    ports = [backend.sockets[0].getsockname()[1] for backend in backends]
    _pure(objects(count, ports))
    with api_server() as server:
        cluster = server.cluster
        await asyncio.to_thread(cluster.apply, *objects(1, ports))
        async with gateway(server.url) as (process, port, _):
            await until(port, "/s0")
            await _settled(cluster)
            before = memory(process.pid)
        await asyncio.to_thread(cluster.apply, *objects(count, ports))
        begun = time.monotonic()
        async with gateway(server.url) as (process, port, admin):
            await until(port, f"/s{count - 1}")
            print(f"{count} services in force {time.monotonic() - begun:.2f} s after the start")
            await _settled(cluster)
            print(f"{len(cluster.writes)} statuses written {time.monotonic() - begun:.2f} s after")
            after = memory(process.pid)
            for name, amount in after.items():
                print(f"  {name}: {amount:.0f} MB, with one service {before.get(name, 0):.0f} MB")
            times = []
            for turn in range(ROUNDS):
                times.append(await _changed(cluster, port, ports[(turn + 1) % 2], turn, answered))
            print(f"  a changed slice is followed after {median(times) * 1e3:.0f} ms")
            config = await asyncio.to_thread(asked, admin, "/config")
            print("  generation:", json.loads(config)["generation"])
    for backend in backends:
        backend.close()


async def _settled(cluster: Any) -> None:
    """Nothing is written any more."""
    before = -1
    while len(cluster.writes) != before:
        before = len(cluster.writes)
        await asyncio.sleep(2)


async def _changed(cluster: Any, port: int, to: int, turn: int, answered: list[int]) -> float:
    """Seconds until a request goes to the other backend."""
    where = (turn + 1) % 2
    seen = answered[where]
    begun = time.monotonic()
    await asyncio.to_thread(cluster.apply, slice_of("shop/s0", [to]))
    while answered[where] == seen:
        await asyncio.to_thread(asked, port, "/s0")
    return time.monotonic() - begun


def _pure(found: list[Any]) -> None:
    """Processor time of what the hub does."""
    kept: dict[str, dict[Any, Any]] = {}
    raw = [json.dumps(one).encode() for one in found]
    begun = time.thread_time()
    for one, text in zip(found, raw, strict=True):
        thing = read(KINDS[one["kind"]], text)
        kept.setdefault(one["kind"], {})[key_of(thing)] = thing
    print(f"read: {(time.thread_time() - begun) * 1e3:.0f} ms")
    best = []
    for _ in range(5):
        begun = time.thread_time()
        translate(World(kept, {}, time.time()), Terms(), Vault(), "1")
        best.append(time.thread_time() - begun)
    print(f"translated: {min(best) * 1e3:.0f} ms")
    store = Store(lambda service: None)
    for key, one in kept["EndpointSlice"].items():
        store.put("EndpointSlice", key, one)
    times = []
    for number in range(200):
        text = json.dumps(slice_of("shop/s0", [number + 1])).encode()
        begun = time.thread_time()
        thing = read(KINDS["EndpointSlice"], text)
        store.put("EndpointSlice", key_of(thing), thing)
        times.append(time.thread_time() - begun)
    print(f"one slice read and compared: {median(times) * 1e3:.3f} ms")
    both = Both(Balance(), 3)
    changes = []
    for number in range(200):
        servers = {f"http://10.9.9.{last}:{number + 1}": 1 for last in (1, 2, 3)}
        changes.append(both.change(servers))
    hub, worker = (median(one) for one in zip(*changes, strict=True))
    print(f"its servers told: hub {hub:.3f} ms, worker {worker:.3f} ms")


async def _backend(answered: list[int], number: int) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                answered[number] += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return await asyncio.start_server(answer, "0.0.0.0", 0)


@asynccontextmanager
async def gateway(url: str) -> AsyncIterator[tuple[Any, int, int]]:
    port, admin = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "routes.toml")
        file.write_text(TEXT.format(url=url, port=port, admin=admin))
        command = (sys.executable, "-m", "proxy", "run", str(file))
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        try:
            yield process, port, admin
        finally:
            process.terminate()
            await process.wait()


async def until(port: int, path: str) -> None:
    while True:
        try:
            await asyncio.to_thread(asked, port, path)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            return


def asked(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return bytes(answer.read())


def memory(pid: int) -> dict[str, float]:
    """MB by process: the first is the hub."""
    found: dict[str, float] = {}
    for place, one in enumerate(proc.tree(pid)):
        words = Path(f"/proc/{one}/cmdline").read_bytes().decode().split("\0")
        name = "hub" if place == 0 else next((w for w in words if w.startswith("proxy.")), "other")
        pss = Path(f"/proc/{one}/smaps_rollup").read_text().split("Pss:")[1].split()[0]
        found[name] = found.get(name, 0) + int(pss) / 1024
    return found


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
