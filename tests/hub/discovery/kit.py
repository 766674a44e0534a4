"""What tests of sources share: an upstream that hears, and a source that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from proxy.config.discover import parse_discover
from proxy.hub.discovery.dns import DnsSource
from proxy.hub.discovery.pace import Pace
from proxy.hub.discovery.source import Source
from proxy.tasks import cancel, spawn
from tests.dns_server import DnsServer

QUICK = Pace(shortest=0.005, longest=300.0, slowest=0.02)


class Ear:
    """Hears what a source tells."""

    def __init__(self) -> None:
        self.servers: dict[str, int] | None = None
        self.notes: list[str] = []
        self.reasons: list[str] = []
        self.times = 0
        self._news = asyncio.Event()

    def found(self, servers: Mapping[str, int], note: str = "") -> None:
        self.servers = dict(servers)
        self.notes.append(note)
        self._tell()

    def failed(self, reason: str) -> None:
        self.reasons.append(reason)
        self._tell()

    def _tell(self) -> None:
        self.times += 1
        self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def more(self, times: int = 3) -> None:
        wanted = self.times + times
        await self.until(lambda: self.times >= wanted)


@asynccontextmanager
async def heard(source: Source) -> AsyncIterator[Ear]:
    ear = Ear()
    task = spawn(source.watch(ear), "source")
    try:
        yield ear
    finally:
        await cancel(task)


@contextmanager
def dns_server() -> Iterator[DnsServer]:
    server = DnsServer()
    try:
        yield server
    finally:
        server.close()


def source(server: DnsServer, text: str, pace: Pace = QUICK) -> DnsSource:
    return DnsSource(parse_discover(text), [("127.0.0.1", server.port)], pace, lambda: 0.5)
