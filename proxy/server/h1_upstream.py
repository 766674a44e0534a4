"""One HTTP/1.1 connection to an upstream: bytes to and from it, and whether it may be used again.

The upstream side of `sides.py` where the side is the connection. One on which anything was odd
(bytes after the body, both framings, an answer before the request's end) is closed, never pooled.
"""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import Any, Protocol

from proxy.errors import BadResponse, ProxyError, Truncated, UpstreamReset
from proxy.http.chunked import ChunkedDecoder, ChunkedError
from proxy.http.edits import WANTS_TUNNEL, Edits
from proxy.http.framing import frame_response, frame_upload, is_chunked
from proxy.http.h1 import (
    LAST_CHUNK,
    ResponseReader,
    check_partial_answer,
    encode_request,
    encode_trailers,
)
from proxy.http.head import Pair, RequestHead, ResponseHead, Trailers
from proxy.http.headers import keep_alive_ns
from proxy.server.h1_upstream_states import BODY, CLOSED, HEAD, IDLE, TUNNEL
from proxy.server.outbox import Outbox
from proxy.server.peer import NOBODY, peer_of
from proxy.server.sides import NO_TRAILERS, StoryEvents
from proxy.server.tap import Tap
from proxy.server.turns import Turns


class Home(Protocol):
    """Where a connection goes between two exchanges (`pool.py`)."""

    outbox: Outbox
    turns: Turns

    def know(self, connection: UpstreamConnection) -> None:
        """It has been made."""

    def give(self, connection: UpstreamConnection, now: int) -> bool:
        """Take it back; False if it is not wanted."""

    def forget(self, connection: UpstreamConnection) -> None:
        """It has ended."""


MOST_HEAD = 64 * 1024  # bytes of a response head; nginx 8 KiB, Envoy 60 KiB
MOST_INFORMATIONAL = 32  # 1xx heads before one answer: what comes beyond is a fault or a flood
WRITE_HIGH = 64 * 1024  # asyncio's default: more gained nothing in benchmarks/stream.py


class UpstreamConnection(asyncio.Protocol):
    """Serves one story at a time; between two of them it waits in its pool."""

    __slots__ = (
        "_buffer", "_decoder", "_hint", "_interim", "_keep_alive", "_left", "_method",
        "_reader", "_request_chunked", "_request_done", "_shut", "_state", "_tap", "_tunnel",
        "blocked", "idle_since", "peer", "pool", "scheme", "story", "transport", "used", "version",
    )  # fmt: skip

    transport: Any  # asyncio.Transport, bare for speed when compiled
    _tap: Tap

    def __init__(self, pool: Home) -> None:
        self.pool = pool
        self.story: StoryEvents | None = None
        self.peer = NOBODY
        self.scheme = "http"
        self.version = "1.1"
        self.used = False  # it has carried an exchange before
        self.idle_since = 0
        self._reader = ResponseReader()
        self._state = IDLE
        self._buffer = b""
        self._method = ""
        self._left: int | None = 0  # bytes of the response body to come; None = until close
        self._decoder: ChunkedDecoder | None = None
        self._keep_alive = True
        self._request_chunked = False
        self._request_done = True
        self._interim = 0  # 1xx heads before this answer
        self._tunnel = 0  # not 0: the request in hand may become one
        self._shut = False  # the upstream has shut its end of a tunnel
        self.blocked = False  # it takes no more of the request for now
        self._hint = 0  # ns, from the upstream's Keep-Alive: timeout=

    def start(self, story: StoryEvents, head: RequestHead, edits: Edits, more: list[Pair]) -> None:
        self.story = story
        self._method = head.method
        self._state = HEAD
        self._keep_alive = True
        self._tunnel = edits.wants & WANTS_TUNNEL
        length = head.length
        self._request_done = length == 0
        self._request_chunked = length is None
        framing = b""
        if length is None or edits.wants or b"content-length" in head.fields:
            framing = frame_upload(head, edits)
        wire = encode_request(head, edits, more, framing)
        self.pool.outbox.put(self.transport, wire)

    def send_data(self, data: bytes, last: bool) -> None:
        outbox = self.pool.outbox
        if self._request_chunked:
            outbox.put_chunk(self.transport, data)
            if last:
                outbox.put(self.transport, LAST_CHUNK)
        else:
            outbox.put(self.transport, data)
        if last:
            self._request_done = True

    def end(self, trailers: Trailers) -> None:
        if self._state is TUNNEL:
            self._request_done = True
            self._shut_tunnel()
            return
        if self._request_chunked and not self._request_done:
            self.pool.outbox.put(self.transport, encode_trailers(trailers))
        self._request_done = True

    def open_tunnel(self) -> None:
        self._state = TUNNEL
        self._request_chunked = self._request_done = self._keep_alive = False

    def _shut_tunnel(self) -> None:
        self.pool.outbox.flush()
        if self.transport.is_closing():
            return
        if self._shut:
            self.story = None
            self.transport.close()
        else:
            self.transport.write_eof()

    def drop_answer(self) -> None:
        """Saved if the body came together with the head, else closed: who would miss the rest?"""
        self.story = None

    def abort(self) -> None:
        self.story = None
        self._state = CLOSED
        self.transport.abort()

    def close(self) -> None:
        self._state = CLOSED
        self.pool.outbox.flush()
        self.transport.close()

    def has_ended(self) -> bool:
        """Whether something waits to be read; where nothing was asked, that is the end. 0.6 µs."""
        return self._tap.has_input()

    def pause(self) -> None:
        self._tap.pause()

    def resume(self) -> None:
        self._tap.resume()

    def idle_ns(self, limit: int) -> int:
        """For how long it may wait in the pool: as configured, or less if the upstream said so."""
        return min(limit, self._hint) if self._hint else limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.pool.know(self)
        self.peer = peer_of(transport)
        self._tap = Tap(transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)

    def data_received(self, data: bytes) -> None:
        if self._state is HEAD:
            self._read_head(self._buffer + data if self._buffer else data)
        elif self._state is BODY:
            self._read_body(data)
        elif self._state is TUNNEL and self.story is not None:
            self.story.on_data(data, False)
        elif self._state is IDLE:
            self.abort()  # bytes that nobody asked for: whose answer would they be?

    def eof_received(self) -> bool:
        if self._state is not TUNNEL or self.story is None:
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
        if state is HEAD:
            story.on_upstream_failed(UpstreamReset("closed before a complete answer"))
        elif state is TUNNEL and self._shut:
            return  # it was told; what we still sent is lost with the client's next word
        elif self._left is None and self._decoder is None and error is None:
            story.on_response_end(
                monotonic_ns(), NO_TRAILERS
            )  # close-delimited (RFC 9112 §6.3 rule 8)
        else:
            story.on_upstream_failed(Truncated("closed in the middle of the answer"))

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
            while self._state is HEAD:
                end = data.find(b"\r\n\r\n") + 4
                if (end if end > 3 else len(data)) > MOST_HEAD:
                    raise BadResponse("the upstream's header fields are too large")
                if end == 3:
                    check_partial_answer(data)
                    self._buffer = data
                    return
                self._buffer = b""
                head, data = self._reader.read(data[:end]), data[end:]
                self._take_head(head)
        except ProxyError as error:
            self.abort()
            if story is not None:
                story.on_upstream_failed(error)
            return
        self._begin_body(data)

    def _begin_body(self, data: bytes) -> None:
        """What came together with the head, and what there is to do if nothing did."""
        if data:
            if self._state is BODY:
                self._read_body(data)
            elif self._state is TUNNEL and self.story is not None:
                self.story.on_data(data, False)
        if self._state is BODY and not self._tap.held:
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
                raise BadResponse("the upstream sends interim answers without an end")
            story.on_informational(head)
            return
        self._interim = 0
        frame_response(head, self._method)
        if self._tunnel and (head.status == 101 or self._method == "CONNECT"):
            head.length = None
        self._keep_alive = head.keep_alive
        self._left = head.length
        self._decoder = ChunkedDecoder() if head.length is None and is_chunked(head) else None
        self._state = BODY
        hint = head.fields.get(b"keep-alive")
        if hint is not None:
            self._hint = keep_alive_ns(hint)
        story.on_response(head)

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
        if left == 0 and self._state is BODY:
            self._complete()

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
            if self._state is BODY:
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
        if self._state is BODY and self._decoder is not None:
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
            and self.pool.give(self, now)
        )
        if story is not None:
            story.on_response_end(now, trailers)
        if not kept and self._request_done:
            self.close()
        elif not kept:
            self.transport.abort()  # close() would wait until the upstream reads what it refused
