"""One HTTP/1.1 connection to an upstream: bytes to and from it, and whether it may be used again.

It knows nothing of routes, retries or spans; it tells its story what has arrived. A connection on
which anything was odd (bytes after the body, both framings, an answer before the request's end)
is closed, never pooled.
"""

from __future__ import annotations

import asyncio
import select
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from proxy.errors import BadResponse, ProxyError, Truncated, UpstreamReset
from proxy.http.chunked import ChunkedDecoder, ChunkedError
from proxy.http.framing import frame_response, is_chunked
from proxy.http.h1 import ResponseReader, check_partial_answer, encode_request
from proxy.http.head import Pair, ResponseHead
from proxy.http.headers import tokens

if TYPE_CHECKING:
    from proxy.server.exchange import Story
    from proxy.server.pool import Pool

IDLE, HEAD, BODY, CLOSED = range(4)

MOST_HEAD = 64 * 1024  # bytes of a response head; nginx 8 KiB, Envoy 60 KiB
WRITE_HIGH = 64 * 1024  # asyncio's default: more gained nothing in benchmarks/stream.py


class UpstreamConnection(asyncio.Protocol):
    """Serves one story at a time; between two of them it waits in its pool."""

    __slots__ = (
        "_buffer",
        "_decoder",
        "_fd",
        "_hint",
        "_keep_alive",
        "_left",
        "_method",
        "_paused",
        "_reader",
        "_request_chunked",
        "_request_done",
        "_state",
        "blocked",
        "idle_since",
        "peer",
        "pool",
        "story",
        "transport",
        "used",
    )

    transport: Any  # asyncio.Transport, bare for speed when compiled

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.story: Story | None = None
        self.peer: tuple[str, int] = ("", 0)
        self.used = False  # it has carried an exchange before
        self.idle_since = 0
        self._reader = ResponseReader()
        self._state = IDLE
        self._buffer = b""
        self._fd = -1
        self._method = ""
        self._left: int | None = 0  # bytes of the response body to come; None = until close
        self._decoder: ChunkedDecoder | None = None
        self._keep_alive = True
        self._request_chunked = False
        self._request_done = True
        self._paused = False  # reading, because the client does not take what has come
        self.blocked = False  # it takes no more of the request for now
        self._hint = 0  # ns, from the upstream's Keep-Alive: timeout=

    # what a story does with it

    def start(
        self, story: Story, method: str, target: str, pairs: list[Pair], body: list[bytes]
    ) -> None:
        """Write a request head, and what has already come of its body."""
        head = encode_request(method, target, pairs)
        self.story = story
        self._method = method
        self._state = HEAD
        self._keep_alive = True
        self._request_done = story.head.length == 0
        self._request_chunked = story.head.length is None
        self.pool.outbox.put(self.transport, head)
        for piece in body:
            self.send(piece)

    def send(self, data: bytes) -> None:
        """A piece of the request body."""
        outbox = self.pool.outbox
        if self._request_chunked:
            outbox.put_chunk(self.transport, data)
        else:
            outbox.put(self.transport, data)

    def finish_request(self) -> None:
        """The request body is complete."""
        if self._request_chunked and not self._request_done:
            self.pool.outbox.put(self.transport, b"0\r\n\r\n")
        self._request_done = True

    def drop_answer(self) -> None:
        """The story goes on without the body of the answer whose head it is being told (a retry).

        The connection is saved if the body came together with the head, else it is closed, for
        nobody would notice if the rest never came.
        """
        self.story = None

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.story = None
        self._state = CLOSED
        self.transport.abort()

    def close(self) -> None:
        self._state = CLOSED
        self.pool.outbox.flush()
        self.transport.close()

    def has_ended(self) -> bool:
        """Whether something waits to be read; where nothing was asked, that is the end. 0.6 µs."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))

    def pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def idle_ns(self, limit: int) -> int:
        """For how long it may wait in the pool: the configured time, or less if the upstream
        said when it closes (one second earlier, because it counts from its own last byte)."""
        return min(limit, self._hint) if self._hint else limit

    # what the event loop tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._fd = transport.get_extra_info("socket").fileno()
        self.pool.know(self)
        name = transport.get_extra_info("peername")
        self.peer = (name[0], name[1]) if isinstance(name, tuple) else (str(name), 0)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)

    def data_received(self, data: bytes) -> None:
        if self._state == HEAD:
            self._read_head(self._buffer + data if self._buffer else data)
        elif self._state == BODY:
            self._read_body(data)
        elif self._state == IDLE:
            self.abort()  # bytes that nobody asked for: whose answer would they be?

    def connection_lost(self, error: Exception | None) -> None:
        state, story = self._state, self.story
        self._state = CLOSED
        self.story = None
        self._reader.close()
        self.pool.forget(self)
        if story is None:
            return
        if state == HEAD:
            story.on_upstream_failed(UpstreamReset("closed before a complete answer"))
        elif self._left is None and self._decoder is None and error is None:
            story.on_response_end(monotonic_ns())  # close-delimited (RFC 9112 §6.3 rule 8)
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

    # reading an answer

    def _read_head(self, data: bytes) -> None:
        story = self.story
        try:
            while self._state == HEAD:
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
        if self._state == BODY and data:
            self._read_body(data)
        if self._state == BODY:
            if self._left == 0:
                self._complete()
            elif self.story is not None:
                self.story.flush()
            else:
                self.abort()

    def _take_head(self, head: ResponseHead) -> None:
        story = self.story
        assert story is not None
        if head.status < 200:
            if head.status == 101:
                raise BadResponse("the upstream switched protocols without being asked")
            story.on_informational(head)
            return
        frame_response(head, self._method)
        self._keep_alive = head.keep_alive
        self._left = head.length
        self._decoder = ChunkedDecoder() if head.length is None and is_chunked(head) else None
        self._state = BODY
        hint = head.fields.get(b"keep-alive")
        if hint is not None:
            self._hint = _keep_alive_hint(hint)
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
            self.story.on_data(data)
        if left == 0 and self._state == BODY:
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
        if story is not None:
            for piece in pieces:
                story.on_data(piece)
            story.flush()
        if decoder.done and self._state == BODY:
            if decoder.rest:
                self._keep_alive = False
            self._complete()

    def _complete(self) -> None:
        """The answer has ended: back to the pool, or closed, and only then does the story go on."""
        story, self.story = self.story, None
        now = monotonic_ns()
        self._decoder = None
        self._state = IDLE
        self.used = True
        self.resume()
        if self._keep_alive and self._request_done and not self.transport.is_closing():
            self.pool.give(self, now)
        elif self._request_done:
            self.close()
        else:
            self.transport.abort()  # close() would wait until the upstream reads what it refused
        if story is not None:
            story.on_response_end(now)


def _keep_alive_hint(value: bytes) -> int:
    for token in tokens(value):
        name, _, number = token.partition(b"=")
        if name == b"timeout" and number.isdigit() and len(number) < 9:
            return max((int(number) - 1) * 1_000_000_000, 1)
    return 0
