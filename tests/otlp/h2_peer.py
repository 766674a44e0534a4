"""The other side of a gRPC connection, made by hand of HTTP/2: clients and servers that are odd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any, cast

from proxy.http.h2 import (
    ConnectionClosed,
    DataReceived,
    GoAwayReceived,
    RequestReceived,
    ResponseReceived,
    Rules,
    Session,
    StreamClosed,
    TrailersReceived,
)
from proxy.otlp.grpc import METHODS
from proxy.otlp.rpc import words

Fields = Sequence[tuple[bytes, bytes]]
DEADLINE = 60.0


def framed(message: bytes, *, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


def call(**more: str) -> list[tuple[bytes, bytes]]:
    """Metadata of an Export; names with _ for -, `method` and `path` for the pseudo-headers."""
    fields = {
        ":method": more.pop("method", "POST"),
        ":scheme": "http",
        ":path": more.pop("path", METHODS["traces"]),
        ":authority": "a",
        "te": "trailers",
        "content-type": "application/grpc",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return [(name.encode(), value.encode()) for name, value in fields.items()]


@dataclass
class Answer:
    """What came on one stream."""

    fields: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    error: int | None = None  # of HTTP/2, once the stream is closed

    @property
    def code(self) -> int:
        return int(self.fields[b"grpc-status"])

    @property
    def message(self) -> str:
        return words.unpercent(self.fields.get(b"grpc-message", b""))


class Connection(asyncio.Protocol):
    """Reads and answers what HTTP/2 wants; a test says the rest."""

    def __init__(self, *, server: bool = False, rules: Rules | None = None) -> None:
        self.session = Session(server, rules or Rules())
        self.events: list[Any] = []
        self.answers: dict[int, Answer] = {}
        self.goaway: int | None = None
        self.is_lost = False
        self._changed = asyncio.Condition()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.take(self.session.receive(data, monotonic_ns()))
        while self.session.waiting:
            self.take(self.session.receive(b"", monotonic_ns()))
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._tell()

    def flush(self) -> None:
        while data := self.session.take():
            self.transport.write(data)
        self.take(self.session.events())

    def take(self, events: list[Any]) -> None:
        self.events += events
        for event in events:
            if isinstance(event, GoAwayReceived | ConnectionClosed):
                self.goaway = event.error_code
            elif isinstance(event, ResponseReceived | TrailersReceived):
                self.answers[event.stream_id].fields.update(event.headers)
            elif isinstance(event, DataReceived):
                self.session.acknowledge(len(event.data), event.stream_id)
                self.answers[event.stream_id].body += event.data
            elif isinstance(event, StreamClosed) and event.stream_id in self.answers:
                self.answers[event.stream_id].error = event.error_code
            elif isinstance(event, RequestReceived):
                self.answers[event.stream_id] = Answer(dict(event.headers))
        self._tell()

    def _tell(self) -> None:
        async def tell() -> None:
            async with self._changed:
                self._changed.notify_all()

        self._telling = asyncio.get_running_loop().create_task(tell())

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(condition)

    # a client's

    def ask(self, fields: Fields, body: bytes | None = b"", *, end: bool = True) -> int:
        """Begin a call; None = it ends with its head."""
        stream = self.session.send_request(fields, body is None)
        self.answers[stream] = Answer()
        if body is not None:
            self.session.send_data(stream, body, end)
        self.flush()
        return stream

    def say(self, stream: int, body: bytes, *, end: bool = False) -> None:
        self.session.send_data(stream, body, end)
        self.flush()

    async def answer(self, stream: int) -> Answer:
        await self.until(lambda: self.answers[stream].error is not None or self.is_lost)
        return self.answers[stream]


@asynccontextmanager
async def client(port: int, rules: Rules | None = None) -> AsyncIterator[Connection]:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: Connection(rules=rules), "127.0.0.1", port)
    try:
        yield made
    finally:
        made.transport.abort()


class Server:
    """Answers each call that is whole by `reply(connection, stream)`, which sends."""

    def __init__(
        self, reply: Callable[[Connection, int], None], rules: Rules | None = None, tls: Any = None
    ) -> None:
        self.reply = reply
        self.rules = rules
        self.tls = tls
        self.connections: list[Connection] = []
        self.most = 0  # calls at once

    async def __aenter__(self) -> Server:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._make, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for connection in self.connections:
            connection.transport.abort()

    def _make(self) -> Connection:
        made = _Served(self)
        self.connections.append(made)
        return made


class _Served(Connection):
    def __init__(self, server: Server) -> None:
        super().__init__(server=True, rules=server.rules)
        self.server = server

    def take(self, events: list[Any]) -> None:
        super().take(events)
        open_ = [answer for answer in self.answers.values() if answer.error is None]
        self.server.most = max(self.server.most, len(open_))
        for event in events:
            if isinstance(event, DataReceived) and event.end_stream:
                self.server.reply(self, event.stream_id)


def replying(
    fields: Fields = ((b":status", b"200"), (b"content-type", b"application/grpc")),
    body: bytes | None = b"\0\0\0\0\0",
    trailers: Fields | None = ((b"grpc-status", b"0"),),
    reset: int | None = None,
) -> Callable[[Connection, int], None]:
    """What a server says to every call; trailers None with body None: the head is all."""

    def reply(connection: Connection, stream: int) -> None:
        session = connection.session
        if fields:
            session.send_response(stream, fields, body is None and trailers is None)
        if body is not None:
            session.send_data(stream, body, trailers is None and reset is None)
        if trailers is not None:
            session.send_trailers(stream, trailers)
        if reset is not None:
            connection.flush()
            session.reset(stream, reset)

    return reply
