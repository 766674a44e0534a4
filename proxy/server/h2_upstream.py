"""One HTTP/2 connection to an upstream, on which many exchanges go on at once (RFC 9113).

Owns what streams share: the socket, the engine's turns, how many streams there may be, how the
connection ends. What is one exchange's is in `h2_stream.py`; whom the streams are lent to, and
when another connection is made, in `h2_pool.py`. Everything that is sent in one turn of the loop
leaves in one write at its end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from proxy.errors import BadResponse, NotProcessed, ProxyError
from proxy.http.h2 import (
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    REFUSED_STREAM,
    ConnectionClosed,
    DataReceived,
    Event,
    GoAwayReceived,
    InformationalResponseReceived,
    ResponseReceived,
    Rules,
    Session,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
)
from proxy.http.head import Pair
from proxy.kernel.clock import monotonic_ns
from proxy.server.answer_limits import MOST_HEAD
from proxy.server.h1_upstream import WRITE_HIGH
from proxy.server.h2_ends import GOING, connection_lost, name_of
from proxy.server.h2_stream import H2UpstreamStream
from proxy.server.peer import NOBODY, peer_of
from proxy.server.tap import Tap

if TYPE_CHECKING:
    from proxy.server.h2_pool import SharedPool

MOST_STREAMS = 256  # at once, whatever the upstream would take; nginx and Go: 128 and 250
BEFORE_SETTINGS = 100  # the same until it has said: RFC 9113 §6.5.2 wants no less than that
# Of answers: 256 KiB a stream are 5 MB/s at 50 ms. In all of a connection so much that clients who
# do not read hold back their own streams alone; where half of it is theirs, nobody new comes here.
WINDOW, WINDOWS = 256 * 1024, 16 * 1024 * 1024
UPLOAD_LOW = 16 * 1024  # bytes of a request that wait, from which on it may go on
# ns without a byte, while streams are open, after which the upstream is asked whether it is there;
# the second and third are for when nothing but such answers came. A gRPC server takes three within
# five minutes, then it closes the connection (its "ping strikes").
PING_AFTER = (10_000_000_000, 60_000_000_000, 310_000_000_000)
PING_LIMIT = 10_000_000_000  # ns that an answer may take

_RULES = Rules(0, WINDOW, WINDOWS, MOST_HEAD, 256)
_PING = b"spangate"


class H2Upstream:
    """All that an asyncio.Protocol does, and the streams that it lends."""

    __slots__ = (
        "__weakref__", "_fresh", "_goaway", "_lent", "_limit", "_pinged", "_pings", "_scheduled",
        "_session", "_shut_at", "_spoke", "_streams", "_tap", "_touched", "_uploads", "_why",
        "_writable", "_written", "closed", "draining", "heard", "home", "idle_since", "old",
        "paused", "peer", "refusing", "scheme", "scheme_sent", "transport", "used",
    )  # fmt: skip

    def __init__(self, home: SharedPool, scheme: str = "http") -> None:
        self.home = home
        self.scheme = scheme
        self.scheme_sent = scheme.encode()
        self.peer = NOBODY
        self.transport: Any = None
        self.used = False  # a stream of it was lent before
        self.idle_since = 0
        self.heard = 0  # when something came last
        self.old = 0  # when it is too old to lend streams
        self.paused = 0  # streams whose clients take no more
        self.refusing = False  # it has just refused a stream
        self.draining = False  # it lends no more streams
        self.closed = False
        self._session = Session(server=False, rules=_RULES)
        self._streams: dict[int, H2UpstreamStream] = {}
        self._lent = 0  # streams that are lent and not begun
        self._limit = BEFORE_SETTINGS
        self._tap: Tap | None = None
        self._writable = True
        self._written = 0  # bytes, since the beginning
        self._shut_at = -1  # of these, how many the upstream's kernel had at its end
        self._scheduled = False  # a flush is due at the end of this turn
        self._fresh: list[H2UpstreamStream] = []  # begun, and not written yet
        self._touched: list[H2UpstreamStream] = []  # told of something in this turn
        self._uploads: dict[H2UpstreamStream, None] = {}  # bytes of their requests wait
        self._spoke = False  # the upstream has sent something
        self._goaway: int | None = None
        self._pinged = 0  # when it was asked whether it is there; 0 = it is not waited for
        self._pings = 0  # in a row, with nothing but their answers between
        self._why = ""  # it ended, where that was not the upstream's doing

    def __repr__(self) -> str:
        state = "closed" if self.closed else "draining" if self.draining else "open"
        return f"<H2Upstream {self.peer}: {state}, {self.active} of {self._limit} streams>"

    # lending

    @property
    def active(self) -> int:
        """Streams that are open or about to be."""
        return len(self._streams) + self._lent

    @property
    def limit(self) -> int:
        """Streams that may be open at once."""
        return self._limit

    def expect(self, streams: int) -> None:
        """What its siblings were told, until it is told something itself."""
        self._limit = min(self._limit, streams)

    def has_room(self) -> bool:
        """Whether it can lend a stream now."""
        return (
            len(self._streams) + self._lent < self._limit
            and not (self.draining or self.closed or self.refusing)
            and self.paused * WINDOW < WINDOWS // 2
        )

    def lend(self, used: bool) -> H2UpstreamStream:
        """A stream, to be begun or closed in this turn. `used`: nobody had to wait for it."""
        self._lent += 1
        self.used = True
        return H2UpstreamStream(self, used)

    def unlend(self) -> None:
        """It was not needed."""
        self._lent -= 1
        self._settle()

    # what streams do

    def begin(self, stream: H2UpstreamStream, fields: list[Pair]) -> None:
        """Send a request's head."""
        self._lent -= 1
        stream.number = self._session.send_request(fields, stream.request_done)
        if not stream.number:  # the connection has just ended, or its numbers are used up
            self.retire()
            loop = asyncio.get_running_loop()
            loop.call_soon(stream.fail, NotProcessed(GOING))
            return
        self._streams[stream.number] = stream
        self._fresh.append(stream)
        self._schedule()

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
            self.home.reset_sent += 1
            self._uploads.pop(stream, None)
            self._schedule()

    def was_reset(self, code: int) -> None:
        """The upstream has given an exchange up."""
        if code != NO_ERROR:
            self.home.reset_received += 1
        if code == ENHANCE_YOUR_CALM:
            self.retire()
        elif code == REFUSED_STREAM:
            self.refusing = True

    # the end

    def retire(self) -> None:
        """Lend no more, and close when all streams have ended."""
        if not self.draining:
            self.draining = True
            self.home.leave(self)
            self._schedule()

    def close(self) -> None:
        """The same for a connection that is not needed."""
        self.retire()

    def abort(self) -> None:
        """End it now."""
        self.closed = True
        self.home.leave(self)
        self.transport.abort()

    def _end(self) -> None:
        self.closed = True
        self._session.terminate(NO_ERROR)
        self._write()
        self.transport.close()

    def _fail(self, error: ProxyError) -> None:
        """The upstream does not speak HTTP/2, or not well."""
        streams, self._streams = self._streams, {}
        self._write()  # what is to be said to it
        self.abort()
        for stream in streams.values():
            stream.fail(error)

    # the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.peer = peer_of(transport)
        self._tap = Tap(transport)
        self.heard = self.idle_since = monotonic_ns()
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._write()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        self.heard = now = monotonic_ns()
        self._pinged = 0
        if not self._spoke:
            self._spoke = True
            if data[:1] == b"H":  # no frame begins so: it would be larger than may be
                self._fail(BadResponse("the upstream speaks HTTP/1.1, not HTTP/2"))
                return
        self._take(self._session.receive(data, now))

    def go_on(self) -> None:
        """The next slice of what came."""
        if self._tap is not None:
            self._tap.let_go()
        if not self.closed:
            self._take(self._session.receive(b"", monotonic_ns()))

    def eof_received(self) -> bool:
        if self._tap is not None:
            unwritten = self.transport.get_write_buffer_size()
            self._shut_at = self._written - unwritten - self._tap.unacknowledged()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self.home.forget_line(self)
        streams, self._streams = self._streams, {}
        why = self._why or f"the upstream {'reset' if error else 'closed'} the connection"
        for stream in streams.values():
            unread = stream.sent_at < 0 or 0 <= self._shut_at <= stream.sent_at
            stream.fail(connection_lost(why, self._goaway, stream.headed, unread))

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._schedule()

    # turns

    def _take(self, events: list[Event]) -> None:
        self._tell(events)
        touched, self._touched = self._touched, []
        if touched:
            self._pings = 0
            for stream in touched:
                stream.flush()
        if self._session.waiting and not self.closed and self._tap is not None:
            self._tap.hold()
            self.home.turns.add(self)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

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
        if self._fresh:
            for stream in self._fresh:
                stream.sent_at = self._written
            self._fresh = []
        while self._writable:
            data = session.take()
            if not data:
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

    # events

    def _tell(self, events: list[Event]) -> None:
        streams, touched = self._streams, self._touched
        for event in events:
            kind = type(event)
            tell = _STREAM_EVENTS.get(kind)
            if tell is None:
                self._tell_all(event)
                continue
            stream = streams.get(event.stream_id)  # type: ignore[attr-defined]
            if stream is None:
                continue
            tell(stream, event)
            if kind is StreamClosed:
                self._forget(stream)
            elif not touched or touched[-1] is not stream:
                touched.append(stream)

    def _tell_all(self, event: Event) -> None:
        if isinstance(event, SettingsReceived):
            self._limit = min(self._session.peer_streams, MOST_STREAMS)
            self.home.said(self)
        elif isinstance(event, GoAwayReceived):
            self._goaway = event.error_code
            self.retire()
        elif isinstance(event, ConnectionClosed) and not self.closed:
            self._on_closed(event)

    def _on_closed(self, event: ConnectionClosed) -> None:
        """The engine is at its end: by our own doing, the upstream's, or because of a fault."""
        if self._streams and self._goaway is None:
            why = event.debug_data.decode("ascii", "replace") or name_of(event.error_code)
            self._fail(BadResponse(f"the upstream broke the rules of HTTP/2: {why}"))
            return
        self._write()
        self.closed = True
        self.home.leave(self)
        self.transport.close()

    def _forget(self, stream: H2UpstreamStream) -> None:
        """The stream has closed."""
        self._streams.pop(stream.number, None)
        self._uploads.pop(stream, None)
        if stream.blocked:
            stream.blocked = False
            if stream.story is not None:
                stream.story.on_upload_drained()  # the rest of the request is thrown away
        self._settle()

    def _settle(self) -> None:
        if not self.active:
            self.idle_since = self.heard
            if self.draining:
                self._schedule()
        self.home.room(self)

    # the sweep

    def tick(self, now: int, idle_ns: int) -> None:
        """Look at its age, and ask an upstream that is silent whether it is there."""
        if self.refusing:
            self.refusing = False
            self.home.room(self)
        active = self.active
        if now >= self.old or (not active and now - self.idle_since >= idle_ns):
            self.retire()
        if self._pinged:
            if now - self._pinged >= PING_LIMIT:
                self._why = "the upstream did not answer a PING in 10 s"
                self.abort()
        elif active and now - self.heard >= PING_AFTER[min(self._pings, 2)]:
            self._pinged = now
            self._pings += 1
            self._session.ping(_PING)
            self._schedule()


def _on_head(stream: H2UpstreamStream, event: Any) -> None:
    stream.on_head(event.headers, event.end_stream)


def _on_data(stream: H2UpstreamStream, event: Any) -> None:
    stream.on_data(event.data, event.end_stream)


def _on_trailers(stream: H2UpstreamStream, event: Any) -> None:
    stream.on_trailers(event.headers)


def _on_informational(stream: H2UpstreamStream, event: Any) -> None:
    stream.on_informational(event.headers)


def _on_reset(stream: H2UpstreamStream, event: Any) -> None:
    stream.on_reset(event.error_code)


def _on_end(stream: H2UpstreamStream, event: Any) -> None:
    stream.on_closed(event.error_code)


_STREAM_EVENTS: dict[type[Event], Any] = {
    ResponseReceived: _on_head,
    DataReceived: _on_data,
    TrailersReceived: _on_trailers,
    InformationalResponseReceived: _on_informational,
    StreamReset: _on_reset,
    StreamClosed: _on_end,
}
