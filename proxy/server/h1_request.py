"""Writing one request after the other to an HTTP/1.1 upstream: framing, and what is left of it."""

from __future__ import annotations

from os import urandom
from typing import Any

from proxy.http.edits import WANTS_TUNNEL, Edits
from proxy.http.encode import encode_request, encode_trailers
from proxy.http.framing import CONTENT_LENGTH, frame_upload
from proxy.http.head import Pair, RequestHead, Trailers
from proxy.http.headers import bits
from proxy.http.upgrade import with_key
from proxy.kernel.ends import length_line
from proxy.kernel.write import LAST_CHUNK, chunk
from proxy.server.h1_goodbye import reset
from proxy.server.h1_upstream_states import BODY, CLOSED, HEAD, IDLE, TUNNEL
from proxy.server.outbox import Outbox
from proxy.server.sides import StoryEvents, UpstreamSide

_LENGTH = bits([CONTENT_LENGTH])
_JOIN = 4 * 1024  # bytes of a chunk that is copied, so that it leaves with its head


class RequestWriter(UpstreamSide):
    """The half of an upstream's connection that its story writes to (`h1_upstream.py`); a base
    class for the reason that `h1_answer.AnswerWriter` is one."""

    __slots__ = (
        "_keep_alive",
        "_key",
        "_left",
        "_method",
        "_outbox",
        "_protocol",
        "_request_chunked",
        "_request_done",
        "_shut",
        "_state",
        "_tunnel",
        "_written",
        "story",
        "transport",
    )

    transport: Any  # asyncio.Transport, bare for speed when compiled

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.story: StoryEvents | None = None
        self._state = IDLE
        self._left: int | None = 0  # bytes of the response body to come; None = until close
        self._method = ""
        self._keep_alive = True
        self._request_chunked = False
        self._request_done = True
        self._tunnel = 0  # not 0: the request in hand may become one
        self._protocol = ""  # that it then switches to; "" = it is a CONNECT
        self._key = b""  # of its handshake, if it is a WebSocket's
        self._written = 0  # bytes of the request in hand, where it is not in chunks
        self._shut = False  # the upstream has shut its end of a tunnel

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
        if length and not edits.wants:  # as frame_upload says it, a call less
            framing = length_line(length)
        elif length is None or edits.wants or head.seen & _LENGTH:
            framing = frame_upload(head, edits)
            if self._tunnel:
                more = self._ask(head, more)
        wire = encode_request(head, edits, more, framing)
        self._written = len(wire)
        self._outbox.put(self.transport, wire)

    def _ask(self, head: RequestHead, more: list[Pair]) -> list[Pair]:
        """To switch protocols: `more` with what must be said for it."""
        self._protocol = head.protocol
        more, self._key = with_key(head, more, urandom(16))
        return more

    def send_data(self, data: bytes, last: bool) -> None:
        outbox = self._outbox
        if not self._request_chunked:
            self._written += len(data)
            outbox.put_more(self.transport, data)
        elif len(data) <= _JOIN:
            outbox.put_more(self.transport, chunk(b"", data, last))
        else:
            outbox.put_chunk(self.transport, data)
            if last:
                outbox.put(self.transport, LAST_CHUNK)
        if last:
            self._request_done = True

    def end(self, trailers: Trailers) -> None:
        if self._state == TUNNEL:
            self._request_done = True
            self._shut_tunnel()
            return
        if self._request_chunked and not self._request_done:
            self._outbox.put(self.transport, encode_trailers(trailers))
        self._request_done = True

    def bare(self) -> Any:
        if self._request_chunked or self.transport.get_extra_info("tls") is not None:
            return None
        self._outbox.flush()
        return self.transport

    def gave(self, count: int) -> None:
        self._written += count

    def took(self, count: int) -> None:
        if self._left is not None:
            self._left -= count

    def fail_by(self, error: OSError) -> None:
        me: Any = self
        me.connection_lost(error)  # the transport, which does not know why, says it again

    def abort(self) -> None:
        """FIN alone would say that the answer is still awaited, as half-closing clients say it."""
        self.story = None
        if self._state in (HEAD, BODY):
            reset(self.transport)
        else:
            self.transport.abort()
        self._state = CLOSED

    def open_tunnel(self) -> None:
        self._state = TUNNEL
        self._request_chunked = self._request_done = self._keep_alive = False

    def _shut_tunnel(self) -> None:
        self._outbox.flush()
        if self.transport.is_closing():
            return
        if self._shut:
            self.story = None
            self.transport.close()
        else:
            self.transport.write_eof()
