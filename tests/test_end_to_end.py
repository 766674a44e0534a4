"""The whole gateway in its own processes under load, when it is stopped and when a worker dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.harness import Backend
from tests.hub.gateway import Gateway, gateway
from tests.otlp.fake_collector import FakeCollector

CONFIG = """
listen = "127.0.0.1:0"
drain_timeout = "5s"
[admin]
listen = "127.0.0.1:0"
[export]
otlp = "{collector}"
batch_age = "50ms"
[[route]]
name = "all"
path = "/*"
to = "{backend}"
"""
REQUEST = b"GET /load HTTP/1.1\r\nHost: gateway.test\r\nConnection: %b\r\n\r\n"


class Load:
    """Clients that ask without pause, half of them on a new connection each time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0
        self.lost = 0  # requests that were sent and never answered
        self.refused = 0
        self._over = False
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(n % 2 == 0)) for n in range(8)]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._over = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), 20)

    async def until_answered(self, more: int) -> None:
        wanted = self.answered + more
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.answered >= wanted)

    async def until_refused(self) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.refused >= len(self._tasks))

    async def _run(self, keep: bool) -> None:
        while not self._over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await self._count("refused")
                return
            while not self._over and await self._ask(reader, writer, keep):
                pass
            writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: bool
    ) -> bool:
        try:
            writer.write(REQUEST % (b"keep-alive" if keep else b"close"))
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
        except (OSError, asyncio.IncompleteReadError):
            await self._count("lost")
            return False
        await self._count("answered" if b" 200 " in head else "lost")
        return keep and b"connection: close" not in head

    async def _count(self, what: str) -> None:
        setattr(self, what, getattr(self, what) + 1)
        async with self._changed:
            self._changed.notify_all()


async def test_term_under_load_loses_no_request_and_no_record(tmp_path: Path) -> None:
    async with Backend() as backend, FakeCollector("http") as collector:
        text = CONFIG.format(collector=collector.endpoint, backend=backend.url)
        with gateway(tmp_path, text) as hub:
            async with Load(hub.port) as load:
                await load.until_answered(200)
                hub.signal(signal.SIGTERM)
                await load.until_refused()
            assert await asyncio.to_thread(hub.process.wait, 20) == 0
            assert load.lost == 0
            assert collector.items("traces") == 2 * load.answered
            assert collector.items("logs") == load.answered


async def test_a_worker_killed_under_load_costs_no_record(tmp_path: Path) -> None:
    async with Backend() as backend, FakeCollector("grpc") as collector:
        text = CONFIG.format(collector=collector.endpoint, backend=backend.url)
        with gateway(tmp_path, text) as hub:
            async with Load(hub.port) as load:
                await load.until_answered(100)
                victim = await _stats(hub, "workers")
                os.kill(victim[0]["pid"], signal.SIGKILL)
                await load.until_answered(200)
            assert load.refused == 0
            assert load.lost <= 8  # at most one for each client
            await _balanced(hub, collector, load)


async def _stats(hub: Gateway, key: str) -> Any:
    return json.loads((await asyncio.to_thread(hub.ask, "/stats"))[2])[key]


async def _balanced(hub: Gateway, collector: FakeCollector, load: Load) -> None:
    """Every span made is delivered, those of the dead worker too, and the books say so."""
    async with asyncio.timeout(20):
        while True:
            books = (await _stats(hub, "export"))[collector.endpoint]["traces"]
            if books["queued"] == 0 and books["created"] >= 2 * load.answered:
                break
            await asyncio.sleep(0.02)
    assert books["created"] == books["exported"]
    assert books["dropped"] == {}
    assert collector.items("traces") == books["exported"]
