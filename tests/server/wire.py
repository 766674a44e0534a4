"""Rows of the framing tables, and how they are put on the wire and judged.

A row is fed in three ways: in one write, byte by byte, and with another request behind it in the
same write. What the client and the backend see must be the same each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.harness import DEADLINE, OK, Answer, Client, Gateway, Peer
from tests.server.kit import request

AFTER = b"GET /after HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"
WAYS = ("whole", "bytewise", "trailing")
_BYTEWISE = 400  # bytes; longer requests are cut at 31 places


@dataclass(frozen=True)
class Row:
    """What is sent, and what must come of it."""

    id: str
    request: bytes
    status: int
    closes: bool = True
    body: bytes | None = None  # that the backend got with the head; None = it got no request
    has: tuple[bytes, ...] = ()  # lines of the head that the backend got, in lower case
    lacks: tuple[bytes, ...] = ()  # what is nowhere in it


def keeps(
    name: str, request: bytes, body: bytes = b"", *, has: tuple[bytes, ...] = (), **more: object
) -> Row:
    """A row for a request that is forwarded, after which the connection is used again."""
    return Row(name, request, 200, False, body, has, **more)  # type: ignore[arg-type]


def get(*lines: bytes, target: bytes = b"/x", version: bytes = b"HTTP/1.1") -> bytes:
    head = [b"GET " + target + b" " + version, b"Host: gateway.test", *lines, b"", b""]
    return b"\r\n".join(head)


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /x HTTP/1.1", b"Host: gateway.test", *lines, b"", body])


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


class Received:
    """A backend handler that says 200 and keeps whole requests apart from beginnings."""

    def __init__(self, answer: bytes = OK) -> None:
        self.whole: list[tuple[bytes, bytes]] = []
        self.answer = answer

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.whole.append(await request(peer))
            peer.write(self.answer)


def split_answers(data: bytes) -> list[Answer]:
    """All answers in what came over one connection."""
    found = []
    while data:
        head, blank, data = data.partition(b"\r\n\r\n")
        assert blank, f"a beginning of an answer: {head!r}"
        answer = Answer(head + blank, b"")
        size = int(answer["content-length"] or 0)
        assert len(data) >= size, "an answer without its end"
        answer.body, data = data[:size], data[size:]
        found.append(answer)
    return found


def pieces(data: bytes) -> Iterator[bytes]:
    """`data` byte by byte, or in 32 pieces if it is long."""
    step = 1 if len(data) <= _BYTEWISE else len(data) // 31
    for start in range(0, len(data), step):
        yield data[start : start + step]


async def feed(client: Client, data: bytes, way: str) -> None:
    if way != "bytewise":
        client.write(data + AFTER if way == "trailing" else data)
        return
    for piece in pieces(data):
        client.write(piece)
        for _ in range(3):  # turns of the loop: sent, arrived, read
            await asyncio.sleep(0)


async def outcome(gate: Gateway, row: Row, way: str) -> list[Answer]:
    """All answers on a connection that carries the row's request and, if it can, another."""
    client = await gate.connect()
    await feed(client, row.request, way)
    first = []
    if not row.closes and way != "trailing":
        first = [await client.answer(head_only=row.request.startswith(b"HEAD"))]
        client.write(AFTER)
    answers = first + split_answers(await client.read_all())
    await client.close()
    return answers


class Raw(asyncio.Protocol):
    """A client that keeps what came before the end, and how it ended: a stream reader would
    forget the bytes before a reset."""

    def __init__(self) -> None:
        self.received = b""
        self.reset = False
        self.ended = asyncio.Event()
        self.changed = asyncio.Event()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.reset = error is not None
        self.ended.set()

    async def until(self, part: bytes) -> None:
        """Wait until `part` has come."""
        async with asyncio.timeout(DEADLINE):
            while part not in self.received:
                self.changed.clear()
                await self.changed.wait()

    async def end(self) -> bytes:
        """All that came until the gateway ended the connection."""
        async with asyncio.timeout(DEADLINE):
            await self.ended.wait()
        return self.received


async def raw(gate: Gateway, data: bytes) -> Raw:
    """A new connection on which `data` was sent."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Raw, "127.0.0.1", gate.port)
    client.transport.write(data)
    return client
