"""A server behind the gateway that needs nothing installed: what it answers is in the path.

    python -m benchmarks.backend PORT [HOST]

    /chunked/…   the 901 bytes of JSON in three chunks
    /dribble/…   a megabyte in chunks of one byte, as fast as they are taken
    /informed/…  103 answers without end
    anything     the 901 bytes with their length, or 304 if the request has If-None-Match

All under the eleven fields of the benchmark's workload. A request's body is read and thrown away.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

from benchmarks import workload

FIELDS = (
    b"Date: Sun, 01 Nov 2026 10:00:00 GMT\r\nServer: backend\r\nConnection: keep-alive\r\n"
    b"Cache-Control: private, max-age=0, must-revalidate\r\n"
    b'Vary: Accept-Encoding, Accept-Language\r\nETag: "5f2c-1b9d8e7a6c5f4"\r\n'
    b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nX-Request-Cost: 12\r\n"
)
TYPE = b"Content-Type: application/json\r\n"
BODY = workload.BODY
SIZED = b"HTTP/1.1 200 OK\r\n" + FIELDS + TYPE + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
HEAD_CHUNKED = b"HTTP/1.1 200 OK\r\n" + FIELDS + TYPE + b"Transfer-Encoding: chunked\r\n\r\n"
PIECES = (BODY[:300], BODY[300:600], BODY[600:])
CHUNKED = HEAD_CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in PIECES) + b"0\r\n\r\n"
UNCHANGED = b"HTTP/1.1 304 Not Modified\r\n" + FIELDS + b"\r\n"
DRIBBLE = b"1\r\nx\r\n" * 16384  # written again and again
DRIBBLES = 64  # times: a million chunks
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" * 1024


class Backend(asyncio.Protocol):
    """One connection; requests are answered in the order in which they come."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._transport: Any = None
        self._writing: asyncio.Event | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n") + 4) > 3:
            head = bytes(self._data[:end])
            if b"chunked" in head.lower().partition(b"transfer-encoding:")[2][:10]:
                last = self._data.find(b"0\r\n\r\n", end)
                if last < 0:
                    return
                size = last + 5 - end
            else:
                size = _length(head)
            if len(self._data) < end + size:
                return
            del self._data[: end + size]
            self._answer(head)

    def pause_writing(self) -> None:
        self._writing = asyncio.Event()

    def resume_writing(self) -> None:
        if self._writing is not None:
            self._writing.set()
            self._writing = None

    def _answer(self, head: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/chunked"):
            self._transport.write(CHUNKED)
        elif path.startswith(b"/dribble"):
            _keep(self._pour(HEAD_CHUNKED, DRIBBLE, DRIBBLES))
        elif path.startswith(b"/informed"):
            _keep(self._pour(b"", HINT, sys.maxsize))
        elif b"\r\nif-none-match:" in head.lower():
            self._transport.write(UNCHANGED)
        else:
            self._transport.write(SIZED)

    async def _pour(self, first: bytes, again: bytes, times: int) -> None:
        self._transport.write(first)
        for _ in range(times):
            if self._transport.is_closing():
                return
            self._transport.write(again)
            await asyncio.sleep(0)
            if self._writing is not None:
                await self._writing.wait()
        self._transport.write(b"0\r\n\r\n")

    def connection_lost(self, _: Exception | None) -> None:
        self.resume_writing()


_running: set[asyncio.Task[None]] = set()


def _keep(work: object) -> None:
    task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
    _running.add(task)
    task.add_done_callback(_running.discard)


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if rest else 0


async def serve(port: int, host: str = "127.0.0.1") -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Backend, host, port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:]))
