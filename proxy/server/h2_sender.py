"""The half of an upstream's HTTP/2 connection that sends: requests, and when what is written.

A base class of `H2Upstream`, which receives. Everything that is to be sent in one turn of the loop
leaves in one write at its end; what windows and socket do not take waits in the engine, and whose
request that is, is told to take a pause.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from proxy.errors import NotProcessed, OlderRequired
from proxy.http.h2 import CANCEL, Event, Rules, Session
from proxy.http.head import Pair
from proxy.server.h1_upstream import WRITE_HIGH
from proxy.server.h2_ends import FEWER, GOING
from proxy.server.h2_stream import Carrier, H2UpstreamStream
from proxy.server.turns import Turns

UPLOAD_LOW = 16 * 1024  # bytes of a request that wait, from which on it may go on


class LineHome(Protocol):
    """Where a connection belongs (`h2_pool.py`)."""

    turns: Turns

    def count_reset(self, by: str, code: int) -> None:
        """An exchange was given up, `by` the gateway or the upstream."""

    def said(self, line: Any) -> None:
        """The upstream has said how many streams it takes."""

    def room(self, line: Any) -> None:
        """A stream may be free on `line`."""

    def leave(self, line: Any) -> None:
        """It lends no more."""

    def forget_line(self, line: Any) -> None:
        """It has ended."""


def _fail(stream: H2UpstreamStream, error: NotProcessed) -> None:
    """For the loop: a compiled method is no callable with the arguments that it has here."""
    stream.fail(error)


class RequestSender(Carrier):
    """Requests of many exchanges on one connection."""

    __slots__ = (
        "__weakref__", "_fresh", "_lent", "_loop", "_scheduled", "_session", "_settled", "_streams",
        "_switching", "_uploads", "_writable", "_written", "closed", "draining", "home",
        "transport",
    )  # fmt: skip

    def __init__(self, home: LineHome, rules: Rules) -> None:
        self.home = home
        self._loop = asyncio.get_running_loop()
        self.transport: Any = None
        self.draining = False  # it lends no more streams
        self.closed = False
        self._session = Session(server=False, rules=rules)
        self._streams: dict[int, H2UpstreamStream] = {}
        self._lent = 0  # streams that are lent and not begun
        self._switching: list[tuple[H2UpstreamStream, list[Pair]]] = []  # wait for SETTINGS
        self._settled = False  # SETTINGS have come
        self._writable = True
        self._written = 0  # bytes, since the beginning
        self._scheduled = False  # a flush is due at the end of this turn
        self._fresh: list[H2UpstreamStream] = []  # begun, and not written yet
        self._uploads: dict[H2UpstreamStream, None] = {}  # bytes of their requests wait

    @property
    def active(self) -> int:
        """Streams that are open or about to be."""
        return len(self._streams) + self._lent

    def unlend(self) -> None:
        """A stream was not needed."""
        raise NotImplementedError

    def retire(self) -> None:
        """Lend no more, and close when all streams have ended."""
        raise NotImplementedError

    def _end(self) -> None:
        """Close: nothing is under way."""
        raise NotImplementedError

    def _tell(self, events: list[Event]) -> None:
        """What sending has brought about."""
        raise NotImplementedError

    # what streams do

    def begin(self, stream: H2UpstreamStream, fields: list[Pair]) -> None:
        """Send a request's head."""
        self._lent -= 1
        stream.number = self._session.send_request(fields, stream.request_done)
        if not stream.number:  # the connection has just ended, or its numbers are used up
            self.retire()
            loop = asyncio.get_running_loop()
            loop.call_soon(_fail, stream, NotProcessed(GOING))
            return
        self._streams[stream.number] = stream
        self._fresh.append(stream)
        self._schedule()

    def begin_tunnel(self, stream: H2UpstreamStream, fields: list[Pair]) -> None:
        """An extended CONNECT may be sent to who has said that it takes one (RFC 8441 §3)."""
        self._switching.append((stream, fields))
        if self._settled:
            asyncio.get_running_loop().call_soon(self._switch)

    def _take_all(self) -> list[H2UpstreamStream]:
        """All that were begun or wait; there are none any more."""
        streams, self._streams = self._streams, {}
        waiting, self._switching = self._switching, []
        return [*streams.values(), *(stream for stream, _ in waiting)]

    def _switch(self) -> None:
        """Begin those that waited; what cannot be asked for here is asked for by HTTP/1.1."""
        waiting, self._switching = self._switching, []
        for stream, fields in waiting:
            if stream.story is None:
                self.unlend()  # it was given up
            elif not self._session.peer_connects or fields[1][1] != b"websocket":
                self.unlend()
                stream.fail(OlderRequired("the upstream takes no extended CONNECT (RFC 8441)"))
            else:
                self.begin(stream, fields)

    def upload(self, stream: H2UpstreamStream, data: bytes, last: bool) -> None:
        """Send a piece of a request's body."""
        if self._session.send_data(stream.number, data, last):
            self._uploads[stream] = None
            self._schedule()

    def end_upload(self, stream: H2UpstreamStream, trailers: list[Pair]) -> None:
        """The request is complete."""
        if trailers:
            self._session.send_trailers(stream.number, trailers)
        else:
            self._session.end(stream.number)
        self._schedule()

    def acknowledge(self, stream: H2UpstreamStream) -> None:
        """All that came on it has been taken."""
        session = self._session
        session.acknowledge(session.owed(stream.number), stream.number)
        self._schedule()

    def reset(self, stream: H2UpstreamStream, code: int) -> None:
        """Give an exchange up; the upstream hears of it at the end of this turn."""
        if stream.number in self._streams and self._session.reset(stream.number, code):
            self.home.count_reset("gateway", code)
            self._uploads.pop(stream, None)
            self._schedule()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._schedule()

    def _hold_back(self, most: int) -> None:
        """The upstream takes fewer streams than were about to be begun: the engine would keep them
        without a word."""
        while self._fresh and len(self._streams) > most:
            stream = self._fresh.pop()
            if self._streams.pop(stream.number, None) is not None:
                self._uploads.pop(stream, None)
                self._session.reset(stream.number, CANCEL)
                stream.fail(NotProcessed(FEWER))

    # turns

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self.closed:
            return
        self._write()
        if self._uploads:
            self._look_at_uploads()
        if self.draining and not self.active and not self.closed:
            self._end()

    def _write(self) -> None:
        session, transport = self._session, self.transport
        for stream in self._fresh:
            if stream.sent_at < 0:
                stream.sent_at = self._written
        while self._writable:
            data = session.take()
            if not data:
                if self._fresh:
                    self._fresh = []
                break
            self._written += len(data)
            if not transport.is_closing():
                transport.write(data)
        self._tell(session.events())

    def _look_at_uploads(self) -> None:
        """Tell who may send more, and who must not. It is asked at the end of a turn, when all
        has been written that windows and socket take."""
        for stream in list(self._uploads):
            waiting = self._session.queued(stream.number)
            if not waiting:
                del self._uploads[stream]
            if stream.blocked and waiting <= UPLOAD_LOW:
                stream.blocked = False
                if stream.story is not None:
                    stream.story.on_upload_drained()
            elif not stream.blocked and waiting > WRITE_HIGH:
                stream.blocked = True
                if stream.story is not None:
                    stream.story.on_upload_blocked()
