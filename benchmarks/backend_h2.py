"""A server of gRPC over HTTP/2 behind the gateway that needs nothing installed.

    python -m benchmarks.backend_h2 PORT [HOST]

Every call is answered by ten bytes of message and the status 0, when all of it has come.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import uvloop

from proxy.http.h2 import DataReceived, RequestReceived, Rules, Session

HEAD = [
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity, deflate, gzip"),
    (b"date", b"Sun, 01 Nov 2026 10:00:00 GMT"),
    (b"server", b"backend"),
]
MESSAGE = b"\0\0\0\0\x0a" + b"y" * 10
TRAILERS = [(b"grpc-status", b"0")]
_RULES = Rules(streams=1000, connection_window=16 * 1024 * 1024)


class Backend(asyncio.Protocol):
    """One connection with many calls."""

    def __init__(self) -> None:
        self._session = Session(True, _RULES)
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        session = self._session
        events = session.receive(data, time.monotonic_ns())
        while session.waiting:
            events += session.receive(b"", time.monotonic_ns())
        for event in events:
            if isinstance(event, DataReceived):
                session.acknowledge(len(event.data), event.stream_id)
            if isinstance(event, RequestReceived | DataReceived) and event.end_stream:
                session.send_response(event.stream_id, HEAD, False)
                session.send_data(event.stream_id, MESSAGE, False)
                session.send_trailers(event.stream_id, TRAILERS)
        while data := session.take():
            self._transport.write(data)


async def serve(port: int, host: str = "127.0.0.1") -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Backend, host, port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:]))
