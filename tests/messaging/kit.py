"""A worker and the process of queues in the test's own loop, and a broker that is real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
from aiohttp import web
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.config.load import loads
from proxy.config.messaging_expand import deliver_socket, publish_socket
from proxy.hub import meeting
from proxy.messaging import frames as orders
from proxy.messaging import setup
from proxy.messaging.process import Process
from proxy.server import frames
from proxy.server.ring import Ring, memory_only
from proxy.server.worker import Worker
from proxy.telemetry import report
from tests.harness import DEADLINE, Recorded

CONFIG = """
listen = "127.0.0.1:0"
[export]
otlp = "http://127.0.0.1:1"
[messaging.kafka.bus]
brokers = ["{broker}"]
{queue}
[[route]]
name = "topics"
path = "/topics/{{topic}}"
publish = {{ to = "bus", topic = "{{topic}}", key = "header:x-key", headers = ["x-tenant"] }}
{more}
"""
CONSUMER = """
[upstream.billing]
servers = ["{server}"]
[[consume]]
name = "orders"
from = "bus"
topics = ["orders"]
group = "billing"
to = "billing"
path = "/in/{{topic}}"
{more}
"""

PRODUCER_KIND, CONSUMER_KIND, SERVER_KIND, CLIENT_KIND = 4, 5, 2, 3
NOTHING: dict[str, str] = {}


def config(broker: str, more: str = "", queue: str = "") -> str:
    return CONFIG.format(broker=broker, more=more, queue=queue)


def consumer(server: str, more: str = "") -> str:
    return CONSUMER.format(server=server, more=more)


class Told(asyncio.Protocol):
    """The hub's end of the link to the process of queues, and its collector's of the ring."""

    def __init__(self, memory: Any) -> None:
        self.recorded = Recorded(memory)
        self.kinds: list[int] = []
        self.transport: Any = None
        self._frames = frames.Frames()
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for kind, _, payload in self._frames.feed(data):
            if kind == orders.METRICS:
                self.recorded.totals.apply(0, report.decode(payload))
            self.kinds.append(kind)
        self._changed.set()

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.transport.write(frames.encode(kind, payload))

    async def until(self, kind: int, number: int = 1) -> None:
        async with asyncio.timeout(DEADLINE):
            while self.kinds.count(kind) < number:
                self._changed.clear()
                await self._changed.wait()


class Gateway:
    """Both of them. `port` takes requests."""

    def __init__(self, worker: Worker, workers: Recorded, queues: Told, port: int) -> None:
        self.worker = worker
        self.workers = workers
        self.queues = queues
        self.port = port
        self.setups = 0

    async def post(
        self, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers or NOTHING) as answer,
        ):
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    async def spans(self, number: int) -> list[Span]:
        """All spans of both, once there are `number` of them."""
        async with asyncio.timeout(DEADLINE):
            while True:
                await self.workers.collect()
                self.queues.recorded.read()
                found = self.workers.spans + self.queues.recorded.spans
                if len(found) >= number:
                    return found
                await asyncio.sleep(0.005)

    async def configure(self, text: str) -> None:
        """What a reload does: the workers first, then the process of queues."""
        await self.configure_workers(text)
        loaded = loads(text, "test.toml", {})
        self.setups += 1
        self.queues.send(orders.SETUP, setup.encode(setup.setup(loaded.config, True)))
        await self.queues.until(orders.DONE, self.setups)

    async def configure_workers(self, text: str) -> None:
        loaded = loads(text, "test.toml", {})
        before = self.worker.orders.generation
        self.workers.configure(loaded.config, before + 1, material=loaded.material)
        await self.workers.until(lambda: self.worker.orders.generation > before)

    def numbers(self, name: str) -> dict[tuple[tuple[str, Any], ...], Any]:
        """Of the process of queues, by what tells them apart here."""
        dull = {"server.address", "server.port", "messaging.system", "messaging.operation.name"}
        return {
            tuple((k, v) for k, v in series.attributes if k not in dull): series.value
            for series in self.queues.recorded.totals.of(name)
        }

    async def until(self, condition: Callable[[], Any]) -> None:
        """Something that another process does."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self.queues.send(orders.COLLECT)
                await asyncio.sleep(0.01)


@contextlib.contextmanager
def folder() -> Iterator[None]:
    """Paths of sockets have 107 characters at most, which those of pytest's folders exceed."""
    path = tempfile.mkdtemp(prefix="q", dir="/tmp")
    before = os.environ.get("RUNTIME_DIRECTORY")
    os.environ["RUNTIME_DIRECTORY"] = path
    try:
        meeting.prepare()
        yield
    finally:
        if before is None:
            del os.environ["RUNTIME_DIRECTORY"]
        else:
            os.environ["RUNTIME_DIRECTORY"] = before
        shutil.rmtree(path)


def _bound(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(address.removeprefix("unix:"))
    sock.listen(128)
    sock.setblocking(False)
    return sock


@contextlib.asynccontextmanager
async def gateway(text: str, listener: str = "") -> AsyncIterator[Gateway]:
    """Run both by this routes.toml; whatever it consumes comes by the worker. `listener`: the name
    of the one that is asked, without it the first."""
    with folder():
        loaded = loads(text, "test.toml", {})
        sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        sock.setblocking(False)
        first = loaded.config.listen[0]
        asked = next((one for one in loaded.config.listen if one.name == listener), first)
        sockets = [(asked.address, sock)]
        if loaded.config.consume:
            sockets.append((deliver_socket(), _bound(deliver_socket())))
        memory, other = memory_only(4 * 1024 * 1024), memory_only(4 * 1024 * 1024)
        worker = Worker(0, Ring(memory), sockets)
        recorded, told = Recorded(memory), Told(other)
        process = Process(Ring(other), _bound(publish_socket()))
        await _link(recorded, worker.link)
        await _link(told, process.link)
        worker.run()
        running = asyncio.get_running_loop().create_task(process.run())
        recorded.configure(loaded.config, 0, material=loaded.material)
        made = Gateway(worker, recorded, told, sock.getsockname()[1])
        try:
            await made.configure(text)
            yield made
        finally:
            told.send(orders.STOP)
            async with asyncio.timeout(DEADLINE):
                await running
            worker.halt()
            recorded.transport.abort()
            told.transport.abort()
            await asyncio.sleep(0)


async def _link(ours: asyncio.Protocol, theirs: asyncio.Protocol) -> None:
    one, other = socket.socketpair()
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: ours, sock=one)
    await loop.create_unix_connection(lambda: theirs, sock=other)


class Upstream:
    """A service that messages are posted to. `answer` says how; `got` is (path, headers, body)."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: Callable[[bytes, int], Awaitable[int]] = _fine
        self.most = self._now = 0  # requests at once
        self._tries: dict[bytes, int] = {}
        self._runner = web.ServerRunner(web.Server(self._handle))
        self.url = ""

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, _, body in self.got]

    async def __aenter__(self) -> Upstream:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert self._runner.addresses
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append((request.path_qs, headers, body))
        tries = self._tries[body] = self._tries.get(body, 0) + 1
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            return web.Response(status=await self.answer(body, tries))
        finally:
            self._now -= 1


async def _fine(body: bytes, tries: int) -> int:
    return 204


def attributes(span: Span) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return getattr(value, value.WhichOneof("value"))

    return {pair.key: plain(pair.value) for pair in span.attributes}


def by_kind(spans: list[Span], kind: int) -> list[Span]:
    return [span for span in spans if span.kind == kind]
