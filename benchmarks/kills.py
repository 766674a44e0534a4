"""Records of answered requests that a `kill -9` loses: of a worker, of the collector, of the hub.

`python -m benchmarks.kills [--kills 20] [--only worker,collector,hub] [--small]`. Clients send
requests, each with a trace id of its own, through a gateway to a backend. Under that load one
process is killed again and again. At the end everything has been delivered to a sink that writes
down trace ids, and what was answered is compared with what arrived. The books are looked at all
the while: created = exported + dropped + queued in each, and no counter may fall.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

CLIENTS = 16
BETWEEN = 1.5  # seconds between two kills: one that dies within a second is held to be broken
PATIENCE = 30.0  # seconds for anything to happen
KINDS = ("worker", "collector", "hub")

CONFIG = """
listen = "127.0.0.1:{port}"
workers = 2
processes = "{processes}"
[admin]
listen = "127.0.0.1:{admin}"
[export]
otlp = "http://127.0.0.1:{sink}"
signals = ["traces", "logs"]
[export.retry]
initial = "50ms"
max = "200ms"
[[route]]
path = "/*"
to = "backend"
[upstream.backend]
servers = ["http://127.0.0.1:{backend}"]
"""


@dataclass
class Found:
    """What came of the kills of one kind of process."""

    kills: int = 0
    answered: int = 0
    lost: int = 0
    doubled: int = 0
    scrapes: int = 0
    unbalanced: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, compare, print; the exit code says whether anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", default=",".join(KINDS))
    parser.add_argument("--small", action="store_true", help='with `processes = "small"`')
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        web.run_app(_bed(Path(options.serve[1])), port=int(options.serve[0]), print=None)
        return 0
    wrong = 0
    for kind in options.only.split(","):
        found = _measure(kind, options.kills, "small" if options.small else "separate")
        print(
            f"{kind:10} {found.kills} kills: {found.lost} of {found.answered} answered requests"
            f" lost, {found.doubled} told twice; {found.scrapes} scrapes,"
            f" {len(found.unbalanced)} with books that do not balance or counters that fell"
        )
        for line in found.unbalanced[:5]:
            print(f"    {line}")
        wrong += found.lost + len(found.unbalanced)
    return 1 if wrong else 0


def _measure(kind: str, kills: int, processes: str) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        told.touch()
        port, admin, bed = 18180, 18181, 18182
        file = Path(folder) / "routes.toml"
        file.write_text(
            CONFIG.format(port=port, admin=admin, sink=bed, backend=bed, processes=processes)
        )
        command = [sys.executable, "-m", "benchmarks.kills", "--serve", str(bed), str(told)]
        with _running(command):
            _until(lambda: _get(bed, "/up"))
            found, answered = asyncio.run(Killing(file, port, admin, kind).run(kills))
        ids = Counter(told.read_text().split())
    found.answered = len(answered)
    found.lost = sum(1 for trace in answered if not ids[trace])
    found.doubled = sum(1 for trace in answered if ids[trace] > 1)
    return found


class Killing:
    """One gateway after the other, load on it, and kills."""

    def __init__(self, file: Path, port: int, admin: int, kind: str) -> None:
        self._file = file
        self._port = port
        self._admin = admin
        self._kind = kind
        self._hub: subprocess.Popen[bytes]
        self._answered: list[str] = []
        self._over = False
        self._found = Found()
        self._highest: dict[str, float] = {}

    async def run(self, kills: int) -> tuple[Found, list[str]]:
        try:
            return await self._run(kills)
        finally:
            if self._hub.poll() is None:
                self._hub.kill()

    async def _run(self, kills: int) -> tuple[Found, list[str]]:
        hub = await self._start()
        clients = [asyncio.create_task(self._ask()) for _ in range(CLIENTS)]  # noqa: TID251
        scraping = asyncio.create_task(self._scrape())  # noqa: TID251
        for _ in range(kills):
            await asyncio.sleep(BETWEEN)
            if self._kind == "hub":
                hub = await self._kill_hub(hub)
            else:
                await asyncio.to_thread(self._kill_child, hub)
            self._found.kills += 1
        await asyncio.sleep(BETWEEN)
        self._over = True
        await asyncio.gather(*clients, scraping)
        await asyncio.to_thread(_until, self._is_delivered)
        hub.send_signal(signal.SIGTERM)
        await asyncio.to_thread(hub.wait, PATIENCE)
        return self._found, self._answered

    async def _start(self) -> subprocess.Popen[bytes]:
        self._highest.clear()
        command = [sys.executable, "-m", "proxy", "run", str(self._file)]
        hub = self._hub = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        await asyncio.to_thread(_until, lambda: _get(self._admin, "/ready"))
        return hub

    async def _kill_hub(self, hub: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Its children end by themselves, having delivered what there was."""
        children = list(_children(hub.pid))
        hub.kill()
        hub.wait()
        await asyncio.to_thread(_until, lambda: not any(map(_lives, children)))
        return await self._start()

    def _kill_child(self, hub: subprocess.Popen[bytes]) -> None:
        module = f"proxy.{_MODULES[self._kind]}"

        def alive() -> list[int]:
            return [pid for pid in _children(hub.pid) if module in _words(pid)]

        _until(alive)
        victim = alive()[0]
        os.kill(victim, signal.SIGKILL)
        _until(lambda: not _lives(victim))

    async def _ask(self) -> None:
        """Requests on a connection that is kept for as long as it lives."""
        while not self._over:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    while not self._over:
                        await self._exchange(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(0.01)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trace = secrets.token_hex(16)
        writer.write(
            b"GET /x HTTP/1.1\r\nHost: kills.test\r\ntraceparent: 00-%s-%s-01\r\n\r\n"
            % (trace.encode(), secrets.token_hex(8).encode())
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        if head.startswith(b"HTTP/1.1 200 "):
            self._answered.append(trace)
        if b"connection: close" in head.lower():
            raise OSError("asked to go")

    async def _scrape(self) -> None:
        while not self._over:
            await asyncio.sleep(0.05)
            with suppress(OSError, ValueError):
                self._check(await asyncio.to_thread(_stats, self._admin))

    def _check(self, stats: Any) -> None:
        self._found.scrapes += 1
        for exporter, signals in stats["export"].items():
            for name, book in signals.items():
                done = book["exported"] + sum(book["dropped"].values()) + book["queued"]
                if book["created"] != done:
                    self._found.unbalanced.append(f"{exporter} {name}: {book}")
                for column in ("created", "exported"):
                    key = f"{exporter} {name} {column}"
                    if book[column] < self._highest.get(key, 0):
                        self._found.unbalanced.append(f"{key} fell: {book}")
                    self._highest[key] = book[column]

    def _is_delivered(self) -> bool:
        with suppress(OSError, ValueError):
            books = _stats(self._admin)["export"]
            return not any(b["queued"] for signals in books.values() for b in signals.values())
        return False


_MODULES = {"worker": "server", "collector": "collector"}


def _bed(told: Path) -> web.Application:
    """Backend, and a sink that writes down the trace id of each SERVER span."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    file = told.open("a")

    async def traces(request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if span.kind == span.SPAN_KIND_SERVER:
                        file.write(span.trace_id.hex() + "\n")
        file.flush()
        return web.Response(content_type="application/x-protobuf")

    async def other(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/v1/traces", traces)
    app.router.add_route("*", "/{path:.*}", other)
    return app


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _stats(admin: int) -> Any:
    return json.loads(_get(admin, "/stats"))


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        body: bytes = answer.read()
        return body or b" "


def _until(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError):
            if condition():
                return
        if time.monotonic() > end:
            raise TimeoutError("it did not happen in time")
        time.sleep(0.01)


def _children(pid: int) -> Iterable[int]:
    with suppress(OSError):
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return []


def _words(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return []


def _lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


if __name__ == "__main__":
    sys.exit(main())
