"""Exactly N requests by HTTP/2 in a closed loop over kept connections, as `fixed` makes them.

STREAMS exchanges are under way on each connection. A worker under callgrind is so much slower than
this that its streams are always all taken, so that its turns are alike from run to run.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence

from benchmarks.fixed import PATIENCE, Failed
from proxy.http.h2 import (
    DataReceived,
    ResponseReceived,
    Rules,
    Session,
    StreamClosed,
    TrailersReceived,
)
from proxy.http.head import Pair

CONNECTIONS, STREAMS = 8, 16
_WINDOWS = 16 * 1024 * 1024

Request = tuple[list[Pair], bytes]  # field lines, and a body


class Caller:
    """One connection. `left` requests of all connections are still to be made."""

    def __init__(self, port: int, status: int) -> None:
        self.link = socket.create_connection(("127.0.0.1", port))
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._session = Session(False, Rules(stream_window=_WINDOWS, connection_window=_WINDOWS))
        self._status = b"%d" % status
        self.open = 0

    def ask(self, request: Request) -> None:
        """Begin an exchange; `push` sends it."""
        fields, body = request
        stream = self._session.send_request(fields, not body)
        if not stream:
            raise Failed("the connection takes no request")
        if body:
            self._session.send_data(stream, body, True)
        self.open += 1

    def push(self) -> None:
        """Send what there is."""
        while data := self._session.take():
            self.link.sendall(data)

    def read(self) -> int:
        """Read what has come; how many answers have ended."""
        data = self.link.recv(1 << 16)
        if not data:
            raise Failed("the connection was closed")
        events = self._session.receive(data, time.monotonic_ns())
        while self._session.waiting:
            events += self._session.receive(b"", time.monotonic_ns())
        ended = sum([self._hear(event) for event in events])
        self.open -= ended
        return ended

    def _hear(self, event: object) -> bool:
        if isinstance(event, ResponseReceived):
            failed = [v for n, v in event.headers if n == b"grpc-status" and v != b"0"]
            self._check(event.headers[0][1] == self._status and not failed, event.headers)
            return event.end_stream
        if isinstance(event, DataReceived):
            self._session.acknowledge(len(event.data), event.stream_id)
            return event.end_stream
        if isinstance(event, TrailersReceived):
            self._check((b"grpc-status", b"0") in event.headers, event.headers)
            return True
        if isinstance(event, StreamClosed):
            self._check(event.error_code == 0, event.error_code)
        return False

    def _check(self, holds: bool, what: object) -> None:
        if not holds:
            raise Failed(f"expected {self._status.decode()}: {what!r}")


def run(port: int, requests: Sequence[Request], number: int, status: int = 200) -> None:
    """Make `number` requests, in turn those of `requests`; Failed unless all get `status`."""
    with selectors.DefaultSelector() as selector:
        callers = [Caller(port, status) for _ in range(CONNECTIONS)]
        try:
            for caller in callers:
                selector.register(caller.link, selectors.EVENT_READ, caller)
            _loop(selector, callers, requests, number)
        finally:
            for caller in callers:
                caller.link.close()


def _loop(
    selector: selectors.BaseSelector,
    callers: Sequence[Caller],
    requests: Sequence[Request],
    number: int,
) -> None:
    sent = done = 0
    ready = list(callers)
    while done < number:
        for caller in ready:
            while caller.open < STREAMS and sent < number:
                caller.ask(requests[sent % len(requests)])
                sent += 1
            caller.push()
        ready = [key.data for key, _ in selector.select(PATIENCE)]
        if not ready:
            raise Failed(f"no answer in {PATIENCE:g} s after {done} of {number}")
        done += sum([caller.read() for caller in ready])
