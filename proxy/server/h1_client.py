"""One HTTP/1.1 connection from a client: bytes to requests, one story at a time, and back.

The client side of `sides.py` where the side is the connection. Requests that come while one is
answered wait in the buffer, and no further one is begun while the client takes no answers.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.errors import BadRequest, ClientError
from proxy.http.client_hello import is_tls
from proxy.http.edits import Edits
from proxy.http.h1 import RequestReader
from proxy.http.h2 import PREFACE
from proxy.http.head import Pair, ResponseHead, Trailers
from proxy.http.receive import receive
from proxy.kernel.chunks import ChunkedDecoder, ChunkedError
from proxy.kernel.clock import monotonic_ns
from proxy.kernel.ends import BLANK, behind, find_blank, upto
from proxy.server.added import refusal
from proxy.server.h1_client_states import BODY, CLOSED, HEAD, LINGER, TUNNEL, WAIT
from proxy.server.h1_goodbye import WRITE_HIGH, Leaver
from proxy.server.h1_heads import HeadSearch
from proxy.server.h1_pace import UploadPace
from proxy.server.house import Door, House
from proxy.server.peer import NOBODY
from proxy.server.sides import NO_TRAILERS, PLENTY, StoryEvents
from proxy.server.tap import Tap

_HOLD = 64 * 1024  # bytes of further requests kept while one is answered
_AT_ONCE = 2  # requests begun in the turn in which they came
_PREFACE = PREFACE[:18]  # as much of it as looks like a head
_SLICE = 4  # requests begun in a slice of a later one


class ClientConnection(Leaver):
    """Everything that happens on one client socket; `sides.ClientSide` has the contract."""

    __slots__ = (
        "_decoder", "_door", "_early", "_pace", "_pumping", "_reader", "_search",
        "_served", "_since", "_tell", "authorities", "filed", "watched",
    )  # fmt: skip

    def __init__(self, house: House, door: Door) -> None:
        super().__init__(house, house.outbox)
        self._door = door
        self._tell = door.tell
        self.authorities = house.authorities  # that judge what a request says of its host
        self.peer = NOBODY
        self.scheme = "http"
        self.trusted = self.forwards = False
        self.watched = self.filed = False  # the sweep's
        self._reader = RequestReader()
        self._decoder: ChunkedDecoder | None = None  # of a request body in chunks
        self._early = False  # the answer to the request in hand came before its end
        self._pace: UploadPace | None = None
        self._pumping = False
        self._served = False  # there was a request
        self._since = 0  # when it became idle, or lingering began
        self._search = HeadSearch()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._tap = Tap(transport)
        self._since = monotonic_ns()
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        peer = self._door.welcome(self, transport)
        self.peer = peer or NOBODY
        self.judge()
        if peer is None:
            self._refuse(ClientError(503, "too many connections", close=True))

    def judge(self) -> None:
        self.trusted, self.forwards = self._door.trust(self.peer)

    def data_received(self, data: bytes) -> None:
        if self._state != HEAD and self._state >= TUNNEL:
            if self._state == TUNNEL and self._story is not None:
                self._story.on_body(data, False)
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._pump(_AT_ONCE)

    def connection_lost(self, error: Exception | None) -> None:
        self._state = CLOSED
        self._reader.close()
        self._house.release(self)
        story, self._story = self._story, None
        if story is not None:
            story.on_client_gone()

    def pause_writing(self) -> None:
        self.blocked = True
        self._unsent.start(monotonic_ns())
        if self._story is not None:
            self._story.on_client_blocked()

    def resume_writing(self) -> None:
        self.blocked = False
        if self._story is not None:
            self._story.on_client_drained()
        elif self._state == HEAD:
            self._since = monotonic_ns()
            self._pump(_AT_ONCE)

    def _pump(self, heads: int) -> None:
        """Take what the buffer holds, until it is empty, a story must end first, the client does
        not take its answers, or this turn has seen enough of this connection."""
        if self._pumping:
            return  # a story ended inside the loop below, which goes on by itself
        self._pumping = True
        while self._buffer and not self._queued:
            if self._state == HEAD:
                if self.blocked:
                    break
                if not heads:
                    self._queue()
                    break
                heads -= 1
                if not self._take_head():
                    break
            elif self._state != BODY or not self._take_body():
                break
        self._pumping = False
        if len(self._buffer) > _HOLD and (self._state == WAIT or self.blocked):
            self._tap.hold()
        elif self._tap.held and not self._queued:
            self._let_go()

    def _queue(self) -> None:
        self._queued = True
        self._tap.hold()
        self._house.turns.add(self)

    def go_on(self) -> None:
        self._queued = False
        if self._state == LINGER:
            self.transport.close()
            return
        if self._state == BODY and self._decoder is not None and self._decoder.has_more:
            self._take_body()
        self._pump(_SLICE)

    def _take_head(self) -> bool:
        data = self._buffer
        if not self.watched:
            self._house.watch(self)
        end = find_blank(data, BLANK, self._search.seen) + 4
        if end < 4 or data[0] < 0x21:  # whatever llhttp would skip
            return self._partial_head(data)
        came = data if end == len(data) else upto(data, end)
        self._buffer = b"" if came is data else behind(data, came)
        house = self._house
        try:
            head = receive(self._reader, came, house.snapshot, self.authorities)
        except ClientError as error:
            if not self._served and self.scheme == "http" and data.startswith(_PREFACE):
                self._hand_over(data)
            else:
                self._refuse(error)
            return False
        self._served = True
        self._asked = head
        if head.length == 0:
            self._state = WAIT
        else:
            self._state = BODY
            self._early = False
            self._left = head.length or 0
            self._decoder = ChunkedDecoder() if head.length is None else None
        self._close = not head.keep_alive or house.draining or self._retired
        tell = self._tell
        self._story = story = tell(house, self, head)
        story.begin()
        return True

    def _partial_head(self, data: bytes) -> bool:
        if data[0] == 0x16 and is_tls(data):
            error = BadRequest("this port speaks plain HTTP: write http:// instead of https://")
            error.rejected = "tls"
            self._refuse(error)
            return False
        try:
            self._buffer = self._search.partial(data, self._house.snapshot.limits)
        except ClientError as error:
            if self._served or not _PREFACE.startswith(data):
                self._refuse(error)
        return len(self._buffer) < len(data) and self._state == HEAD

    def _hand_over(self, data: bytes) -> None:
        """The client speaks HTTP/2 and knows that we do (RFC 9113 §3.3)."""
        self._state = CLOSED
        self._buffer = b""
        me: Any = self
        self._door.hand_over(me, data)

    def _take_body(self) -> bool:
        story, data = self._story, self._buffer
        if story is None:
            return False
        if self._decoder is not None:
            return self._take_chunks(story, self._decoder, data)
        left = self._left - len(data)
        if left < 0:
            self._buffer = data[left:]
            data = data[:left]
            left = 0
        else:
            self._buffer = b""
        self._left = left
        story.on_body(data, not left)
        if not left and self._state == BODY:
            self._state = WAIT
            story.on_body_end(NO_TRAILERS)
        elif left >= PLENTY and self._state == BODY:
            story.on_plenty(self, left)
        return True

    def _take_chunks(self, story: StoryEvents, decoder: ChunkedDecoder, data: bytes) -> bool:
        self._buffer = b""
        self._left += len(data)  # here those that came
        try:
            pieces = decoder.feed(data)
        except ChunkedError as error:
            self._close = True
            story.on_bad_body(BadRequest(f"malformed chunked body: {error}"))
            return False
        done = decoder.done
        last = len(pieces) - 1 if done and not decoder.trailers else -1
        for index, piece in enumerate(pieces):
            if self._state == BODY:
                story.on_body(piece, index == last)
        if done and self._state == BODY:
            self._buffer = decoder.rest
            self._state = WAIT
            self._decoder = None
            story.on_body_end(tuple(decoder.trailers))
        elif decoder.has_more and self._state == BODY and not self._queued:
            self._queue()
        return True

    def _refuse(self, error: ClientError) -> None:
        """Answer what never became a request, and close."""
        self._house.count_refused(error)
        head, more, body = refusal(self._house, error)
        self.reply(head, more, body)
        self.next(monotonic_ns())

    @property
    def upload_done(self) -> bool:
        return self._state != BODY

    def send_head(self, head: ResponseHead, edits: Edits, more: list[Pair]) -> None:
        if self._state == BODY and head.status != 101:
            self._close = self._early = True
        self.begin_answer(head, edits, more)

    def end(self, trailers: Trailers) -> None:
        if self._pending or self._chunked:
            self.finish_answer(trailers)
        if self._state == TUNNEL:
            self.shut()

    def skip_body(self) -> None:
        if self._state == BODY and self._decoder is None and len(self._buffer) >= self._left:
            self._buffer = self._buffer[self._left :]
            self._state = WAIT

    def open_tunnel(self) -> None:
        self.flush()
        self._state = TUNNEL
        self._close = True
        early, self._buffer = self._buffer, b""
        story = self._story
        if early and story is not None:
            story.on_body(early, False)
        if not self._tap.ended:
            self._tap.let_go()
        elif story is not None:
            story.on_body_end(NO_TRAILERS)  # the client shut its end before it had the answer

    def next(self, now: int) -> None:
        self._story = None
        self._asked = None  # an idle connection keeps nothing of what was
        if self._state != WAIT and self._state >= LINGER:
            return
        if self._close or self._state == BODY:
            self.hang_up()
            return
        self._state = HEAD
        self._since = now
        if self._search.touched:
            self._search.reset()
        if self._tap.paused:
            self._tap.resume()
        if self._buffer or self._tap.held:
            self._pump(_AT_ONCE)

    def idle_since(self) -> int:
        idle = self._state == HEAD and not self._buffer and not self.blocked
        return self._since if idle else -1 if self._state == CLOSED else 0

    def tick(self, now: int) -> None:
        if self._tap.hides_the_end(self._missing()) or self._is_forgotten(now):
            self.transport.abort()
        elif self._story is not None:
            if self._state == BODY and self._is_slow(now):
                self._close = True
                self._story.on_bad_body(BadRequest("the request body comes too slowly", status=408))
            else:
                self._story.tick(now)
        elif self._state == LINGER or (self._state == HEAD and self.blocked):
            if self._unsent.has_waited(self.transport.get_write_buffer_size(), now):
                self.transport.abort()
        elif self._state == HEAD and self._buffer:
            if self._search.waited(now) > self._house.snapshot.limits.header_timeout * 1e9 > 0:
                self._refuse(BadRequest("the request head took too long", status=408))
        elif self._state == HEAD:
            self._check_idle(now - self._since)

    def _is_slow(self, now: int) -> bool:
        """Whether the client takes too long for the rest of its body; whoever answered already,
        or was asked whether to go on, may not be waiting for it."""
        head = self._asked
        rate = self._house.snapshot.limits.body_rate
        if not rate or head is None or self._early:
            return False
        came = self._left if head.length is None else head.length - self._left
        asks = not came and head.field(b"expect") is not None
        pace = self._pace
        if pace is None:
            pace = self._pace = UploadPace()
        counts = not (asks or self._tap.paused or self._tap.held)
        return pace.is_slow(head, came, now, rate, counts=counts)

    def _missing(self) -> int:
        """Bytes without which the request in hand is incomplete, at least."""
        if self._state != BODY:
            return 0
        if self._decoder is None:
            return self._left
        return 0 if self._decoder.has_more else 1

    def _check_idle(self, waited: int) -> None:
        keepalive = self._house.snapshot.limits.keepalive * 1e9
        if waited > keepalive > 0 or self._house.is_closing_idle(waited):
            self._linger()
            self.transport.close()
