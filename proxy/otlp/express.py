"""Express: ordinary requests of OTLP/HTTP answered without aiohttp, which takes 60 µs for each.

Ordinary is a POST of at most PART bytes with a Content-Length, plain or in gzip, whose head has
nothing that asks for more: no Expect, no Origin, no Upgrade, no second value of anything. What is
not, or does not come whole within a second, goes to aiohttp with all that came of it, and the
connection with it; so limits of time, chunks, CORS and WebSocket are there alone. What is taken
and what is refused is decided by the same functions for both.

Heads are read by the kernel. Where nothing is compiled, none is, and everything is aiohttp's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from proxy import tasks
from proxy.http import h1 as h1  # which tells the kernel what methods there are
from proxy.http.headers import bits
from proxy.kernel.scan import Lines, scan_request
from proxy.otlp.inflow import Inflow
from proxy.otlp.parts import PART
from proxy.otlp.refusal import Refusal
from proxy.otlp.server import Gate
from proxy.web.connection import Line

HEAD = 4096  # bytes of an ordinary one
_ODD = ~bits(
    (b"host", b"content-length", b"user-agent", b"connection", b"traceparent", b"tracestate", b"b3",
     b"baggage", b"x-request-id")
)  # fmt: skip
_CODINGS: dict[tuple[bytes, ...], str] = {(): "", (b"identity",): "", (b"gzip",): "gzip"}
_KINDS: dict[tuple[bytes, ...], bool] = {
    (b"application/x-protobuf",): False,
    (b"application/json",): True,
}


class Ask(NamedTuple):
    """What an ordinary head asks for."""

    signal: str
    is_json: bool
    encoding: str
    size: int = 0  # of the body, if that is known


class Desk(Protocol):
    """What decides, for all connections of a port."""

    @property
    def is_open(self) -> bool: ...
    def reply(self, ask: Ask, body: bytes) -> bytes | Awaitable[bytes]:
        """The answer as it is on the wire."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Which requests are ordinary at a port; `paths` are signals by path."""

    paths: Mapping[bytes, str]
    gate: Gate
    inflow: Inflow
    desk: Desk

    def ask(self, head: bytes) -> Ask | None:
        """What the head asks for, if it is an ordinary one."""
        lines = scan_request(head)
        if lines is None or lines.method != "POST" or lines.version != "1.1" or lines.seen & _ODD:
            return None
        signal = self.paths.get((lines.path + lines.tail).encode("ascii"))
        is_json = _KINDS.get(tuple(lines.each(b"content-type")))
        encoding = _CODINGS.get(tuple(lines.each(b"content-encoding")))
        size = int(lines.special(b"content-length") or b"-1")
        if signal is None or is_json is None or encoding is None:
            return None
        if not 0 <= size <= min(PART, self.inflow.cap) or not self._is_welcome(lines):
            return None
        return Ask(signal, is_json, encoding, size)

    def _is_welcome(self, lines: Lines) -> bool:
        if (lines.special(b"connection") or b"keep-alive").lower() != b"keep-alive":
            return False
        if lines.each(b"origin") or not self.desk.is_open:
            return False
        given = lines.each(b"authorization")
        return len(given) < 2 and self.gate.admits(
            b"".join(given).decode("utf-8", "surrogateescape")
        )


class Express:
    """The Front of one connection."""

    __slots__ = (
        "_ask", "_begin", "_data", "_end", "_held", "_line", "_size", "_terms", "is_answering"
    )  # fmt: skip

    def __init__(self, terms: Terms, line: Line) -> None:
        self._terms = terms
        self._line = line
        self._data: list[bytes] = []  # that came and was not answered
        self._size = 0
        self._ask: Ask | None = None  # what comes, and where its body is in the data
        self._begin = self._end = 0
        self._held = 0  # bytes that count as in flight
        self.is_answering = False

    @property
    def is_reading(self) -> bool:
        return self._size > 0 and not self.is_answering

    def rest(self) -> bytes:
        return b"".join(self._data)

    def closed(self) -> None:
        self._release()
        self._data, self._size = [], 0

    def feed(self, data: bytes) -> bool:
        if data:
            self._data.append(data)
            self._size += len(data)
        while self._size and not self.is_answering and not self._line.is_stalled:
            if self._ask is None and not self._open():
                return False
            if self._size < self._end:
                return self._hold(self._size - self._held)
            self._answer()
        return True

    def _open(self) -> bool:
        """Read the head, which must be here."""
        data = self._whole()
        end = data.find(b"\r\n\r\n", 0, HEAD) + 4
        self._ask = self._terms.ask(data[:end]) if end > 3 else None
        if self._ask is None:
            return False
        self._begin, self._end = end, end + self._ask.size
        return True

    def _whole(self) -> bytes:
        if len(self._data) > 1:
            self._data = [b"".join(self._data)]
        return self._data[0]

    def _answer(self) -> None:
        assert self._ask is not None
        data, ask = self._whole(), self._ask
        self._ask = None
        self._size -= self._end
        self._data = [data[self._end :]] if self._size else []
        self._release()  # the desk counts what it gets
        said = self._terms.desk.reply(ask, data[self._begin : self._end])
        if isinstance(said, bytes):
            self._say(said)
            return
        self.is_answering = True
        self._line.begun()
        self._line.transport.pause_reading()
        tasks.spawn(self._later(said), "an OTLP request")

    async def _later(self, pending: Awaitable[bytes]) -> None:
        transport = self._line.transport
        try:
            said = await pending
        except BaseException:
            transport.abort()
            raise
        finally:
            self.is_answering = False
        if transport.is_closing():
            return
        self._say(said)
        transport.resume_reading()
        if not self.feed(b""):
            self._line.hand_over()

    def _say(self, answer: bytes) -> None:
        self._line.transport.write(answer)
        self._line.answered()

    def _hold(self, size: int) -> bool:
        """Count what came of a request that is not whole; False if there is no room for it."""
        self._line.begun()
        try:
            self._terms.inflow.take(size)
        except Refusal:
            return False
        self._held += size
        return True

    def _release(self) -> None:
        self._terms.inflow.in_flight -= self._held
        self._held = 0
