"""What another client waits at most: tiny requests every few milliseconds, in a process of its own.

    python -m benchmarks.probe NAME=PORT=PATH…

Each target is asked over a connection of its own; a path that begins with /v1/ gets an empty
POST. A line on stdin is answered by a line of JSON, {name: longest wait in seconds}, and the
waits begin anew. A request that is not answered yet counts with what it has waited so far; one
that is refused, and all until the next success, count as one wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping

import uvloop

from benchmarks import fixed

EVERY = 0.004  # seconds between an answer and the next request
MESSAGE = "Content-Type: application/x-protobuf\r\nContent-Length: 0\r\n"


class Target:
    """One port that is asked again and again."""

    def __init__(self, port: int, path: str) -> None:
        self.longest = 0.0
        self.asked = 0.0  # when the request under way was sent; 0 = none is
        self._port = port
        post = path.startswith("/v1/")
        start = f"{'POST' if post else 'GET'} {path} HTTP/1.1\r\nHost: probe.test\r\n"
        self._request = (start + (MESSAGE if post else "") + "\r\n").encode()

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            self.asked = self.asked or time.monotonic()
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._connected()
            await asyncio.sleep(EVERY)

    async def _connected(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.closing(writer):
            while True:
                self.asked = self.asked or time.monotonic()
                writer.write(self._request)
                answer = bytearray()
                while not fixed.whole(answer):
                    piece = await reader.read(1 << 16)
                    if not piece:
                        raise ConnectionResetError
                    answer += piece
                self.longest = max(self.longest, time.monotonic() - self.asked)
                self.asked = 0.0
                await asyncio.sleep(EVERY)

    def take(self) -> float:
        """The longest wait since the last time."""
        waiting = time.monotonic() - self.asked if self.asked else 0.0
        longest, self.longest = max(self.longest, waiting), 0.0
        return longest


class Probe:
    """The process, as its user sees it."""

    def __init__(self, targets: Mapping[str, tuple[int, str]]) -> None:
        words = [f"{name}={port}={path}" for name, (port, path) in targets.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.probe", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def take(self) -> dict[str, float]:
        """The longest waits since the last time, by name."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, float] = json.loads(self._process.stdout.readline())
        return found

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


async def main() -> None:
    """Probe until stdin ends."""
    with contextlib.suppress(OSError):
        os.nice(-10)
    targets = {}
    for word in sys.argv[1:]:
        name, port, path = word.split("=", 2)
        targets[name] = Target(int(port), path)
    tasks = [asyncio.get_running_loop().create_task(target.run()) for target in targets.values()]
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while await reader.readline():
        print(json.dumps({name: target.take() for name, target in targets.items()}), flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    uvloop.run(main())
