"""Reloads, upgrades and killed workers under load: what clients notice of them, and the books.

`python -m benchmarks.changes [--seconds 60] [--reloads 20] [--upgrades 3]`. Clients that keep their
connections, clients that open one for each request, slow downloads and WebSockets go through a
gateway of two workers, while its configuration is changed (each fifth time with another listener,
which replaces the workers) and other processes take over. Expected are 0 failed, 0 refused, 0 cut.
Then each worker is killed (SIGKILL): it is stopped first, so that what it has in flight can be
counted, and errors may be no more than that. At the end the books of all generations are added up
and compared with what a sink has got over OTLP. Exit code 1 if anything is not as expected.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import changes_load as load
from benchmarks.peers import free_port

KEPT, ANEW, DOWNLOADS, SOCKETS = 12, 4, 4, 6  # clients of each kind
STOPPED = 0.1  # seconds that a worker is held before it is killed
SETTLES = 2.0  # seconds after a kill in which errors are of it
PATIENCE = 60.0
TOKEN = "s3cret"
FILE = """
listen = [{listen}]
workers = 2
drain_timeout = "30s"
[admin]
listen = "127.0.0.1:{admin}"
token = "{token}"
[access_log]
stdout = false
[log]
format = "text"
[tracing]
sample = 1.0
[export]
traces = "http://127.0.0.1:{sink}"
[[route]]
path = "/generation"
respond = {{ status = 200, body = "{number}" }}
[[route]]
path = "/*"
to = "http://127.0.0.1:{backend}"
"""


class Gateway:
    """The gateway, whoever is in charge of it, and its books by process."""

    def __init__(self, folder: Path, backend: int, sink: int) -> None:
        self.file = folder / "routes.toml"
        self.log = folder / "log"
        self.port, self.other, self.admin = free_port(), free_port(), free_port()
        self.books: dict[int, Any] = {}  # of those that have ended
        self.pids: list[int] = []
        self._number = 0
        self._known = {"backend": backend, "sink": sink, "admin": self.admin, "token": TOKEN}

    async def start(self) -> None:
        self.write()
        with self.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "proxy", "run", str(self.file),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.pids.append(process.pid)
        await eventually(lambda: " ready: " in self.log.read_text())

    def write(self) -> None:
        """The next configuration; each fifth one has one listener more."""
        self._number += 1
        listen = f'"127.0.0.1:{self.port}"'
        if self._number % 5 == 0:
            listen += f', "127.0.0.1:{self.other}"'
        new = self.file.with_suffix(".new")
        new.write_text(FILE.format(listen=listen, number=self._number, **self._known))
        new.replace(self.file)

    async def reload(self) -> None:
        self.write()
        status, said = await load.fetch(
            self.admin, "POST", "/reload", f"Authorization: Bearer {TOKEN}\r\n"
        )
        if status != 200:
            raise RuntimeError(f"a reload was refused: {said.decode()}")

    async def upgrade(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proxy", "upgrade", str(self.pids[-1]),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, why = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"an upgrade failed: {why.decode()}")
        self.pids.append(int(said))

    async def stats(self) -> Any:
        return json.loads((await load.fetch(self.admin, "GET", "/stats"))[1])

    def last_words(self) -> dict[int, Any]:
        """The books of those that have ended, as their log has them."""
        found = re.findall(r"the books of process (\d+): (\{.*\})", self.log.read_text())
        return {int(pid): json.loads(said) for pid, said in found}

    async def end(self) -> None:
        """Wait until all is delivered, note the books of the last one, and end it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = await self.stats()
            queued = [b["queued"] for e in found["export"].values() for b in e.values()]
            if not any(queued) and not any(map(alive, self.pids[:-1])):
                break
            await asyncio.sleep(0.2)
        self.books = self.last_words()
        self.books[self.pids[-1]] = (await self.stats())["export"]
        self.kill(signal.SIGTERM)
        await eventually(lambda: not any(map(alive, self.pids)))

    def kill(self, number: int = signal.SIGKILL) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


async def changes(gateway: Gateway, seconds: float, reloads: int, upgrades: int) -> None:
    """All of them, at even distances, the upgrades between reloads."""
    steps = sorted(
        [((i + 0.5) / reloads, gateway.reload) for i in range(reloads)]
        + [((i + 0.25) / upgrades, gateway.upgrade) for i in range(upgrades)],
        key=lambda step: step[0],
    )
    begun = time.monotonic()
    for at, step in steps:
        await asyncio.sleep(max(0.0, begun + at * seconds - time.monotonic()))
        await step()
    await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))


async def kills(gateway: Gateway, crowd: load.Crowd) -> list[tuple[int, int]]:
    """(errors, in flight) of each worker that was killed."""
    found = []
    for slot in range(2):
        workers = [w for w in (await gateway.stats())["workers"] if w["slot"] == slot]
        pid = next(w["pid"] for w in workers if w["state"] == "ready")
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(STOPPED)
        in_flight, before = crowd.in_flight(gateway.port, pid), crowd.wrong()
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(SETTLES)
        found.append((crowd.wrong() - before, in_flight))
    return found


async def measure(options: argparse.Namespace, folder: Path) -> bool:
    """Print what was found; whether it is as expected."""
    async with load.Backend() as backend, load.Sink() as sink:
        gateway = Gateway(folder, backend.port, sink.port)
        try:
            await gateway.start()
            crowd = load.Crowd(gateway.port, life=min(8.0, options.seconds / 3))
            crowd.start({"kept": KEPT, "anew": ANEW, "download": DOWNLOADS, "websocket": SOCKETS})
            await changes(gateway, options.seconds, options.reloads, options.upgrades)
            noticed = crowd.tell()
            killed = await kills(gateway, crowd)
            await crowd.stop()
            await gateway.end()
        except BaseException:
            sys.stderr.write(gateway.log.read_text()[-3000:])
            raise
        finally:
            gateway.kill()
    print(f"{options.reloads} reloads, {options.upgrades} upgrades in {options.seconds:g} s")
    for kind, line in noticed.items():
        print(f"  {kind:10} {line}")
    for errors, in_flight in killed:
        print(f"  kill -9: {errors} errors, {in_flight} in flight")
    unnoticed = not any(line.wrong for line in noticed.values())
    few = all(errors <= in_flight for errors, in_flight in killed)
    return balance(gateway, sink.spans) and unnoticed and few


def balance(gateway: Gateway, received: int) -> bool:
    """Add up the books of all generations."""
    books = [
        book
        for pid in gateway.pids
        for name, exporter in gateway.books.get(pid, {}).items()
        if name != "recent"
        for signal_name, book in exporter.items()
        if signal_name == "traces"
    ]
    created, exported, queued = (
        sum(book[key] for book in books) for key in ("created", "exported", "queued")
    )
    dropped = sum(sum(book["dropped"].values()) for book in books)
    print(
        f"  books of {len(books)} generations: created {created} = exported {exported}"
        f" + dropped {dropped} + queued {queued}; the sink has {received} spans"
    )
    complete = len(books) == len(gateway.pids)
    return complete and created == exported + dropped + queued and exported == received


async def eventually(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not happen in time")
        await asyncio.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--upgrades", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = asyncio.run(measure(options, Path(folder)))
    print("as expected" if good else "NOT as expected")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
