"""Asking: one connection of a gRPC client, on which unary calls are made.

Owns the calls under way on it. Makes no more at once than the server takes; the others wait. Whom
to connect to, and when anew, is the channel's business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from time import monotonic_ns
from typing import Any, NamedTuple

from proxy.http.h2 import (
    CANCEL,
    REFUSED_STREAM,
    ConnectionClosed,
    DataReceived,
    GoAwayReceived,
    PingAcknowledged,
    ResponseReceived,
    Rules,
    Session,
    SettingsReceived,
    StreamClosed,
    TrailersReceived,
)
from proxy.otlp.rpc import words
from proxy.otlp.rpc.line import Line
from proxy.otlp.rpc.words import PREFIX, Field

RESPONSE = 4 * 1024 * 1024  # bytes of an answer (OTLP 1.11: a client must limit them)
METADATA = 64 * 1024  # bytes of one of its two blocks of metadata
_WINDOW = 256 * 1024
RULES = Rules(0, _WINDOW, 4 * _WINDOW, METADATA)

_LOST = "the connection was lost"


class Reply(NamedTuple):
    """What came of a call; `details` is a serialised google.rpc.Status, or b""."""

    code: int
    message: str = ""
    details: bytes = b""
    body: bytes = b""


class _Asked:
    """A call under way."""

    __slots__ = ("body", "fields", "reply", "size")

    def __init__(self) -> None:
        # None: the server says that it did not begin to work on it
        self.reply: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self.fields: dict[bytes, bytes] = {}
        self.body: list[bytes] = []
        self.size = 0

    def end(self, reply: Reply | None) -> None:
        if not self.reply.done():
            self.reply.set_result(reply)

    @property
    def is_answered(self) -> bool:
        return b"grpc-status" in self.fields

    def judge(self, error: int) -> Reply | None:
        """When its stream was closed; `error` is that of HTTP/2."""
        fields = self.fields
        message = words.unpercent(fields.get(b"grpc-message", b""))
        status = fields.get(b":status", b"200")
        if (given := fields.get(b"grpc-status")) is not None:
            details = words.binary(fields.get(b"grpc-status-details-bin", b""))
            return Reply(words.code(given), message, details, self._message())
        if error == REFUSED_STREAM:
            return None
        if status != b"200" and status.isdigit():
            code = words.code_of_http(int(status))
            return Reply(code, message or f"HTTP status {int(status)} instead of gRPC")
        if error:
            return Reply(words.code_of_reset(error), f"the stream was reset, error {error}")
        return Reply(words.UNKNOWN, "the answer has no grpc-status")

    def _message(self) -> bytes:
        """Of an answer; b"" too if it cannot be read, since then it was an answer all the same."""
        whole = b"".join(self.body)
        is_plain = whole[:1] == b"\0" and len(whole) == PREFIX + int.from_bytes(whole[1:5], "big")
        return whole[PREFIX:] if is_plain else b""


class Asking(Line):
    """One connection."""

    __slots__ = ("_asked", "_pinged", "_said_goodbye", "_waiting", "is_leaving", "over", "why")

    def __init__(self) -> None:
        super().__init__(Session(False, RULES))
        self._asked: dict[int, _Asked] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()  # for their turn to ask
        self._pinged = 0  # when, without an answer yet
        self._said_goodbye = False  # the server, by GOAWAY
        self.why = "the connection was lost before HTTP/2 began"
        self.is_leaving = False  # it takes no more calls
        self.over = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return not self.is_leaving and not self.closing

    async def ask(self, fields: Iterable[Field], parts: Sequence[bytes]) -> Reply | None:
        """Make a call of the message that `parts` are together; None = not even begun there."""
        while self.is_open and len(self._asked) >= self.session.peer_streams:
            await self._turn()
        stream = self.session.send_request(fields, False) if self.is_open else 0
        if not stream:
            self.is_leaving = True
            return None
        self._asked[stream] = asked = _Asked()
        for part in parts:
            self.session.send_data(stream, part, part is parts[-1])
        try:
            self.flush()
            return await asked.reply
        finally:
            if self._asked.pop(stream, None) is not None:
                self.session.reset(stream, CANCEL)
            self._go_on_after()

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._next()  # who may have been let in for nothing
            raise

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                if self.is_open:
                    return

    def _go_on_after(self) -> None:
        self._next()
        if not self.closing:
            self.flush()
            self._leave_when_done()

    # what happens on it

    def handle(self, events: Iterable[Any]) -> None:
        for event in events:
            kind = type(event)
            if kind is DataReceived:
                self._data(event)
            elif kind is ResponseReceived or kind is TrailersReceived:
                if (asked := self._asked.get(event.stream_id)) is not None:
                    asked.fields.update(event.headers)
            elif kind is StreamClosed:
                self._closed(event.stream_id, event.error_code)
            elif kind is SettingsReceived:
                self.why = _LOST
            elif kind is PingAcknowledged:
                self._pinged = 0
            elif kind is GoAwayReceived:
                self._said_goodbye = True
                self.why = "the server goes away"
                self.leave()
            elif kind is ConnectionClosed and self.why is _LOST:
                said = event.debug_data.decode("utf-8", "replace")
                self.why = f"the connection was ended: {said or f'error {event.error_code}'}"

    def _closed(self, stream: int, error: int) -> None:
        asked = self._asked.get(stream)
        if asked is None:
            return
        # The session may be at its end already, with events left that came before it. Of a call
        # without an answer nobody says what became of it then: `lost` ends it.
        if self.session.closed and not self._said_goodbye and not asked.is_answered:
            return
        del self._asked[stream]
        reply = asked.judge(error)
        if reply is None and not self._said_goodbye:
            self.why = "the server takes no more calls"
        asked.end(reply)

    def _data(self, event: Any) -> None:
        data, stream = event.data, event.stream_id
        self.session.acknowledge(len(data), stream)
        asked = self._asked.get(stream)
        if asked is None:
            return
        asked.size += len(data)
        if asked.size > RESPONSE + PREFIX:
            del self._asked[stream]
            self.session.reset(stream, CANCEL)
            asked.end(Reply(words.RESOURCE_EXHAUSTED, f"an answer of more than {RESPONSE} bytes"))
        elif data:
            asked.body.append(data)

    def lost(self, error: Exception | None) -> None:
        why = f"{self.why}: {error}" if error is not None else self.why
        asked, self._asked = self._asked, {}
        for one in asked.values():
            one.end(Reply(words.UNAVAILABLE, why))
        self.over.set()
        self._next()

    # its end

    def leave(self) -> None:
        """Take no more calls, and end with the last one that is under way."""
        self.is_leaving = True
        self._next()

    def _leave_when_done(self) -> None:
        if self.is_leaving and not self._asked:
            self.end()

    def end(self) -> None:
        """Now; calls under way get no answer."""
        self.leave()
        for asked in self._asked.values():
            asked.end(Reply(words.CANCELLED, "the channel was closed"))
        if not self.closing:
            self.session.goaway()
            self.flush()
            self.close()

    def is_dead(self, silence: int) -> bool:
        """Ask whether the server lives, if nothing came for so long (ns); True: it was asked
        before, in vain."""
        now = monotonic_ns()
        if self._pinged and now - self._pinged >= silence:
            return True
        if not self._pinged and now - self.heard >= silence:
            self._pinged = now
            self.session.ping(b"spangate")
            self.flush()
        return False
