"""Serving: one connection of a gRPC server, which answers unary calls.

Owns the calls under way on it, its clocks, and how answers are written. Which methods there are and
what becomes of a message is its port's business; the port also looks at the clocks, every tick.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from random import random
from time import monotonic_ns
from typing import Any, Protocol

from proxy import tasks
from proxy.http.h2 import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    PREFACE,
    DataReceived,
    PingReceived,
    RequestReceived,
    Rules,
    Session,
    SettingsReceived,
    StreamClosed,
    TrailersReceived,
)
from proxy.otlp.inflow import Inflow
from proxy.otlp.refusal import OVERLOADED, STOPPING, TOO_SLOW, Refusal
from proxy.otlp.rpc import words
from proxy.otlp.rpc.answers import HEAD, LATE, OK, OUR_FAULT, refused, to_others
from proxy.otlp.rpc.call import BAD_CALL, METADATA, Call, NotGrpc
from proxy.otlp.rpc.clocks import SECOND, Act, Clocks, Keepalive
from proxy.otlp.rpc.line import Line
from proxy.otlp.server import Gate

WINDOW = 256 * 1024  # bytes of one message that may be under way
_HALF = WINDOW // 2
UNREAD = 30 * SECOND  # in which an answer must be read
_LINGER = 5 * SECOND  # for the last bytes of a connection


class Port(Protocol):
    """What a connection asks of its server."""

    inflow: Inflow
    is_stopping: bool

    @property
    def methods(self) -> Mapping[bytes, str]: ...
    @property
    def gate(self) -> Gate: ...
    @property
    def keepalive(self) -> Keepalive: ...
    @property
    def rules(self) -> Rules: ...
    @property
    def handshake(self) -> int:
        """ns until a connection has spoken HTTP/2."""

    def take(self, call: Call) -> bytes | Coroutine[Any, Any, bytes]:
        """The answer to a message that is whole; raises Refusal."""

    def admit(self, line: Serving) -> bool: ...
    def release(self, line: Serving) -> None: ...
    def works(self, line: Serving) -> None: ...
    def waits(self, line: Serving) -> None: ...


def rules(streams: int) -> Rules:
    return Rules(streams, WINDOW, 4 * WINDOW, METADATA, METADATA // 32)


class Serving(Line):
    """One connection."""

    __slots__ = (
        "_begun", "_clocks", "_cut", "_first", "_has_begun", "_is_over", "_leaving", "_port",
        "calls",
    )  # fmt: skip

    def __init__(self, port: Port) -> None:
        super().__init__(Session(True, port.rules))
        self._port = port
        self._begun = monotonic_ns()
        self._clocks = Clocks(port.keepalive, self._begun, random())
        self._first: bytes | None = b""  # what came of the preface; None = all of it
        self._has_begun = False  # its settings came too
        self._is_over = False  # whatever is under way
        self._leaving = 0  # steps of RFC 9113 §6.8 that were taken: announced, and said
        self._cut: list[int] = []  # streams whose rest is not wanted, once they are answered
        self.calls: dict[int, Call] = {}

    # what the loop calls

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.heard = self._begun
        if not self._port.admit(self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        if self._first is not None:
            data = self._first + data
            if not PREFACE.startswith(data[: len(PREFACE)]):
                self._answer_others(data)
                return
            self._first = data if len(data) < len(PREFACE) else None
            if self._first is not None:
                return
        self._clocks.heard()
        super().data_received(data)

    def _answer_others(self, data: bytes) -> None:
        """Something that is not HTTP/2."""
        if not (said := to_others(data)):
            self.abort()
            return
        self.transport.write(said)
        if self.transport.can_write_eof():
            # A request's rest that nobody read would reset the connection under the answer.
            self.closing = monotonic_ns()
            self.transport.write_eof()
        else:
            self.close()

    def lost(self, error: Exception | None) -> None:
        for call in [*self.calls.values()]:
            self._end(call)
        self.calls.clear()
        self._port.release(self)

    # what happens on it

    def handle(self, events: Iterable[Any]) -> None:
        for event in events:
            kind = type(event)
            if kind is DataReceived:
                self._data(event)
            elif kind is RequestReceived:
                self._open(event)
            elif kind is StreamClosed:
                self._closed(event.stream_id)
            elif kind is TrailersReceived:
                self._complete(self.calls.get(event.stream_id))
            elif kind is PingReceived:
                self._pinged()
            elif kind is SettingsReceived:
                self._has_begun = True

    def _open(self, event: Any) -> None:
        port = self._port
        if not self.calls:
            port.works(self)
        call = Call(event.stream_id, self.heard, port.inflow, self._push_out)
        self.calls[event.stream_id] = call
        call.is_over = event.end_stream
        try:
            call.open(event.headers, port.methods, port.gate)
            if port.is_stopping:
                raise Refusal(STOPPING)
            if event.end_stream:
                raise Refusal(BAD_CALL, "there is no message")
        except NotGrpc as error:
            self._answer_http(call, error)
        except Refusal as refusal:
            self.refuse(call, refusal)

    def _data(self, event: Any) -> None:
        session, stream = self.session, event.stream_id
        call = self.calls.get(stream)
        if call is None or call.answered:
            session.acknowledge(len(event.data), stream)  # it is not kept
            return
        call.is_over = event.end_stream
        try:
            if event.data:
                call.add(event.data, self.heard)
        except Refusal as refusal:
            self.refuse(call, refusal)
            return
        if event.end_stream:
            self._complete(call)
        elif session.owed(stream) >= _HALF:
            session.acknowledge(session.owed(stream), stream)

    def _complete(self, call: Call | None) -> None:
        """The client has sent all."""
        if call is None or call.answered:
            return
        call.is_over = True
        try:
            said = self._port.take(call)
        except Refusal as refusal:
            self.refuse(call, refusal)
            return
        if isinstance(said, bytes):
            self._accept(call, said)
            return
        call.task = tasks.spawn(self._later(call, said), "a gRPC call")
        call.task.add_done_callback(lambda _: said.close())  # which may never have begun

    async def _later(self, call: Call, pending: Awaitable[bytes]) -> None:
        try:
            self._accept(call, await pending)
        except Refusal as refusal:
            self.refuse(call, refusal)
        except Exception:
            self.refuse(call, Refusal(OUR_FAULT))
            raise
        finally:
            call.task = None
            if not self.closing:
                self.flush()

    def _closed(self, stream: int) -> None:
        call = self.calls.pop(stream, None)
        if call is None:
            return
        self._end(call)
        if not self.calls:
            self._clocks.calls(monotonic_ns())
            self._port.waits(self)

    def _end(self, call: Call) -> None:
        if call.task is not None:
            call.task.cancel()
        call.close()

    def _pinged(self) -> None:
        if self._clocks.is_nagged(self.heard, bool(self.calls)):
            self.session.goaway(ENHANCE_YOUR_CALM, b"too_many_pings")
            self._is_over = True

    def _push_out(self, call: Call) -> None:
        """Maybe in the middle of what another connection sent."""
        self.refuse(call, Refusal(OVERLOADED, "others needed the room of a slow body"))
        get_running_loop().call_soon(self._flush_later)

    def _flush_later(self) -> None:
        if not self.closing:
            self.flush()

    # answers

    def _accept(self, call: Call, message: bytes) -> None:
        if call.answered:
            return
        session, stream = self.session, call.stream
        session.send_response(stream, HEAD, False)
        session.send_data(stream, words.prefix(len(message), False) + message, False)
        session.send_trailers(stream, OK)
        self._answered(call)

    def refuse(self, call: Call, refusal: Refusal) -> None:
        if call.answered:
            return
        self.session.send_response(call.stream, refused(refusal), True)
        self._answered(call)

    def _answer_http(self, call: Call, error: NotGrpc) -> None:
        fields = ((b":status", b"%d" % error.status), (b"content-type", b"text/plain"))
        self.session.send_response(call.stream, fields, False)
        self.session.send_data(call.stream, f"{error}\n".encode(), True)
        self._answered(call)

    def _answered(self, call: Call) -> None:
        call.answered = monotonic_ns()
        call.close()
        self._clocks.answers()
        if not call.is_over:
            self._cut.append(call.stream)

    def flush(self) -> None:
        super().flush()
        while self._cut and not self.stalled:
            cut, self._cut = self._cut, []
            for stream in cut:
                self.session.reset(stream, NO_ERROR)  # RFC 9113 §8.1: the rest is not needed
            super().flush()
        if self._is_over or (self._leaving > 1 and not self.calls and not self.stalled):
            self.close()

    # its end

    def leave(self) -> None:
        """Take no more calls, and end with the last one that is under way."""
        self._clocks.drains(monotonic_ns())
        if self.closing:
            return
        if not self._has_begun:
            self.close()
            return
        self._leaving = 2
        self.session.goaway()
        self.flush()

    def look(self, now: int) -> None:
        """What its clocks say."""
        if self._is_stuck(now):
            self.abort()
        if self.closing or not self._has_begun:
            return
        for call in [*self.calls.values()]:
            self._look_at(call, now)
        if self._leaving == 1:
            self.leave()
        act = self._clocks.due(now, self.heard, bool(self.calls))
        if act is Act.KILL:
            self.abort()
            return
        if act is Act.PING:
            self.session.ping(b"spangate")
        elif act is Act.DRAIN:
            self._clocks.drains(now)
            self._leaving = 1
            self.session.announce_goaway()
        self.flush()

    def _is_stuck(self, now: int) -> bool:
        if self.closing:
            return now - self.closing > _LINGER
        if self.stalled:
            return now - self.stalled > UNREAD
        return not self._has_begun and now - self._begun > self._port.handshake

    def _look_at(self, call: Call, now: int) -> None:
        if call.answered:
            if now - call.answered > UNREAD:
                self.session.reset(call.stream, CANCEL)
        elif call.deadline and now > call.deadline:
            self._end(call)
            self.refuse(call, Refusal(LATE))
        elif call.is_slow(now):
            self.refuse(call, Refusal(TOO_SLOW))
