"""One of two backends is killed and started again, 20 times under load: what clients see of it.

`python -m benchmarks.restarts [--restarts 20] [--rate 200]`. Both backends are processes; the one
is killed (SIGKILL, with requests under way) each half second, and started again at the same port.
Requests come at a steady rate through a gateway of two workers with `retry = 2`; each has a number
that the backend writes down before it answers. Told are, for GET and for POST, what clients got,
and how many of the numbers a backend has seen twice. A POST that was under way when its backend
died is an error, since nobody can know whether it was done; it must never be sent again.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from proxy.tasks import spawn

CLIENTS = 20
TAKES = 0.004  # seconds that a backend takes to answer
CONFIG = """
listen = "127.0.0.1:0"
workers = 2
[access_log]
stdout = false
[log]
format = "text"
[[route]]
path = "/*"
to = "u"
retry = {{ times = 2, backoff = "1ms" }}
[upstream.u]
servers = [{servers}]
"""


async def serve(port: int, log: Path) -> None:
    """A backend: write each request's number down, then answer it."""
    book = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                os.write(book, head.split(b" ", 2)[1][1:] + b"\n")
                await asyncio.sleep(TAKES)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


class Backend:
    """A process that can be killed and started again at its port."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = log
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks.restarts", "--serve", str(self.port)]
        process = subprocess.Popen([*command, "--log", str(self._log)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def kill(self) -> None:
        """At once, whatever it is doing."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    async def restart(self) -> None:
        """Dead, and there again."""
        self.kill()
        self._process = await asyncio.to_thread(self._start)


@contextmanager
def gateway(folder: Path, backends: Sequence[Backend]) -> Iterator[int]:
    """The port of one that runs."""
    servers = ", ".join(f'"http://127.0.0.1:{one.port}"' for one in backends)
    file = folder / "routes.toml"
    file.write_text(CONFIG.format(servers=servers))
    said = folder / "log"
    with said.open("wb") as out:
        hub = subprocess.Popen([sys.executable, "-m", "proxy", "run", str(file)], stderr=out)
    try:
        while not (found := re.search(r"ready: http on 127\.0\.0\.1:(\d+)", said.read_text())):
            assert hub.poll() is None, said.read_text()
            time.sleep(0.05)
        yield int(found[1])
    finally:
        hub.terminate()
        hub.wait()


async def client(
    port: int,
    method: str,
    pause: float,
    numbers: Iterator[int],
    seen: Counter[str],
    over: asyncio.Event,
) -> None:
    """One request each `pause`, on one connection, until it is `over`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(random.uniform(0, pause))
    while not over.is_set():
        due = time.monotonic() + pause
        head = f"{method} /{next(numbers)} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        try:
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = re.search(r"(?i)content-length: (\d+)", answer)
            await reader.readexactly(int(length[1]) if length else 0)
            seen[answer.split()[1]] += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            seen["cut"] += 1
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    writer.close()


async def measured(method: str, restarts: int, rate: float) -> str:
    """One run, as a row."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backends = [Backend(folder / "seen") for _ in range(2)]
        for backend in backends:
            stack.callback(backend.kill)
        port = stack.enter_context(gateway(folder, backends))
        seen: Counter[str] = Counter()
        over = asyncio.Event()
        numbers, pause = itertools.count(), CLIENTS / rate
        clients = [
            spawn(client(port, method, pause, numbers, seen, over), "client")
            for _ in range(CLIENTS)
        ]
        for _ in range(restarts):
            await asyncio.sleep(0.5)
            await backends[1].restart()
        over.set()
        await asyncio.gather(*clients)
        twice = Counter((folder / "seen").read_text().split())
    again = sum(times > 1 for times in twice.values())
    others = ", ".join(f"{n} {what}" for what, n in sorted(seen.items()) if what != "200")
    return f"| {method} | {restarts} | {seen.total()} | {others or 'none'} | {again} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restarts", description=__doc__)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200, help="requests a second, of all")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve(options.serve, options.log))
        return 0
    print(
        "| requests | restarts | answers | other than 200 | sent twice |\n|---|---:|---:|---|---:|"
    )
    for method in ("GET", "POST"):
        print(asyncio.run(measured(method, options.restarts, options.rate)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
