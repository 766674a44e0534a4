"""A stand-in for the worker process: answers every request and speaks the frames.

Started like the real one. Paths tell it what to do: /crash exits at once, /slow answers after
0.5 s, anything else answers with the worker's id. Each request counts as one span, which is sent
when asked by COLLECT, or never if the path is /lost.
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import os
import pickle
import socket
from typing import Any

from proxy.server import frames
from proxy.telemetry import report
from proxy.telemetry.metrics import Registry


class Fake:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.id = arguments.id
        self.registry = Registry()
        self.requests = self.registry.number("spangate.downstream.connections")
        self.cells = memoryview(mmap.mmap(arguments.counts, 64)).cast("Q")
        self.spans = 0  # not sent yet
        self.running = 0
        self.draining = False
        self.servers: list[asyncio.Server] = []
        self.sockets = [
            (address, socket.socket(fileno=int(fd)))
            for address, _, fd in (text.rpartition("=") for text in arguments.socket)
        ]
        self.config: Any = None
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
            self.config = pickle.loads(payload)
            if any(route.name == "poison" for route in self.config.route):
                os._exit(3)
            if not self.servers:
                self.servers = [
                    await asyncio.start_server(self.serve, sock=s) for _, s in self.sockets
                ]
            self.send(frames.READY)
        elif kind == frames.HEALTH:
            self.health.update(pickle.loads(payload))
        elif kind == frames.COLLECT:
            self.flush()
            self.send(frames.COLLECTED, items=items)
        elif kind == frames.DRAIN:
            self.draining = True

    def send(self, kind: int, payload: bytes = b"", items: int = 0) -> None:
        self.writer.write(frames.encode(kind, payload, items))

    def flush(self) -> None:
        self.send(frames.METRICS, report.encode(self.registry.report()))
        if self.spans:
            # A Span with a name only: field 2 of ScopeSpans, then field 5 of Span.
            self.send(frames.SPANS, b"\x12\x03\x2a\x01s" * self.spans, self.spans)
            self.spans = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.running += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            self.cells[0] += 1
            self.cells[4] += 1
            self.requests.value += 1
            if path == "/crash":
                os._exit(7)
            if path == "/slow":
                await asyncio.sleep(0.5)
            if path != "/lost":
                self.spans += 1
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
    parser.add_argument("--counts", type=int)
    parser.add_argument("--socket", action="append", default=[])
    arguments = parser.parse_args()

    async def life() -> None:
        await Fake(arguments).run(arguments.link)

    asyncio.run(life())


if __name__ == "__main__":
    main()
