"""The load of `changes`: clients, the backend behind the gateway, and the sink of its spans.

No client tries anything twice. One whose connection was closed while nothing was asked on it opens
another, as every client has to (RFC 9112 §9.3.1).
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.otlp.wire import count
from proxy.tasks import cancel, spawn

PAUSE = 0.01  # seconds between two requests of a client
PIECES, PIECE = 40, 16 * 1024  # of a download
TALK = 0.1  # seconds between two messages of a WebSocket
DEADLINE = 20.0  # seconds of silence after which something is cut

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Told:
    """What clients of one kind have seen."""

    done: int = 0
    failed: int = 0  # no answer, or a wrong one
    refused: int = 0  # no connection
    cut: int = 0  # in the middle of something
    last: str = ""

    @property
    def wrong(self) -> int:
        return self.failed + self.refused + self.cut

    def __str__(self) -> str:
        text = f"{self.done:6} done, {self.failed} failed, {self.refused} refused, {self.cut} cut"
        return f"{text} ({self.last})" if self.last else text


class Cut(Exception):
    """What had begun was not finished."""


class Crowd:
    """Clients of all kinds, until they are stopped."""

    def __init__(self, port: int, life: float) -> None:
        self._port = port
        self._life = life  # seconds of a download or a WebSocket
        self._told: dict[str, Told] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._asking: set[asyncio.StreamWriter] = set()  # with something under way
        self._over = False
        self._kinds: dict[str, Callable[[], Callable[[], Awaitable[None]]]] = {
            "kept": self._kept,
            "anew": self._anew,
            "download": self._download,
            "websocket": self._websocket,
        }

    def start(self, numbers: Mapping[str, int]) -> None:
        for kind, number in numbers.items():
            told = self._told[kind] = Told()
            for _ in range(number):
                self._tasks.append(spawn(self._run(self._kinds[kind](), told), kind))

    def tell(self) -> dict[str, Told]:
        """As it is now."""
        return {kind: Told(**vars(told)) for kind, told in self._told.items()}

    def wrong(self) -> int:
        return sum(told.wrong for told in self._told.values())

    def in_flight(self, port: int, pid: int) -> int:
        """What clients have under way with the process `pid`, by their connections."""
        held = sockets_of(pid)
        ends = {writer.get_extra_info("sockname")[1] for writer in self._asking}
        return sum(1 for remote, inode in accepted(port) if remote in ends and inode in held)

    async def stop(self) -> None:
        self._over = True
        await asyncio.wait(self._tasks, timeout=2 * self._life + DEADLINE)
        await cancel(*self._tasks)

    async def _run(self, once: Callable[[], Awaitable[None]], told: Told) -> None:
        while not self._over:
            try:
                await once()
                told.done += 1
            except ConnectionRefusedError as error:
                told.refused, told.last = told.refused + 1, repr(error)
            except Cut as error:
                told.cut, told.last = told.cut + 1, repr(error)
            except (OSError, EOFError, TimeoutError, ValueError, IndexError) as error:
                told.failed, told.last = told.failed + 1, repr(error)
            await asyncio.sleep(PAUSE)

    async def _open(self) -> Connection:
        async with asyncio.timeout(DEADLINE):
            return await asyncio.open_connection("127.0.0.1", self._port)

    async def _ask(self, connection: Connection, request: str) -> tuple[bytes, bytes]:
        """Head and body; the request is in flight until both are there."""
        reader, writer = connection
        self._asking.add(writer)
        try:
            writer.write(request.encode())
            async with asyncio.timeout(DEADLINE):
                return await answer(reader)
        finally:
            self._asking.discard(writer)

    def _kept(self) -> Callable[[], Awaitable[None]]:
        kept: list[Connection] = []

        async def once() -> None:
            if kept and (kept[0][0].at_eof() or kept[0][0].exception()):
                kept.pop()[1].close()
            if not kept:
                kept.append(await self._open())
            connection = kept.pop()
            head, _ = await self._ask(connection, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            check(head)
            if re.search(rb"(?i)\r\nconnection: *close", head):
                connection[1].close()
            else:
                kept.append(connection)

        return once

    def _anew(self) -> Callable[[], Awaitable[None]]:
        async def once() -> None:
            connection = await self._open()
            request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            head, _ = await self._ask(connection, request)
            connection[1].close()
            check(head)

        return once

    def _download(self) -> Callable[[], Awaitable[None]]:
        async def once() -> None:
            connection = await self._open()
            pause = self._life / PIECES
            request = f"GET /download?{pause} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            try:
                head, body = await self._ask(connection, request)
            except (OSError, EOFError, TimeoutError) as error:
                raise Cut(repr(error)) from None
            finally:
                connection[1].close()
            check(head)
            if len(body) != PIECES * PIECE:
                raise Cut(f"{len(body)} bytes")

        return once

    def _websocket(self) -> Callable[[], Awaitable[None]]:
        async def once() -> None:
            reader, writer = connection = await self._open()
            key = base64.b64encode(os.urandom(16)).decode()
            request = (
                "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            )
            head, _ = await self._ask(connection, request)
            if not head.startswith(b"HTTP/1.1 101"):
                raise ValueError(head[:40].decode("latin-1"))
            self._asking.add(writer)
            try:
                for _ in range(round(self._life / TALK)):
                    writer.write(FRAME)
                    async with asyncio.timeout(DEADLINE):
                        await reader.readexactly(len(ECHO))
                    await asyncio.sleep(TALK)
            except (OSError, EOFError, TimeoutError) as error:
                raise Cut(repr(error)) from None
            finally:
                self._asking.discard(writer)
                writer.close()

        return once


FRAME = b"\x81\x85\0\0\0\0hello"  # masked, as RFC 6455 §5.3 wants it, with zeros
ECHO = b"\x81\x05hello"


def check(head: bytes) -> None:
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(head.partition(b"\r\n")[0].decode("latin-1"))


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of a response with Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return head, await reader.readexactly(int(length[1]) if length else 0)


async def fetch(port: int, method: str, path: str, fields: str = "") -> tuple[int, bytes]:
    """(status, body), whatever their framing, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        host = f"Host: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n"
        writer.write(f"{method} {path} HTTP/1.0\r\n{host}{fields}\r\n".encode())
        async with asyncio.timeout(DEADLINE):
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        return int(head.split()[1]), body
    finally:
        writer.close()


def sockets_of(pid: int) -> set[str]:
    """Inodes of the sockets that a process holds."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = os.readlink(link)
        except OSError:
            continue
        if name.startswith("socket:["):
            found.add(name[8:-1])
    return found


def accepted(port: int) -> list[tuple[int, str]]:
    """(the other end's port, inode) of the connections at a local port."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        (int(row[2].partition(":")[2], 16), row[9])
        for row in rows
        if int(row[1].partition(":")[2], 16) == port
    ]


class Backend:
    """Answers at once, slowly in pieces, or as an echo."""

    async def __aenter__(self) -> Backend:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split()[1].decode()
                if path == "/ws":
                    await self._echo(reader, writer, head)
                elif path.startswith("/download"):
                    await self._slowly(writer, float(path.partition("?")[2]))
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _slowly(self, writer: asyncio.StreamWriter, pause: float) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECES * PIECE))
        for _ in range(PIECES):
            writer.write(bytes(PIECE))
            await writer.drain()
            await asyncio.sleep(pause)

    async def _echo(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        found = re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", head)
        digest = hashlib.sha1((found[1] if found else b"") + _GUID).digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(digest)
        )
        while True:
            await reader.readexactly(len(FRAME))
            writer.write(ECHO)


class Sink:
    """Takes OTLP over HTTP and counts spans."""

    def __init__(self) -> None:
        self.spans = 0

    async def __aenter__(self) -> Sink:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head, body = await answer(reader)
                if b"gzip" in head.lower():
                    body = gzip.decompress(body)
                self.spans += count("traces", body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
