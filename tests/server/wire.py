"""Rows of the framing tables, and how they are put on the wire and judged.

A row is fed in three ways: in one write, byte by byte, and with another request behind it in the
same write. What the client and the backend see must be the same each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from tests.harness import OK, Answer, Client, Gateway, Peer
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
