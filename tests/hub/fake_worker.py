"""A stand-in for the worker process: answers every request and speaks the frames.

Started like the real one. Paths tell it what to do: /crash exits at once, /slow answers after
0.5 s, anything else answers with the worker's id. Each request makes one span, which is in the
ring before the answer. The name of a route tells what it does with a configuration, "NAME" in all
workers or "NAME-ID" in one of them:

    poison       dies while it prepares it       refuse  refuses it        silent  never answers
    die          dies when it has prepared it    hang    never applies it
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import os
import socket
from typing import Any

from proxy.config.model import Config
from proxy.config.wire import Unpacker
from proxy.ring import REQUESTS
from proxy.server import endpoints, frames
from proxy.server.ring import Ring
from proxy.telemetry import report
from proxy.telemetry.metrics import Registry


class Fake:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.id = arguments.id
        self.registry = Registry()
        self.requests = self.registry.number("spangate.downstream.connections")
        self.ring = Ring(mmap.mmap(arguments.ring, 0), arguments.wake)
        self.running = 0
        self.draining = False
        self.servers: list[asyncio.Server] = []
        self.sockets = [
            (address, socket.socket(fileno=int(fd)))
            for address, _, fd in (text.rpartition("=") for text in arguments.socket)
        ]
        self.config: Any = None
        self.unpacker = Unpacker()
        self.prepared: dict[int, Config] = {}
        self.dies = self.hangs = False
        self.health: dict[Any, bool] = {}

    async def run(self, link: int) -> None:
        reader, self.writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=link))
        stream = frames.Frames()
        while not self.draining and (data := await reader.read(65536)):
            for kind, items, payload in stream.feed(data):
                await self.obey(kind, items, payload)
        for server in self.servers:
            server.close()
        self.send(frames.DRAINING)
        while self.running:
            await asyncio.sleep(0.01)
        self.flush()
        self.send(frames.DRAINED)
        await self.writer.drain()

    async def obey(self, kind: int, items: int, payload: bytes) -> None:
        if kind == frames.SNAPSHOT:
            if (config := self.unpacker.feed(payload)) is not None:
                self.unpacker = Unpacker()
                self.prepare(items, config)
        elif kind == frames.APPLY:
            await self.apply(items)
        elif kind == frames.FORGET:
            self.prepared.pop(items, None)
        elif kind == frames.ENDPOINTS:
            for name, changes in endpoints._decoder.decode(payload).items():
                self.health.update({(name, url): c.up for url, c in changes.items()})
        elif kind == frames.COLLECT:
            self.flush()
            self.send(frames.COLLECTED, items=items)
        elif kind == frames.DRAIN:
            self.draining = True

    def prepare(self, generation: int, config: Config) -> None:
        todo = {route.name.removesuffix(f"-{self.id}") for route in config.route}
        if "poison" in todo:
            os._exit(3)
        if "refuse" in todo:
            self.send(frames.REFUSED, b"it is not to my taste", generation)
        elif "silent" not in todo:
            self.prepared[generation] = config
            self.send(frames.PREPARED, items=generation)
        self.dies, self.hangs = "die" in todo, "hang" in todo

    async def apply(self, generation: int) -> None:
        config = self.prepared.pop(generation, None)
        if self.dies:
            os._exit(4)
        if config is None or self.hangs:
            return
        self.config = config
        self.send(frames.APPLIED, items=generation)
        if not self.servers:
            self.servers = [await asyncio.start_server(self.serve, sock=s) for _, s in self.sockets]
            self.send(frames.READY)

    def send(self, kind: int, payload: bytes = b"", items: int = 0) -> None:
        self.writer.write(frames.encode(kind, payload, items))

    def flush(self) -> None:
        self.ring.tick()
        self.send(frames.METRICS, report.encode(self.registry.report()))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.running += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            self.ring.cells[REQUESTS] += 1
            self.requests.value += 1
            if path == "/crash":
                os._exit(7)
            if path == "/slow":
                await asyncio.sleep(0.5)
            # A Span with a name only: field 2 of ScopeSpans, then field 5 of Span.
            self.ring.spans.write(b"\x12\x03\x2a\x01s", 1)
            body = f"{self.id} {os.getpid()} {len(self.config.route)} {sorted(self.health.items())}"
            writer.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body.encode())
            )
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.running -= 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--link", type=int)
    parser.add_argument("--id", type=int)
    parser.add_argument("--slot", type=int)
    parser.add_argument("--ring", type=int)
    parser.add_argument("--wake", type=int)
    for name in ("--loans", "--board", "--place", "--rates", "--crowd"):
        parser.add_argument(name, type=int)
    parser.add_argument("--socket", action="append", default=[])
    arguments = parser.parse_args()

    async def life() -> None:
        await Fake(arguments).run(arguments.link)

    asyncio.run(life())


if __name__ == "__main__":
    main()
