"""One HTTP/1.1 connection from a client: bytes to requests, one story at a time, and back.

Requests that come while one is being answered wait in the buffer, and the socket is not read
beyond a bound, so pipelined requests are answered in order and cost no queue. The story is told of
body, end and loss; it answers through `send_head`, `send_data`, `end` and `next`.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from proxy.errors import BadRequest, ClientError
from proxy.http.chunked import ChunkedDecoder, ChunkedError
from proxy.http.framing import frame_request
from proxy.http.h1 import RequestReader, check_partial, encode_response, reason_of
from proxy.http.head import Pair, RequestHead
from proxy.http.target import resolve
from proxy.server.exchange import Story
from proxy.server.h1_upstream import WRITE_HIGH
from proxy.server.reply import synthesize

if TYPE_CHECKING:
    from proxy.server.listening import Listening
    from proxy.server.worker import Worker

HEAD, BODY, WAIT, LINGER, CLOSED = range(5)

_HOLD = 64 * 1024  # bytes of further requests kept while one is answered
_JOIN = 16 * 1024  # a head and a body up to this size go out in one write
_LINGER_NS = 1_000_000_000  # reading on after the last answer, so that a reset cannot eat it
_RESET = struct.pack("ii", 1, 0)  # struct linger: on, for no time
_STALL_NS = 30_000_000_000  # waiting for a client to take any more of its last answer


class ClientConnection(asyncio.Protocol):
    """Everything that happens on one client socket."""

    __slots__ = (
        "_begun",
        "_blank",
        "_buffer",
        "_chunked",
        "_close",
        "_decoder",
        "_head",
        "_left",
        "_outbox",
        "_pending",
        "_pumping",
        "_reader",
        "_seen",
        "_since",
        "_state",
        "_story",
        "_until_close",
        "forwards",
        "listening",
        "peer",
        "peer_bytes",
        "peer_port",
        "reading_paused",
        "transport",
        "trusted",
        "worker",
    )

    transport: Any  # asyncio.Transport, bare for speed when compiled

    def __init__(self, worker: Worker, listening: Listening) -> None:
        self.worker = worker
        self._outbox = worker.outbox
        self.listening = listening
        self.peer = ""
        self.peer_port = 0
        self.peer_bytes = b""
        self.trusted = False  # its trace context counts
        self.forwards = False  # its X-Forwarded-* and Forwarded count
        self._reader = RequestReader()
        self._state = HEAD
        self._buffer = b""
        self._head: RequestHead | None = None
        self._story: Story | None = None
        self._decoder: ChunkedDecoder | None = None
        self._left = 0  # bytes of a request body to come
        self._pending = b""  # a response head not written yet
        self._chunked = False  # the response goes out in chunks
        self._close = False  # after this answer
        self._until_close = False  # it is the answer's end, too
        self._pumping = False
        self.reading_paused = False  # whoever is slow then, it is not the client
        self._since = 0  # when it became idle, or lingering began
        self._begun = 0  # when the first bytes of an incomplete head came
        self._seen = 0  # bytes of it that were looked at
        self._blank = False  # an empty line came before it

    # what the event loop tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.peer, self.peer_port = name[0], name[1]
        self.peer_bytes = self.peer.encode("ascii") or b"unix"
        self.judge()
        self._since = monotonic_ns()
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        if not self.worker.admit(self):
            self._refuse(ClientError(503, "too many connections", close=True))

    def judge(self) -> None:
        """Look up what this peer is trusted with; again whenever that may have changed."""
        self.trusted = self.listening.trusted(self.peer)
        self.forwards = self.worker.snapshot.forwarding.trusted(self.peer)

    def data_received(self, data: bytes) -> None:
        if self._state >= LINGER:
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._pump()

    def eof_received(self) -> bool:
        return False  # nothing more will come: whoever asked is gone

    def connection_lost(self, error: Exception | None) -> None:
        self._state = CLOSED
        self._reader.close()
        self.worker.release(self)
        story, self._story = self._story, None
        if story is not None:
            story.on_client_gone()

    def pause_writing(self) -> None:
        if self._story is not None:
            self._story.on_client_blocked()

    def resume_writing(self) -> None:
        if self._story is not None:
            self._story.on_client_drained()

    # reading requests

    def _pump(self) -> None:
        """Take what the buffer holds, until it is empty or a story must end first."""
        if self._pumping:
            return  # a story ended inside the loop below, which goes on by itself
        self._pumping = True
        while self._buffer and (
            self._take_head() if self._state == HEAD else self._state == BODY and self._take_body()
        ):
            pass
        self._pumping = False
        if len(self._buffer) > _HOLD and self._state == WAIT:
            self.pause()

    def _take_head(self) -> bool:
        data = self._buffer
        end = data.find(b"\r\n\r\n", self._seen) + 4
        if end == 3 or data[0] < 0x21:  # whatever llhttp would skip
            return self._partial_head(data)
        self._buffer = data[end:]
        try:
            head = self.worker.check_head(self._reader, data[:end])
        except ClientError as error:
            self._refuse(error)
            return False
        self._head = head
        if head.length == 0:
            self._state = WAIT
        else:
            self._state = BODY
            self._left = head.length or 0
            self._decoder = ChunkedDecoder() if head.length is None else None
        self._close = not head.keep_alive or self.worker.draining
        self._story = Story(self.worker, self, head)
        self._story.begin()
        return self._state <= BODY

    def _partial_head(self, data: bytes) -> bool:
        if data[:2] == b"\r\n" and not self._blank:
            self._blank = True  # RFC 9112 §2.2: ignore an empty line before the request line
            self._begun = 0
            self._buffer = data[2:]
            return True
        if not self._begun:
            self._begun = monotonic_ns()
        if data == b"\r" and not self._blank:
            return False
        try:
            self._seen = check_partial(data, self._seen, self.worker.snapshot.limits)
        except ClientError as error:
            self._refuse(error)
        return False

    def _take_body(self) -> bool:
        story, data = self._story, self._buffer
        if story is None:
            return False
        if self._decoder is not None:
            return self._take_chunks(story, self._decoder, data)
        self._buffer = data[self._left :]
        if self._buffer:
            data = data[: self._left]
        self._left -= len(data)
        story.on_body(data)
        if not self._left and self._state == BODY:
            self._state = WAIT
            story.on_body_end()
        return True

    def _take_chunks(self, story: Story, decoder: ChunkedDecoder, data: bytes) -> bool:
        self._buffer = b""
        try:
            pieces = decoder.feed(data)
        except ChunkedError as error:
            self._close = True
            story.on_bad_body(BadRequest(f"malformed chunked body: {error}"))
            return False
        for piece in pieces:
            if self._state == BODY:
                story.on_body(piece)
        if decoder.done and self._state == BODY:
            self._buffer = decoder.rest
            self._state = WAIT
            self._decoder = None
            story.on_body_end()
        return True

    def _refuse(self, error: ClientError) -> None:
        """Answer what never became a request, and close."""
        self.worker.count_refused(error)
        reply = synthesize(error, None)
        self._head = None
        self._close = True
        self.send_head(reply.status, b"", reply.headers, len(reply.body), b"")
        self.send_data(reply.body)
        self.end()
        self.next(monotonic_ns())

    # what a story does with it

    @property
    def upload_done(self) -> bool:
        return self._state != BODY

    def send_head(
        self, status: int, reason: bytes, pairs: list[Pair], length: int | None, declared: bytes
    ) -> None:
        """Begin the answer. `length` of its body in bytes, None = not known; `declared` is the
        Content-Length of the upstream's answer where no body follows (HEAD, 304)."""
        head = self._head
        framing = b""
        if head is not None and (head.method == "HEAD" or status == 304):
            if declared and status != 204:
                framing = b"content-length: " + declared + b"\r\n"
        elif length is not None:
            if status != 204:
                framing = b"content-length: %d\r\n" % length
        elif head is not None and head.version == "1.1":
            framing = b"transfer-encoding: chunked\r\n"
            self._chunked = True
        else:
            self._close = self._until_close = True
        if self._close or self._state == BODY:
            self._close = True
            framing += b"connection: close\r\n"
        elif head is not None and head.version == "1.0":
            framing += b"connection: keep-alive\r\n"
        self._pending = encode_response(status, reason or reason_of(status), pairs, framing)

    def send_informational(self, status: int, reason: bytes, pairs: list[Pair]) -> None:
        """A 1xx answer (RFC 9110 §15.2); HTTP/1.0 clients do not know them."""
        if self._head is not None and self._head.version == "1.1":
            self._outbox.put(self.transport, encode_response(status, reason, pairs, b""))

    def send_data(self, data: bytes) -> None:
        """A piece of the answer's body, not empty."""
        if self._chunked:
            self.flush()
            self._outbox.put_chunk(self.transport, data)
        elif self._pending and len(data) <= _JOIN:
            self._outbox.put(self.transport, self._pending + data)
            self._pending = b""
        else:
            self.flush()
            self._outbox.put(self.transport, data)

    def flush(self) -> None:
        if self._pending:
            self._outbox.put(self.transport, self._pending)
            self._pending = b""

    def skip_body(self) -> None:
        """The request's body is not wanted; if it is at hand, the connection can still be used."""
        if self._state == BODY and self._decoder is None and len(self._buffer) >= self._left:
            self._buffer = self._buffer[self._left :]
            self._left = 0
            self._state = WAIT

    def take_back(self) -> bool:
        """Forget the head that was given; False if it is on its way already."""
        held, self._pending = self._pending, b""
        if held:
            self._chunked = False
        return bool(held)

    def end(self) -> None:
        """The answer is complete."""
        self.flush()
        if self._chunked:
            self._outbox.put(self.transport, b"0\r\n\r\n")
            self._chunked = False

    def next(self, now: int) -> None:
        """The story is over at `now` (monotonic ns): take the next request, or close."""
        self._story = None
        if self._state >= LINGER:
            return
        if self._close or self._state == BODY:
            self._hang_up()
            return
        self._state = HEAD
        self._since = now
        self._begun = self._seen = 0
        self._blank = False
        self.resume()
        if self._buffer:
            self._pump()

    def _hang_up(self) -> None:
        """Close so that the answer arrives: data unread at a close would reset the connection and
        take the answer with it (RFC 9112 §9.6), so what still comes is read and thrown away."""
        unread = self._state in (BODY, HEAD) or bool(self._buffer)
        self._buffer = b""
        self._state = LINGER
        self._since = monotonic_ns()
        self._outbox.flush()
        if not unread:
            self.transport.close()
            return
        self.resume()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def cut(self) -> None:
        """The time to drain is over: answer what has no answer yet, and close."""
        if self._story is not None:
            self._close = True
            self._story.on_shutdown()
        self._outbox.flush()
        if self._state != CLOSED:
            self.transport.close()

    def close_after(self) -> None:
        """Take no further request on this connection."""
        self._close = True

    def abort(self) -> None:
        """End the connection so that the client sees that its answer is incomplete: where its
        framing shows that and it still reads, what there is of it is sent, else it is reset."""
        self._story = None
        if self._until_close or self.transport.get_write_buffer_size() > WRITE_HIGH:
            self._state = CLOSED
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)  # abort() alone sends FIN
            self.transport.abort()
            return
        self.flush()
        self._outbox.flush()
        self._state = LINGER
        self._since = monotonic_ns()
        self.transport.close()

    def pause(self) -> None:
        if not self.reading_paused and not self.transport.is_closing():
            self.reading_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.reading_paused and not self.transport.is_closing():
            self.reading_paused = False
            self.transport.resume_reading()

    # what the sweep asks

    def tick(self, now: int) -> None:
        """Check deadlines; `now` in monotonic ns. Called a few times a second."""
        if self.reading_paused and self._has_left():
            self.transport.abort()
        elif self._story is not None:
            self._story.tick(now)
        elif self._state == LINGER:
            self._check_linger(now)
        elif self._state == HEAD:
            self._check_idle(now)

    def _has_left(self) -> bool:
        """Whether the client has hung up; the loop tells it only while the socket is read."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def _check_linger(self, now: int) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent != self._left:  # which has no other meaning any more
            self._left = unsent
            self._since = now  # the answer is still on its way
        elif now - self._since > (_STALL_NS if unsent else _LINGER_NS):
            self.transport.abort()

    def _check_idle(self, now: int) -> None:
        limits = self.worker.snapshot.limits
        waited = now - self._since
        if self._buffer:
            if now - self._begun > limits.header_timeout * 1e9 > 0:
                self._refuse(BadRequest("the request head took too long", status=408))
        elif waited > limits.keepalive * 1e9 > 0 or self.worker.is_closing_idle(waited):
            self._state = LINGER
            self.transport.close()


def check_head(worker: Worker, reader: RequestReader, data: bytes) -> RequestHead:
    """Bytes to a request that may be routed.

    Raises BadRequest or ClientError: 400, 414, 417, 431, 501, 505.
    """
    limits = worker.snapshot.limits
    size = len(data)
    if size > limits.request_line and data.find(b"\r\n") > limits.request_line:
        raise BadRequest("the request line is too long", status=414)
    if size > limits.head_bytes:
        raise BadRequest("the header fields are too large", status=431)
    # a field takes four bytes at least, so short heads need no counting
    if size > 4 * limits.head_fields and data.count(b"\r\n") > limits.head_fields + 2:
        raise BadRequest("too many header fields", status=431)
    head = reader.read(data)
    if reader.has_underscores():
        worker.snapshot.underscores(head)
    frame_request(head)
    resolve(head, worker.authorities)
    return head
