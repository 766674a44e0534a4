"""What tests of the data plane share: decoded spans, scripted backends, and servers that fail."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.telemetry.metrics import Point
from tests.harness import DEADLINE, Answer, Client, Gateway, Peer

SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
UNSET, ERROR = 0, 2  # Status.code

Plain = str | int | float | bool | list[Any]


def attributes(record: Span | LogRecord) -> dict[str, Plain]:
    """The attributes as plain values; keys are unique."""
    found = {pair.key: plain(pair.value) for pair in record.attributes}
    assert len(found) == len(record.attributes)
    return found


def plain(value: AnyValue) -> Plain:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(v) for v in value.array_value.values]
    return getattr(value, kind or "string_value")  # type: ignore[no-any-return]


@dataclass
class Trace:
    """The spans of one request, the attempts in their order."""

    server: Span
    clients: list[Span]

    @property
    def about(self) -> dict[str, Plain]:
        return attributes(self.server)

    @property
    def tried(self) -> list[dict[str, Plain]]:
        return [attributes(span) for span in self.clients]


async def traces(gate: Gateway, number: int = 1) -> list[Trace]:
    """The first `number` requests' spans, in the order in which they ended."""

    def servers() -> list[Span]:
        return [s for s in gate.recorded.spans if s.kind == SERVER]

    await eventually_collected(gate, lambda: len(servers()) >= number)
    await gate.recorded.collect()
    spans = gate.recorded.spans
    return [
        Trace(
            server,
            sorted(
                (s for s in spans if s.parent_span_id == server.span_id and s.kind == CLIENT),
                key=lambda s: attributes(s).get("http.request.resend_count", 0),
            ),
        )
        for server in servers()
    ]


async def trace(gate: Gateway) -> Trace:
    """The spans of the only request there was."""
    (only,) = await traces(gate)
    return only


def check_shape(seen: Trace) -> None:
    """What holds for every trace: ids, parents, kinds, and times inside one another."""
    server = seen.server
    ids = {server.span_id, *(c.span_id for c in seen.clients)}
    assert len(ids) == 1 + len(seen.clients) and all(len(i) == 8 and any(i) for i in ids)
    assert server.start_time_unix_nano <= server.end_time_unix_nano
    before = server.start_time_unix_nano
    for client in seen.clients:
        assert client.trace_id == server.trace_id
        assert client.parent_span_id == server.span_id
        assert before <= client.start_time_unix_nano <= client.end_time_unix_nano
        assert client.end_time_unix_nano <= server.end_time_unix_nano
        before = client.end_time_unix_nano  # attempts follow one another
    total = (server.end_time_unix_nano - server.start_time_unix_nano) / 1e6
    phases = {k: v for k, v in seen.about.items() if k.startswith("spangate.phase.")}
    assert "spangate.phase.overhead_ms" in phases
    assert all(0 <= v <= total + 1e-6 for v in phases.values()), phases
    sequential = ("queue", "connect", "first_byte")
    assert sum(phases.get(f"spangate.phase.{n}_ms", 0) for n in sequential) <= total + 1e-6


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds, which it does soon or never."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.002)


async def eventually_collected(gate: Gateway, condition: Callable[[], object]) -> None:
    """The same for what the gateway reports."""
    async with asyncio.timeout(DEADLINE):
        while True:
            await gate.recorded.collect()
            if condition():
                return
            await asyncio.sleep(0.005)


def is_settled(gate: Gateway) -> bool:
    """Nothing is under way: no client, no upstream connection but idle ones, no task."""
    worker = gate.worker
    tasks = [t.get_name() for t in asyncio.all_tasks()]
    return (
        not worker._connections
        and all(pool.open == pool.idle for pool in worker._pools.values())
        and not [name for name in tasks if name in ("dial", "adopt a queued connection")]
    )


def series(gate: Gateway, name: str) -> dict[tuple[tuple[str, object], ...], int | Point]:
    """What was reported under this name, by attributes in alphabetical order."""
    return {
        tuple(sorted(s.attributes)): s.value
        for s in gate.recorded.totals.series()
        if s.instrument.name == name
    }


def number(gate: Gateway, name: str, **labels: object) -> int:
    """The sum of a counter or gauge over the series that have these labels (`_` for `.`)."""
    return sum(
        value if isinstance(value, int) else sum(value.counts)
        for key, value in series(gate, name).items()
        if labels.items() <= {k.replace(".", "_"): v for k, v in key}.items()
    )


# backends


def reply(status: int = 200, body: bytes = b"ok", *lines: str) -> bytes:
    head = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


def script(*answers: bytes) -> Callable[[Peer], Any]:
    """A handler that gives these answers in turn, over all connections, the last one for ever."""
    left = list(answers)

    async def handle(peer: Peer) -> None:
        while True:
            await request(peer)
            peer.write(left.pop(0) if len(left) > 1 else left[0])

    return handle


async def request(peer: Peer) -> tuple[bytes, bytes]:
    """One whole request: its head and its body without framing."""
    head = await peer.head()
    lines = head.lower().split(b"\r\n")
    length = [line.partition(b":")[2] for line in lines if line.startswith(b"content-length:")]
    if b"transfer-encoding: chunked" in lines:
        return head, await chunks(peer.reader)
    return head, await peer.body(int(length[0])) if length else b""


async def chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body's content."""
    pieces = []
    while size := int(await reader.readline(), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(pieces)


class Gate:
    """A handler that waits where the test wants it to; `reached` and `go` are the two ends."""

    def __init__(self, before: bytes, after: bytes) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self.gone = asyncio.Event()  # the connection ended while it waited
        self._before = before
        self._after = after

    async def __call__(self, peer: Peer) -> None:
        while True:
            await request(peer)
            peer.write(self._before)
            self.reached.set()
            await self._wait(peer)
            peer.write(self._after)

    async def _wait(self, peer: Peer) -> None:
        go = asyncio.get_running_loop().create_task(self.go.wait())
        end = asyncio.get_running_loop().create_task(peer.reader.read(1))
        try:
            await asyncio.wait((go, end), return_when=asyncio.FIRST_COMPLETED)
            if not go.done():
                self.gone.set()
                raise ConnectionError
        finally:
            for task in (go, end):
                task.cancel()
            await asyncio.gather(go, end, return_exceptions=True)


@contextlib.contextmanager
def blackhole() -> Iterator[str]:
    """The URL of a server on which connecting takes for ever: its accept queue is full, and the
    kernel throws away what else comes (net.ipv4.tcp_abort_on_overflow is 0 by default)."""
    with socket.socket() as listening, socket.socket() as queued:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        queued.connect(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port that is taken and on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def routing(upstreams: dict[str, Iterable[str]], more: str) -> str:
    """A file with these upstreams, recording every span; `more` holds the routes."""
    tables = "".join(
        f"[upstream.{name}]\nservers = {list(urls)!r}\n" for name, urls in upstreams.items()
    )
    return f'[export]\notlp = "http://127.0.0.1:1"\n{more}\n{tables}'


async def ask(client: Client, method: str, path: str, *lines: str, body: bytes = b"") -> Answer:
    """A request on an open connection, and its answer."""
    send(client, method, path, *lines, body=body)
    return await client.answer(head_only=method == "HEAD")


def send(client: Client, method: str, path: str, *lines: str, body: bytes = b"") -> None:
    framing = [f"Content-Length: {len(body)}"] if body else []
    head = [f"{method} {path} HTTP/1.1", "Host: gateway.test", *framing, *lines, "", ""]
    client.write("\r\n".join(head).encode() + body)
