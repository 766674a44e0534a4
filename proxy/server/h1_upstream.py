"""One HTTP/1.1 connection to an upstream: bytes to and from it, and whether it may be used again.

The upstream side of `sides.py` where the side is the connection. One on which anything was odd
(bytes after the body, both framings, an answer before the request's end) is closed, never pooled.
"""

from __future__ import annotations

import asyncio

from proxy.errors import BadResponse, ProxyError, Truncated, UpstreamReset
from proxy.http.answer_limits import MOST_HEAD, MOST_INFORMATIONAL
from proxy.http.framing import announces_body, frame_response, is_chunked
from proxy.http.h1 import ResponseReader, check_partial_answer
from proxy.http.head import ResponseHead, Trailers
from proxy.http.headers import bits, keep_alive_ns, own
from proxy.http.upgrade import check_granted
from proxy.kernel.chunks import ChunkedDecoder, ChunkedError
from proxy.kernel.clock import monotonic_ns
from proxy.kernel.ends import BLANK, behind, find_blank, upto
from proxy.server.h1_request import RequestWriter
from proxy.server.h1_upstream_states import BODY, CLOSED, HEAD, IDLE, TUNNEL
from proxy.server.outbox import Outbox
from proxy.server.peer import NOBODY, peer_of
from proxy.server.sides import NO_TRAILERS, PLENTY, Lender
from proxy.server.tap import Tap
from proxy.server.turns import Turns


class Home(Lender):
    """Where a connection goes between two exchanges (`pool.py`)."""

    __slots__ = ("outbox", "turns")

    outbox: Outbox
    turns: Turns

    def know(self, connection: UpstreamConnection, now: int) -> None:
        """It has been made; sets `old`."""

    def give(self, connection: UpstreamConnection, now: int) -> bool:
        """Take it back; False if it is not wanted."""
        raise NotImplementedError

    def rest(self, connection: UpstreamConnection, now: int) -> bool:
        """The same after an answer that more bytes may follow."""
        raise NotImplementedError

    def mistrust(self, connection: UpstreamConnection) -> None:
        """Bytes came that nobody had asked for."""

    def forget(self, connection: UpstreamConnection) -> None:
        """It has ended."""


WRITE_HIGH = 64 * 1024  # asyncio's default: more gained nothing in benchmarks/stream.py

KEEP_ALIVE = own(b"keep-alive")
_HINT = bits([KEEP_ALIVE])


class UpstreamConnection(RequestWriter):
    """Serves one story at a time; between two of them it waits in its pool."""

    __slots__ = (
        "_buffer", "_decoder", "_hint", "_interim", "_reader", "_rests", "_tap",
        "_untouched", "idle_since", "old", "pool",
    )  # fmt: skip

    _tap: Tap

    def __init__(self, pool: Home) -> None:
        super().__init__(pool.outbox)
        self.pool = pool
        self.peer = NOBODY
        self.scheme = "http"
        self.version = "1.1"
        self.used = False
        self.idle_since = 0
        self.old = 0  # when it is too old to be used again
        self._untouched = False  # no byte of the request in hand has been taken
        self._rests = False  # this answer may be followed by bytes that are none
        self._reader = ResponseReader()
        self._buffer = b""
        self._decoder: ChunkedDecoder | None = None
        self._interim = 0  # 1xx heads before this answer
        self.blocked = False  # it takes no more of the request for now
        self._hint = 0  # ns, from the upstream's Keep-Alive: timeout=

    def drop_answer(self) -> None:
        """Saved if the body came together with the head, else closed: who would miss the rest?"""
        self.story = None

    def close(self) -> None:
        self._state = CLOSED
        self._outbox.flush()
        self.transport.close()

    def has_input(self) -> bool:
        """Whether something waits to be read, the end included."""
        return self._tap.has_input()

    def pause(self) -> None:
        self._tap.pause()

    def resume(self) -> None:
        self._tap.resume()

    def has_waited(self, now: int, limit: int) -> bool:
        """Long enough in the pool: as configured, or less if the upstream said so."""
        waited = now - self.idle_since
        return waited >= limit or (waited >= self._hint > 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.pool.know(self, monotonic_ns())
        self.peer = peer_of(transport)
        self._tap = Tap(transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)

    def data_received(self, data: bytes) -> None:
        if self._state == HEAD:
            self._read_head(self._buffer + data if self._buffer else data)
        elif self._state == BODY:
            self._read_body(data)
        elif self._state == TUNNEL and self.story is not None:
            self.story.on_data(data, False)
        elif self._state == IDLE:
            self.pool.mistrust(self)
            self.abort()  # whose answer would they be?

    def eof_received(self) -> bool:
        if self._state != TUNNEL or self.story is None:
            self._untouched = self.used and self._state == HEAD and self._is_unread()
            return False
        self._shut = True
        story = self.story
        if self._request_done:
            self.story = None
        story.on_response_end(monotonic_ns(), NO_TRAILERS)
        return not self._request_done

    def connection_lost(self, error: Exception | None) -> None:
        state, story = self._state, self.story
        self._state = CLOSED
        self.story = None
        self._reader.close()
        self.pool.forget(self)
        if story is None:
            return
        if isinstance(error, ProxyError):  # it was never a connection
            story.on_upstream_failed(error)
        elif state == HEAD:
            reset = UpstreamReset(self._cut_off(HEAD, error))
            reset.unread = self._untouched
            story.on_upstream_failed(reset)
        elif state != TUNNEL and self._left is None and self._decoder is None and error is None:
            story.on_response_end(monotonic_ns(), NO_TRAILERS)  # RFC 9112 §6.3 rule 8: by its end
        else:
            story.on_upstream_failed(Truncated(self._cut_off(BODY, error)))

    def _is_unread(self) -> bool:
        """Whether the upstream closed before it got a byte of the request in hand. Its FIN
        acknowledges all that had come by then, and what comes to a closed socket is not read."""
        if self._buffer or self._request_chunked:
            return False
        transport = self.transport
        unwritten = transport.get_write_buffer_size() + self._outbox.waiting(transport)
        return bool(unwritten + self._tap.unacknowledged() == self._written)

    def _rest(self, now: int) -> bool:
        self._rests = False
        return self.pool.rest(self, now)

    def _cut_off(self, state: int, error: Exception | None) -> str:
        """What a connection that ended had not told."""
        if state == HEAD:
            where = "in the middle of its answer's head" if self._buffer else "before any answer"
        elif self._decoder is not None:
            where = "before the last chunk"
        else:
            where = f"{self._left} bytes before" if self._left else "before"
            where += " the end of its answer"
        return f"the upstream {'reset' if error else 'closed'} the connection {where}"

    def pause_writing(self) -> None:
        self.blocked = True
        if self.story is not None:
            self.story.on_upload_blocked()

    def resume_writing(self) -> None:
        self.blocked = False
        if self.story is not None:
            self.story.on_upload_drained()

    def _read_head(self, data: bytes) -> None:
        story = self.story
        try:
            while self._state == HEAD:
                end = find_blank(data, BLANK, 0) + 4
                if (end if end > 3 else len(data)) > MOST_HEAD:
                    raise BadResponse(f"the upstream's head is larger than {MOST_HEAD} bytes")
                if end < 4:
                    check_partial_answer(data)
                    self._buffer = data
                    return
                self._buffer = b""
                came = upto(data, end)
                data = behind(data, came)
                head = self._reader.read(came)
                self._take_head(head)
        except ProxyError as error:
            self.abort()
            if story is not None:
                story.on_upstream_failed(error)
            return
        if data and self._state == BODY:
            self._read_body(data)  # as below, a call less (make bench-check)
            data = b""
        if self._state != IDLE:
            self._begin_body(data)

    def _begin_body(self, data: bytes) -> None:
        """What came behind the head of a switch, and what there is to do if nothing did."""
        if data and self._state == TUNNEL and self.story is not None:
            self.story.on_data(data, False)
        if self._state == BODY and not self._tap.held:
            if self._left == 0:
                self._complete()
            elif self.story is not None:
                self.story.flush()
            else:
                self.abort()

    def _take_head(self, head: ResponseHead) -> None:
        story = self.story
        assert story is not None
        if head.status < 200 and not (head.status == 101 and self._tunnel):
            self._interim += 1
            if head.status == 101:
                raise BadResponse("the upstream switched protocols without being asked")
            if self._interim > MOST_INFORMATIONAL:
                raise BadResponse(f"more than {MOST_INFORMATIONAL} interim answers before one")
            story.on_informational(head)
            return
        self._interim = 0
        frame_response(head, self._method)
        self._keep_alive = head.keep_alive
        if self._tunnel:
            self._take_switch(head)
        if self._method == "HEAD":
            self._rests = announces_body(head)
        self._left = head.length
        chunked = head.length is None and is_chunked(head)
        self._decoder = ChunkedDecoder(padded=True) if chunked else None
        self._state = BODY
        hint = head.field(KEEP_ALIVE) if head.seen & _HINT else None
        if hint is not None:
            self._hint = keep_alive_ns(hint)
        story.on_response(head)

    def _take_switch(self, head: ResponseHead) -> None:
        """The answer to a request for a tunnel. Whatever it is, who knows what the upstream takes
        for the next request: the connection is not used again."""
        self._keep_alive = False
        if head.status == 101:
            check_granted(head, self._protocol, self._key)
        if head.status == 101 or (self._method == "CONNECT" and head.status < 300):
            head.length = None
            head.fields.pop(b"transfer-encoding", None)

    def _read_body(self, data: bytes) -> None:
        if self._decoder is not None:
            self._read_chunks(self._decoder, data)
            return
        left = self._left
        if left is not None:
            if len(data) > left:
                data = data[:left]
                self._keep_alive = False  # bytes after the body: a poisoned response queue
            self._left = left = left - len(data)
        if self.story is not None and data:
            self.story.on_data(data, left == 0)
        if left == 0 and self._state == BODY:
            self._complete()
        elif self.story is not None:
            self.story.flush()
            if left is not None and left >= PLENTY:
                self.story.on_plenty(self, left)

    def _read_chunks(self, decoder: ChunkedDecoder, data: bytes) -> None:
        story = self.story
        try:
            pieces = decoder.feed(data)
        except ChunkedError as error:
            self.abort()
            if story is not None:
                story.on_upstream_failed(Truncated(f"the upstream's chunks are malformed: {error}"))
            return
        done = decoder.done
        last = len(pieces) - 1 if done and not decoder.trailers else -1
        for index, piece in enumerate(pieces):
            if self.story is not None:
                self.story.on_data(piece, index == last)
        if done:
            if self._state == BODY:
                self._keep_alive = self._keep_alive and not decoder.rest
                self._complete(tuple(decoder.trailers))
            return
        if decoder.has_more and not self._tap.held:
            self._tap.hold()
            self.pool.turns.add(self)
        if self.story is not None:
            self.story.flush()

    def go_on(self) -> None:
        """The next slice of many small chunks."""
        self._tap.let_go()
        if self._state == BODY and self._decoder is not None:
            self._read_chunks(self._decoder, b"")

    def _complete(self, trailers: Trailers = NO_TRAILERS) -> None:
        """Back to the pool before the story goes on, which may need it; closed after that, for
        closing writes what is gathered, and that must have been recorded."""
        story, self.story = self.story, None
        now = monotonic_ns()
        self._decoder = None
        self._state = IDLE
        self.used = True
        if self._tap.paused:
            self._tap.resume()
        kept = (
            self._keep_alive
            and self._request_done
            and not self.transport.is_closing()
            and (self._rest(now) if self._rests else self.pool.give(self, now))
        )
        if story is not None:
            story.on_response_end(now, trailers)
        if not kept and self._request_done:
            self.close()
        elif not kept:
            self.transport.abort()  # close() would wait until the upstream reads what it refused
