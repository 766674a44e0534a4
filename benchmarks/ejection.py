"""How soon a server that fails half its requests is put out, and what clients see of it.

`python -m benchmarks.ejection [--servers 3] [--rate 200] [--seconds 10]`. Requests come at a steady
rate through a gateway of two workers; after a second one of the servers begins to answer every
other request, by chance, with 500. Twice: without retries, and with `retry = { times = 2 }`. Told
are the seconds until it is out, from the gateway's log, and the share of errors among all answers
to clients since it began to fail.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from proxy.tasks import spawn

CLIENTS = 20
SETTLES = 1.0  # seconds until one begins to fail
CONFIG = """
listen = "127.0.0.1:0"
workers = 2
[admin]
listen = "127.0.0.1:0"
[access_log]
stdout = false
[log]
format = "text"
[[route]]
path = "/*"
to = "u"
{retry}
[upstream.u]
servers = [{servers}]
eject = {{ errors = 5, success_rate = true, base = "30s", max = 0.5 }}
"""
RETRY = 'retry = { times = 2, on = [500], backoff = "1ms" }'


@dataclass
class Server:
    """Answers 200, or 500 every other time where it `fails`."""

    fails: bool = False
    asked: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked += 1
                bad = self.fails and random.random() < 0.5
                status = b"500 Internal Server Error" if bad else b"200 OK"
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def client(port: int, pause: float, seen: list[int], end: float) -> None:
    """One request each `pause`, on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(random.uniform(0, pause))
    while (due := time.monotonic() + pause) < end:
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        seen.append(int(head.split()[1]))
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    writer.close()


async def measured(options: argparse.Namespace, retry: str) -> str:
    """One run, as a row."""
    async with AsyncExitStack() as stack:
        servers = [Server() for _ in range(options.servers)]
        urls = []
        for server in servers:
            opened = await asyncio.start_server(server.serve, "127.0.0.1", 0)
            stack.callback(opened.close)
            urls.append(f'"http://127.0.0.1:{opened.sockets[0].getsockname()[1]}"')
        file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "routes.toml"
        file.write_text(CONFIG.format(retry=retry, servers=", ".join(urls)))
        hub = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "run", str(file)), stderr=asyncio.subprocess.PIPE
        )
        try:
            return await _drive(hub, servers, options, retry)
        finally:
            hub.terminate()
            await hub.communicate()


async def _drive(
    hub: asyncio.subprocess.Process, servers: list[Server], options: argparse.Namespace, retry: str
) -> str:
    port = int((await _line(hub, r"ready: http on 127\.0\.0\.1:(\d+)"))[1])
    seen: list[int] = []
    end = time.monotonic() + SETTLES + options.seconds
    pause = CLIENTS / options.rate
    clients = [spawn(client(port, pause, seen, end), "client") for _ in range(CLIENTS)]
    await asyncio.sleep(SETTLES)
    seen.clear()
    servers[0].fails, began = True, time.monotonic()
    said = await asyncio.wait_for(_line(hub, r"is ejected for (.*)"), options.seconds)
    took = time.monotonic() - began
    await asyncio.gather(*clients)
    errors = sum(status >= 500 for status in seen)
    share = f"{errors} of {len(seen)}, {errors / len(seen):.2%}"
    return f"| {'with' if retry else 'without'} | {took:.2f} s | {share} | {said[1]} |"


async def _line(hub: asyncio.subprocess.Process, pattern: str) -> re.Match[str]:
    assert hub.stderr is not None
    async for line in hub.stderr:
        if found := re.search(pattern, line.decode().rstrip()):
            return found
    raise SystemExit("the gateway ended")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ejection", description=__doc__)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--rate", type=int, default=200, help="requests a second, of all")
    parser.add_argument("--seconds", type=float, default=10.0, help="from the first failure on")
    options = parser.parse_args(arguments)
    print("| retries | out after | errors that clients saw | log |\n|---|---:|---:|---|")
    for retry in ("", RETRY):
        print(asyncio.run(measured(options, retry)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
