"""The engine of HTTP/2 (RFC 9113): bytes to events and back, for either role, without I/O.

The only module that knows the library (`ngh2`, which is libnghttp2). What it does not do is done
here: floods end with ENHANCE_YOUR_CALM (`h2_floods.py`), bytes that a peer may send again are owed
until somebody acknowledges them or their stream closes, and nothing ever raises: a session that is
at its end says so by one `ConnectionClosed`, gives out its last bytes, and ignores what it is told.

    data received  ->  events = session.receive(data, now), again with b"" while session.waiting
    to be sent     ->  session.take(limit) until it is empty, then session.events()

Field names and values that are sent are not checked by the library: `h2_request.py` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import pack
from typing import Any

from ngh2 import (
    Configuration,
    Connection,
    ConnectionStateError,
    DenialOfServiceError,
    NGH2Error,
    Role,
    Setting,
)
from ngh2 import ConnectionClosed as ConnectionClosed
from ngh2 import DataReceived as DataReceived
from ngh2 import ErrorCode as ErrorCode
from ngh2 import Event as Event
from ngh2 import GoAwayReceived as GoAwayReceived
from ngh2 import InformationalResponseReceived as InformationalResponseReceived
from ngh2 import NeverIndexedHeader as NeverIndexedHeader
from ngh2 import PingAcknowledged as PingAcknowledged
from ngh2 import PingReceived as PingReceived
from ngh2 import RequestReceived as RequestReceived
from ngh2 import ResponseReceived as ResponseReceived
from ngh2 import SettingsReceived as SettingsReceived
from ngh2 import StreamClosed as StreamClosed
from ngh2 import StreamReset as StreamReset
from ngh2 import TrailersReceived as TrailersReceived
from ngh2 import WindowUpdated as WindowUpdated

from proxy.http.h2_floods import FrameCounter
from proxy.http.h2_rules import Rules as Rules
from proxy.http.head import Pair

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 §3.4: what a client sends first

# RFC 9113 §7
NO_ERROR = int(ErrorCode.NO_ERROR)
PROTOCOL_ERROR = int(ErrorCode.PROTOCOL_ERROR)
INTERNAL_ERROR = int(ErrorCode.INTERNAL_ERROR)
REFUSED_STREAM = int(ErrorCode.REFUSED_STREAM)
CANCEL = int(ErrorCode.CANCEL)
ENHANCE_YOUR_CALM = int(ErrorCode.ENHANCE_YOUR_CALM)
HTTP_1_1_REQUIRED = int(ErrorCode.HTTP_1_1_REQUIRED)

TAKE = 64 * 1024  # bytes that are asked for at once
_FRAME = 16 * 1024  # bytes of a DATA frame at most: more would delay its first bytes
_EARNED = 10  # control frames that a DATA frame may be answered with; Envoy: 10
_GOAWAY, _GOAWAY_SIZE = 7, 8
_NO_PUSH = {Setting.ENABLE_PUSH: 0}
_REFUSED = (NGH2Error, ValueError)  # the stream is gone, or the connection is at its end


def _configuration(rules: Rules) -> Any:
    head_bytes = 2 * rules.head_bytes + 64 * rules.head_fields  # 32 bytes a field are counted too
    return Configuration(
        auto_window_update=False,
        glitch_rate_limit=(1000, 100),
        max_continuations=8 + head_bytes // _FRAME,
        max_inbound_header_list_size=head_bytes,
        max_inbound_header_count=2 * rules.head_fields + 64,
        max_send_header_block_length=4 * head_bytes,
    )


def _goaway(code: int, reason: bytes) -> bytes:
    """The frame (RFC 9113 §6.8); which exchanges were begun is not known, so it may be all."""
    frame = pack(">I", _GOAWAY_SIZE + len(reason))[1:] + pack(">BBI", _GOAWAY, 0, 0)
    return frame + pack(">II", 0x7FFFFFFF, code) + reason


class Session:
    """One connection's state. `server`: whether this end answers requests or sends them."""

    __slots__ = (
        "_connection", "_counter", "_events", "_explained", "_fed", "_last_words", "_now", "_owed",
        "_rest", "_whole", "closed", "open", "waiting",
    )  # fmt: skip

    def __init__(self, server: bool, rules: Rules) -> None:
        role = Role.SERVER if server else Role.CLIENT
        self._connection: Any = Connection(role, _configuration(rules))
        self._counter = FrameCounter(len(PREFACE) if server else 0)
        self._events: list[Event] = []
        self._owed: dict[int, int] = {}  # bytes that came and are not acknowledged, by stream
        self._explained: set[int] = set()  # streams that somebody reset, and not the engine
        self._now = 0
        self._rest, self._fed = b"", 0  # that came, and how much of it was fed
        self._last_words: bytes | None = None
        self._whole = True  # nothing is cut in the middle of a frame
        self.open: set[int] = set()  # streams that were begun and have not closed
        self.waiting = False  # `receive` has more to do than it did at once
        self.closed = False  # nothing more is received, and nothing new can be sent
        takes = {Setting.MAX_CONCURRENT_STREAMS: rules.streams} if server else _NO_PUSH
        settings: dict[Any, int] = {
            **takes,
            Setting.INITIAL_WINDOW_SIZE: rules.stream_window,
            Setting.MAX_HEADER_LIST_SIZE: rules.head_bytes,
            Setting.NO_RFC7540_PRIORITIES: 1,
        }
        if rules.connect_protocol:
            settings[Setting.ENABLE_CONNECT_PROTOCOL] = 1
        self._connection.initiate_connection(settings)
        self._connection.set_local_window_size(rules.connection_window)

    # what comes

    def receive(self, data: bytes, now: int) -> list[Event]:
        """What `data` means, and all that happened since the last call; `now` in monotonic ns. If
        `waiting` is true afterwards, call it again with b"" when others have had their turn."""
        if self.closed:
            return self.events()
        begin = 0 if data else self._fed
        data = self._rest[self._fed :] + data if data else self._rest
        self._now = now
        counter = self._counter
        end = counter.slice(data, begin, now)
        self.waiting = len(data) - end >= 9
        self._rest, self._fed = (data, end) if self.waiting else (data[end:], 0)
        if counter.flooded:
            self._fail(ENHANCE_YOUR_CALM, "too many frames that carry nothing")
            return self.events()
        self._feed(data[begin:end])
        self._collect()
        if self._counter.flooded:
            self._fail(ENHANCE_YOUR_CALM, "too many exchanges that had to be reset")
        return self.events()

    def _feed(self, data: bytes) -> None:
        if not data:
            return
        try:
            self._connection.receive_data(data)
        except ConnectionStateError:
            return  # it is at its end already: what there is to say lies ready
        except DenialOfServiceError as error:
            self._fail(ENHANCE_YOUR_CALM, str(error))
        except NGH2Error as error:
            self._fail(PROTOCOL_ERROR, str(error))

    def events(self) -> list[Event]:
        """What happened since it was asked last: sending makes events too."""
        self._collect()
        found, self._events = self._events, []
        return found

    def _collect(self) -> None:
        for event in self._connection.events():
            kind = type(event)
            if kind is DataReceived:
                if event.data:
                    stream = event.stream_id
                    self._owed[stream] = self._owed.get(stream, 0) + len(event.data)
            elif kind is StreamReset:
                if event.stream_id in self.open:
                    self._explained.add(event.stream_id)
            elif kind is RequestReceived:
                self.open.add(event.stream_id)
            elif kind is StreamClosed:
                self._close_stream(event)
            elif kind is ConnectionClosed:
                if self.closed:
                    continue  # it is told once
                self.closed = True
                self.waiting = False
            self._events.append(event)

    def _close_stream(self, event: Any) -> None:
        owed = self._owed.pop(event.stream_id, 0)
        if owed:  # or the connection's window would stay smaller for ever
            self._do(self._connection.acknowledge_received_data, owed, event.stream_id)
        if not event.error_code:
            self._counter.resets.earn(1)
        elif event.stream_id not in self._explained:  # "MadeYouReset", CVE-2025-8671
            self._counter.flooded |= not self._counter.resets.take(self._now)
        self._explained.discard(event.stream_id)
        self.open.discard(event.stream_id)

    def _fail(self, code: int, why: str) -> None:
        """It ends here: say so to the peer with what it can still read."""
        if self.closed:
            return
        self._collect()
        self.closed = True
        self.waiting = False
        self._rest = b""
        reason = why.encode("ascii", "replace")[:100]
        self._events.append(ConnectionClosed(code, reason))
        try:
            self._connection.terminate_connection(code)
        except NGH2Error:  # the engine is of no use any more, and says nothing either
            self._last_words = _goaway(code, reason) if self._whole else b""

    @property
    def in_head(self) -> bool:
        """Whether a head has begun whose rest is missing, so that no event tells of it."""
        return self._counter.in_head

    # what leaves

    def take(self, limit: int = TAKE) -> bytes:
        """Bytes to be sent, at most `limit`; b"" if there are none just now."""
        if self._last_words is not None:
            last, self._last_words = self._last_words, b""
            return last
        try:
            data: bytes = self._connection.data_to_send(limit)
        except NGH2Error:
            return b""
        self._whole = len(data) < limit
        return data

    def send_request(self, fields: Iterable[Pair], end: bool) -> int:
        """Begin an exchange; its stream, or 0 if none can be begun any more."""
        connection = self._connection
        if self.closed or not connection.can_send_request:
            return 0
        try:
            stream: int = connection.send_request(fields, end_stream=end)
        except NGH2Error:
            return 0
        self._counter.control.earn(_EARNED)
        self.open.add(stream)
        return stream

    def send_response(self, stream: int, fields: Iterable[Pair], end: bool) -> bool:
        """The head of an answer; False: the stream takes none any more, here and below."""
        self._counter.control.earn(_EARNED)
        try:
            self._connection.send_response(stream, fields, end_stream=end)
        except _REFUSED:
            return False
        return not self.closed

    def send_informational(self, stream: int, fields: Iterable[Pair]) -> bool:
        """An answer of 1xx."""
        return self._do(self._connection.send_informational_response, stream, fields)

    def send_data(self, stream: int, data: bytes, end: bool) -> bool:
        """A piece of a body, kept until the peer's windows let it go (`queued`)."""
        self._counter.control.earn(_EARNED * (1 + len(data) // _FRAME))
        try:
            self._connection.send_data(stream, data, end_stream=end)
        except _REFUSED:
            return False
        return not self.closed

    def send_trailers(self, stream: int, fields: Iterable[Pair]) -> bool:
        """The last thing of a message whose body is open."""
        try:
            self._connection.send_trailers(stream, fields)
        except _REFUSED:
            return False
        return not self.closed

    def end(self, stream: int) -> bool:
        """The message is complete."""
        return self._do(self._connection.end_stream, stream)

    def reset(self, stream: int, code: int) -> bool:
        """End the exchange now; what is queued of it and was not taken is thrown away."""
        if stream not in self.open:
            return False
        self._explained.add(stream)
        return self._do(self._connection.reset_stream, stream, code)

    def queued(self, stream: int | None = None) -> int:
        """Bytes of the stream's body, or of all, that wait for windows or to be taken."""
        size: int = self._connection.queued_body_size(stream)
        return size

    def acknowledge(self, size: int, stream: int) -> None:
        """So many bytes that came on `stream` have left for where they go: the peer may send as
        many again. Those of a stream that has closed are acknowledged already."""
        owed = self._owed.get(stream, 0)
        size = min(size, owed)
        if size and not self.closed:
            self._owed[stream] = owed - size
            try:
                self._connection.acknowledge_received_data(size, stream)
            except _REFUSED:
                return

    def owed(self, stream: int) -> int:
        """Bytes that came on `stream` and were not acknowledged yet."""
        return self._owed.get(stream, 0)

    # the connection

    def announce_goaway(self) -> None:
        """The first of two steps: begin nothing more, but what is under way counts."""
        self._do(self._connection.send_shutdown_notice)

    def goaway(self, code: int = NO_ERROR, why: bytes = b"") -> None:
        """The second: what has not been received until now will not be answered."""
        self._do(lambda: self._connection.send_goaway(code, debug_data=why))

    def terminate(self, code: int) -> None:
        """End it all: `take` gives out the last bytes."""
        self._do(self._connection.terminate_connection, code)
        self._collect()

    def ping(self, payload: bytes) -> None:
        """Ask whether the peer is there (8 bytes); `PingAcknowledged` is the answer."""
        self._do(self._connection.ping, payload)

    @property
    def finished(self) -> bool:
        """Whether nothing is to come and nothing to be sent: close."""
        connection = self._connection
        return self._last_words == b"" or not (connection.want_read or connection.want_write)

    @property
    def peer_streams(self) -> int:
        """How many exchanges at once the peer takes; 100 until it has said so."""
        return int(self._connection.remote_settings.get(Setting.MAX_CONCURRENT_STREAMS, 100))

    @property
    def peer_connects(self) -> bool:
        """Whether the peer takes RFC 8441's CONNECT."""
        return bool(self._connection.remote_settings.get(Setting.ENABLE_CONNECT_PROTOCOL, 0))

    def _do(self, call: Callable[..., object], *arguments: object) -> bool:
        if self.closed:
            return False
        try:
            call(*arguments)
        except _REFUSED:
            return False
        return True
