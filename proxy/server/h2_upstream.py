"""One HTTP/2 connection to an upstream, on which many exchanges go on at once (RFC 9113).

Owns what streams share: the socket, the engine's turns, how many streams there may be, how the
connection ends. What is one exchange's is in `h2_stream.py`; whom the streams are lent to, and
when another connection is made, in `h2_pool.py`; what is sent, in `h2_sender.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.errors import BadResponse, ProxyError
from proxy.http.answer_limits import MOST_HEAD
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
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
)
from proxy.kernel.clock import monotonic_ns
from proxy.server.h1_upstream import WRITE_HIGH
from proxy.server.h2_ends import connection_lost, name_of
from proxy.server.h2_pulse import Pulse
from proxy.server.h2_sender import LineHome, RequestSender
from proxy.server.h2_stream import H2UpstreamStream
from proxy.server.peer import NOBODY, peer_of
from proxy.server.tap import Tap

MOST_STREAMS = 256  # at once, whatever the upstream would take; nginx and Go: 128 and 250
BEFORE_SETTINGS = 100  # the same until it has said: RFC 9113 §6.5.2 wants no less than that
# Of answers: 256 KiB a stream are 5 MB/s at 50 ms. In all of a connection so much that clients who
# do not read hold back their own streams alone; where half of it is theirs, nobody new comes here.
WINDOW, WINDOWS = 256 * 1024, 16 * 1024 * 1024

_RULES = Rules(0, WINDOW, WINDOWS, MOST_HEAD, 256)
_PING = b"spangate"
_OF_STREAMS = frozenset(
    {
        DataReceived,
        InformationalResponseReceived,
        ResponseReceived,
        StreamClosed,
        StreamReset,
        TrailersReceived,
    }
)


class H2Upstream(RequestSender):
    """All that an asyncio.Protocol does, and the streams that it lends."""

    __slots__ = (
        "_goaway", "_limit", "_pulse", "_shut_at", "_spoke", "_tap", "_touched", "_why",
        "idle_since", "old", "refusing", "used",
    )  # fmt: skip

    def __init__(self, home: LineHome, scheme: str = "http") -> None:
        super().__init__(home, _RULES)
        self.scheme = scheme
        self.scheme_sent = scheme.encode()
        self.peer = NOBODY
        self.used = False  # a stream of it was lent before
        self.idle_since = 0
        self.old = 0  # when it is too old to lend streams
        self.paused = 0  # streams whose clients take no more
        self.refusing = False  # it has just refused a stream
        self._limit = BEFORE_SETTINGS  # of streams
        self._tap: Tap | None = None
        self._shut_at = -1  # bytes of those written that the upstream's kernel had at its end
        self._touched: list[H2UpstreamStream] = []  # told of something in this turn
        self._spoke = False  # the upstream has sent something
        self._goaway: int | None = None  # the code of the last one
        self._pulse = Pulse()
        self._why = ""  # it ended, where that was not the upstream's doing

    def __repr__(self) -> str:
        state = "closed" if self.closed else "draining" if self.draining else "open"
        return f"<H2Upstream {self.peer}: {state}, {self.active} of {self._limit} streams>"

    # lending

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

    def unpause(self) -> None:
        """One client less that takes no more."""
        self.paused -= 1
        self.home.room(self)

    def was_reset(self, code: int) -> None:
        """The upstream has given an exchange up."""
        if code != NO_ERROR:
            self.home.count_reset("upstream", code)
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
        streams = self._take_all()
        self._write()  # what is to be said to it
        self.abort()
        for stream in streams:
            stream.fail(error)

    # the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.peer = peer_of(transport)
        self._tap = Tap(transport)
        self.idle_since = now = monotonic_ns()
        self._pulse.hear(now)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._write()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        now = monotonic_ns()
        self._pulse.hear(now)
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
        streams = self._take_all()
        why = self._why or f"the upstream {'reset' if error else 'closed'} the connection"
        for stream in streams:
            if isinstance(error, ProxyError):  # it was never a connection
                stream.fail(error)
                continue
            unread = stream.sent_at < 0 or 0 <= self._shut_at <= stream.sent_at
            stream.fail(connection_lost(why, self._goaway, stream.headed, unread))

    # turns

    def _take(self, events: list[Event]) -> None:
        self._tell(events)
        touched, self._touched = self._touched, []
        if touched:
            self._pulse.work()
            for stream in touched:
                stream.flush()
        if self._session.waiting and not self.closed and self._tap is not None:
            self._tap.hold()
            self.home.turns.add(self)
        self._schedule()

    # events

    def _tell(self, events: list[Event]) -> None:
        streams, touched = self._streams, self._touched
        for event in events:
            kind: Any = type(event)
            if kind not in _OF_STREAMS:
                self._tell_all(event)
                continue
            stream = streams.get(event.stream_id)  # type: ignore[attr-defined]
            if stream is None:
                continue
            if kind is StreamClosed:
                stream.on_closed(event.error_code)  # type: ignore[attr-defined]
                self._forget(stream)
                continue
            self._tell_stream(stream, kind, event)
            if not touched or touched[-1] is not stream:
                touched.append(stream)

    def _tell_stream(self, stream: H2UpstreamStream, kind: Any, event: Any) -> None:
        if kind is DataReceived:
            stream.on_data(event.data, event.end_stream)
        elif kind is ResponseReceived:
            stream.on_head(event.headers, event.end_stream)
        elif kind is TrailersReceived:
            stream.on_trailers(event.headers)
        elif kind is InformationalResponseReceived:
            stream.on_informational(event.headers)
        else:
            stream.on_reset(event.error_code)

    def _tell_all(self, event: Event) -> None:
        if isinstance(event, SettingsReceived):
            self._limit = min(self._session.peer_streams, MOST_STREAMS)
            self._hold_back(self._limit)
            self._settled = True
            self._switch()
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
            self.idle_since = self._pulse.heard
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
        if self._pulse.has_stopped(now):
            self._why = "the upstream did not answer a PING within 10 s"
            self.abort()
        elif active and self._pulse.is_due(now):
            self._session.ping(_PING)
            self._schedule()
