"""A worker in the test's own event loop, between real sockets: raw clients and raw backends.

`gateway(config)` gives a running worker and what it recorded; `Backend` is a server whose answers
are bytes that the test writes, and which keeps every byte it got.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from proxy.collector.ring import Lane, lanes_of
from proxy.config.load import loads
from proxy.config.material import NONE, Material
from proxy.config.model import Config
from proxy.config.wire import pack
from proxy.server import frames
from proxy.server.ring import Ring, memory_only
from proxy.server.worker import Worker
from proxy.telemetry import report
from proxy.telemetry.totals import Totals

DEADLINE = 60.0  # seconds; nothing in a test may take as long, on a busy machine either

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Recorded(asyncio.Protocol):
    """The hub's end of the link and the collector's of the ring, keeping all that comes up."""

    def __init__(self, ring: mmap.mmap) -> None:
        self.spans: list[Span] = []
        self.logs: list[LogRecord] = []
        self.lines: list[bytes] = []
        self.reads = True  # False = the ring fills
        self.says = b""  # to each question (hub/asks.py); b"" = there is no answer
        self._lanes = lanes_of(ring)
        self.totals = Totals()
        self.events: list[int] = []
        self.refused: list[tuple[int, str]] = []  # generation, why
        self.transport: Any = None
        self._frames = frames.Frames()
        self._changed = asyncio.Event()
        self._asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for kind, items, payload in self._frames.feed(data):
            if kind == frames.METRICS:
                self.totals.apply(0, report.decode(payload))
            elif kind == frames.REFUSED:
                self.refused.append((items, payload.decode()))
            elif kind == frames.QUESTION and self.says:
                self.send(frames.ANSWER, self.says, items)
            self.events.append(kind)
            if kind == frames.COLLECTED:
                self._asked = items
        if self.reads:
            self.read()
        self._changed.set()

    def send(self, kind: int, payload: bytes = b"", items: int = 0) -> None:
        self.transport.write(frames.encode(kind, payload, items))

    def configure(
        self,
        config: Config,
        generation: int,
        news: Iterable[bytes] = (),
        material: Material = NONE,
    ) -> None:
        """Bring a configuration into force, as a hub does with the only worker it has. `news`:
        what is known of its endpoints."""
        for message in pack(config, material):
            self.send(frames.SNAPSHOT, message, generation)
        for payload in news:
            self.send(frames.ENDPOINTS, payload)
        self.send(frames.APPLY, items=generation)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def collect(self) -> None:
        """Have everything that was recorded until now."""
        number = self._asked + 1
        self.send(frames.COLLECT, items=number)
        await self.until(lambda: self._asked == number)

    def read(self) -> None:
        """Take what is in the ring, unless nobody `reads`."""
        if not self.reads:
            return
        spans, logs, lines = (b"".join(_rest(lane)) for lane in self._lanes)
        self.spans += ScopeSpans.FromString(spans).spans
        self.logs += ScopeLogs.FromString(logs).log_records
        self.lines += lines.splitlines()


def _rest(lane: Lane) -> Iterator[bytes]:
    """What is written by now, which takes more than one turn if it is much."""
    head = lane.head
    while (run := lane.read(head)) is not None:
        yield run.entries


class Gateway:
    """A running worker: `port` takes requests, `recorded` has what it told."""

    def __init__(self, worker: Worker, recorded: Recorded, port: int) -> None:
        self.worker = worker
        self.recorded = recorded
        self.port = port
        self.ports: dict[str, int] = {}  # of further listeners, by name

    @property
    def made(self) -> int:
        """Spans."""
        assert isinstance(self.worker.recorder.sink, Ring)
        return self.worker.recorder.sink.spans.created

    async def connect(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**24))

    async def exchange(self, request: bytes) -> bytes:
        """Send bytes on a new connection and read until the gateway closes it."""
        client = await self.connect()
        client.write(request)
        answer = await client.read_all()
        await client.close()
        return answer

    async def get(self, path: str, *headers: str) -> Answer:
        """One GET on a connection of its own."""
        client = await self.connect()
        lines = [f"GET {path} HTTP/1.1", "Host: gateway.test", *headers, "", ""]
        client.write("\r\n".join(lines).encode())
        answer = await client.answer()
        await client.close()
        return answer

    async def spans(self, number: int) -> list[Span]:
        """All spans, once there are `number` of them."""
        async with asyncio.timeout(DEADLINE):
            while True:
                await self.recorded.collect()
                if len(self.recorded.spans) >= number:
                    return self.recorded.spans
                await asyncio.sleep(0.005)

    async def reload(self, config: str) -> None:
        before = self.worker.orders.generation
        loaded = loads(config, "test.toml", {})
        self.recorded.configure(loaded.config, before + 1, material=loaded.material)
        await self.recorded.until(lambda: self.worker.orders.generation > before)


class Answer:
    """A parsed response."""

    def __init__(self, head: bytes, body: bytes) -> None:
        line, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.head = head
        self.status = int(line.split()[1])
        self.fields = [(n.lower(), v.strip()) for n, _, v in (r.partition(":") for r in rest)]
        self.body = body

    def __getitem__(self, name: str) -> str:
        return ", ".join(v for n, v in self.fields if n == name.lower())

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.body!r}>"


_clients: list[Client] = []  # of the running test


class Client:
    """A raw client connection; it need not be closed, the end of its gateway does that."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        _clients.append(self)

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def read_all(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read(-1)

    async def head(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next response, framed as its head says."""
        answer = Answer(await self.head(), b"")
        async with asyncio.timeout(DEADLINE):
            if head_only or answer.status in (204, 304) or answer.status < 200:
                pass
            elif answer["transfer-encoding"] == "chunked":
                answer.body = await self._chunks()
            elif answer["content-length"]:
                answer.body = await self.reader.readexactly(int(answer["content-length"]))
            else:
                answer.body = await self.reader.read(-1)
        return answer

    async def _chunks(self) -> bytes:
        pieces = []
        while size := int(await self.reader.readline(), 16):
            pieces.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return b"".join(pieces)

    async def at_end(self) -> bool:
        """Wait for the gateway to close; False if it sent something instead."""
        async with asyncio.timeout(DEADLINE):
            try:
                return await self.reader.read(1) == b""
            except ConnectionResetError:
                return True

    def vanish(self) -> None:
        """Close with RST: FIN alone does not say whether the client still reads."""
        _reset(self.writer)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


Handler = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection to a backend, as the backend sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = b""

    async def head(self) -> bytes:
        """The next request head; IncompleteReadError at the end of the connection."""
        data = await self.reader.readuntil(b"\r\n\r\n")
        self.received += data
        return data

    async def body(self, size: int) -> bytes:
        data = await self.reader.readexactly(size)
        self.received += data
        return data

    async def rest(self) -> bytes:
        """All that still comes until the connection is closed or reset."""
        data = b""
        with contextlib.suppress(ConnectionError):
            while piece := await self.reader.read(65_536):
                data += piece
        self.received += data
        return data

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self) -> None:
        """Close with RST."""
        _reset(self.writer)


class Backend:
    """A server whose handler is given by the test; by default it says 200 to each head."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.handler = handler or _say_ok
        self.peers: list[Peer] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def heads(self) -> list[bytes]:
        """Every request head received, on whichever connection."""
        return [
            head + b"\r\n\r\n"
            for peer in self.peers
            for head in peer.received.split(b"\r\n\r\n")
            if head.partition(b"\r\n")[0].endswith(b"HTTP/1.1")
        ]

    def field(self, name: str, number: int = -1) -> str | None:
        """The value of a header field in a received head."""
        lines = self.heads[number].decode("latin-1").split("\r\n")
        found = [v.strip() for n, _, v in (x.partition(":") for x in lines) if n.lower() == name]
        return ", ".join(found) if found else None

    async def __aenter__(self) -> Backend:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._server is not None:
            self._server.close()
        for peer in self.peers:
            peer.writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self.handler(peer)
        writer.close()


async def _say_ok(peer: Peer) -> None:
    while True:
        await peer.head()
        peer.write(OK)


@contextlib.asynccontextmanager
async def gateway(
    config: str,
    news: Iterable[bytes] = (),
    sock: socket.socket | None = None,
    known: Material = NONE,
    **environ: str,
) -> AsyncIterator[Gateway]:
    """Run a worker with this routes.toml on an ephemeral port, or on `sock`, which listens (its
    `listen` is not used). `known`: of TLS, what no file has."""
    loaded = loads(config, "test.toml", environ, known)
    sock = sock or socket.create_server(("127.0.0.1", 0), backlog=128)
    sock.setblocking(False)
    sockets = [(loaded.config.listen[0].address, sock)]
    ports: dict[str, int] = {}
    for listener in loaded.config.listen[1:] if loaded.config.mesh is not None else ():
        other = socket.create_server(("127.0.0.1", 0), backlog=128)
        other.setblocking(False)
        sockets.append((listener.address, other))
        ports[listener.name] = other.getsockname()[1]
    memory = memory_only(4 * 1024 * 1024)
    worker = Worker(0, Ring(memory), sockets)
    hub_end, worker_end = socket.socketpair()
    loop = asyncio.get_running_loop()
    recorded = Recorded(memory)
    await loop.create_unix_connection(lambda: recorded, sock=hub_end)
    await loop.create_unix_connection(lambda: worker.link, sock=worker_end)
    worker.run()
    recorded.configure(loaded.config, 1, news, loaded.material)
    await recorded.until(lambda: frames.READY in recorded.events)
    try:
        port = 0 if sock.family == socket.AF_UNIX else sock.getsockname()[1]
        running = Gateway(worker, recorded, port)
        running.ports = ports
        yield running
    finally:
        worker.halt()
        recorded.transport.abort()
        while _clients:  # an open transport keeps uvloop from closing its loop
            _clients.pop().writer.transport.abort()
        await asyncio.sleep(0)


def routes(backend: Backend, more: str = "", route: str = "") -> str:
    """The smallest file that sends everything to `backend`, recording every span."""
    return f"""
[export]
otlp = "http://127.0.0.1:1"
{more}
[[route]]
name = "all"
path = "/*"
to = "b"
{route}
[upstream.b]
servers = ["{backend.url}"]
"""
