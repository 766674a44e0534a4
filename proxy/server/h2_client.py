"""One HTTP/2 connection from a client: streams, each with a story of its own, and their end.

The engine (`http/h2.py`) makes events of bytes; a stream (`h2_client_stream.py`) is the client
side of its story. Here: who comes in, what is written when, and deadlines. All that a turn of the
loop has to say leaves at its end in few writes. A slice of what came is served at once, the rest
in turns with others (`turns.py`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.errors import BadRequest, ClientError
from proxy.http import h2
from proxy.http.edits import NO_EDITS
from proxy.http.h2_request import request_head
from proxy.kernel.clock import monotonic_ns
from proxy.server.added import refusal
from proxy.server.h1_goodbye import WRITE_HIGH
from proxy.server.h2_books import name_of
from proxy.server.h2_client_stream import ClientStream
from proxy.server.h2_goodbye import PING, Departing
from proxy.server.house import Door, House
from proxy.server.peer import NOBODY, Peer


class H2Connection(Departing):
    """Everything that happens on one socket of a client that speaks HTTP/2."""

    __slots__ = (
        "_dirty", "_door", "_flushes", "_loop", "blocked", "filed", "forwards", "held",
        "peer", "scheme", "trusted", "watched",
    )  # fmt: skip

    def __init__(self, house: House, door: Door) -> None:
        super().__init__(house)
        self._door = door
        self.peer = NOBODY
        self.scheme = "http"
        self.trusted = self.forwards = False
        self.watched = self.filed = False  # the sweep's
        self.blocked = set()
        self.held = []
        self._dirty = False  # something is to be written in this turn
        self._flushes = False

    # the transport

    def connection_made(self, transport: Any) -> None:
        """A connection whose protocol was known before its first byte."""
        peer = self._door.welcome(self, transport)
        self.take_over(transport, peer or NOBODY)
        if peer is None:
            self.finish(h2.ENHANCE_YOUR_CALM, "too_many_connections")

    def take_over(self, transport: Any, peer: Peer) -> None:
        """Serve a connection that somebody else has let in."""
        self.transport = transport
        self._loop = asyncio.get_running_loop()
        self._since = monotonic_ns()
        self.peer = peer
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        self.judge()
        self.touch()

    def judge(self) -> None:
        self.trusted, self.forwards = self._door.trust(self.peer)
        for stream in self._streams.values():
            stream.trusted, stream.forwards = self.trusted, self.forwards

    def data_received(self, data: bytes) -> None:
        if self._leaves or self.session.closed:
            self.transport.pause_reading()  # until the sweep: who floods is not read for nothing
            return
        if not self.watched:
            self.house.watch(self)
        self._serve(data)

    def _serve(self, data: bytes) -> None:
        """A slice of it, and the rest in later turns."""
        self._handle(self.session.receive(data, monotonic_ns()))
        self.touch()
        if self.session.waiting and not self._queued and not self.transport.is_closing():
            self._queued = True
            self.transport.pause_reading()
            self.house.turns.add(self)

    def go_on(self) -> None:
        self._queued = False
        if self.transport.is_closing():
            return
        self._serve(b"")
        if not self._queued and not self.transport.is_closing():
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        """Half a connection is none (RFC 9113 §5.1: END_STREAM is what ends requests)."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._leaves = True
        self.house.release(self)
        self.abandon()

    def pause_writing(self) -> None:
        self._writable = False
        self._unsent.start(monotonic_ns())

    def resume_writing(self) -> None:
        self._writable = True
        self.push()

    # what the engine tells

    def _handle(self, events: list[Any]) -> None:
        streams = self._streams
        for event in events:
            kind: Any = type(event)
            if kind is h2.RequestReceived:
                self._ask(event)
            elif kind is h2.DataReceived:
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.receive(event.data, event.end_stream)
            elif kind is h2.StreamClosed:
                self._close(event.stream_id, event.error_code)
            else:
                self._handle_rare(kind, event)

    def _handle_rare(self, kind: Any, event: Any) -> None:
        if kind is h2.TrailersReceived:
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.receive_trailers(event.headers)
        elif kind is h2.StreamReset:
            self.house.h2.reset(event.error_code, "client")
        elif kind is h2.PingAcknowledged:
            if self._goaway > 0 and event.opaque_data == PING:
                self.goaway_for_good()
        elif kind is h2.ConnectionClosed:
            if event.error_code:
                self.house.h2.goaway(name_of(event.error_code))
            self.abandon()
            self.hang_up(event.error_code)

    def _ask(self, event: Any) -> None:
        house = self.house
        number, heard = event.stream_id, event.end_stream
        stream = ClientStream(self, number, heard)
        self._streams[number] = stream
        house.h2.open += 1
        try:
            head = request_head(event.headers, heard, house.snapshot, house.authorities)
        except ClientError as error:
            self._refuse(stream, error)
            return
        stream.begin(self._door.tell(house, stream, head), head)

    def _refuse(self, stream: ClientStream, error: ClientError) -> None:
        """Answer what never became a request; the others go on."""
        self.house.count_refused(error)
        head, more, body = refusal(self.house, error)
        stream.send_head(head, NO_EDITS, more)
        stream.send_data(body, True)
        stream.next(monotonic_ns())

    def _close(self, number: int, code: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is None:  # the engine has refused it
            self.house.h2.reset(code, "gateway")
            if code == h2.PROTOCOL_ERROR:
                self.house.count_refused(BadRequest("malformed"))
            return
        self.house.h2.open -= 1
        if not self._streams:
            self._since = monotonic_ns()
        stream.closed(code)

    # what is written

    def touch(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._dirty = False
        while self.held:
            self.held.pop().release()
        self.push()

    def push(self) -> None:
        if self._flushes or self._leaves:
            return
        self._flushes = True
        session, transport = self.session, self.transport
        while self._writable and not transport.is_closing():
            data = session.take()
            if data:
                transport.write(data)
            elif not self._reset_early():
                break
        self._flushes = False
        self._handle(session.events())
        if self.blocked:
            for stream in list(self.blocked):
                stream.look()
        if self._goaway < 0 and not self._streams:
            self.hang_up(h2.NO_ERROR)

    def _reset_early(self) -> bool:
        """Whose answer has left needs no rest of the request (RFC 9113 §8.1)."""
        early, self._early = self._early, []
        found = False
        for stream in early:
            if stream.heard:
                continue
            if self.session.queued(stream.number):
                self._early.append(stream)
            elif self.session.reset(stream.number, h2.NO_ERROR):
                self.has_reset(h2.NO_ERROR)
                found = True
        return found

    def answered(self, stream: ClientStream) -> None:
        if not stream.heard:
            self._early.append(stream)
            self.touch()
