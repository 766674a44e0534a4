"""Writing one answer after the other to an HTTP/1.1 client: framing, and when what is written."""

from __future__ import annotations

from typing import Any

from proxy.http.edits import NO_EDITS, Edits
from proxy.http.framing import frame_answer
from proxy.http.h1 import LAST_CHUNK, encode_response, encode_trailers
from proxy.http.head import RequestHead, ResponseHead, Trailers, made_response
from proxy.server.outbox import Outbox
from proxy.server.reply import Reply

_BARE = (204, 304)  # they never have a body
_JOIN = 16 * 1024  # a head and a body up to this size go out in one write


class AnswerWriter:
    """The answers on one transport. A head is held until there is something to join it with."""

    __slots__ = ("_chunked", "_outbox", "_pending", "_transport", "until_close")

    def __init__(self, outbox: Outbox, transport: Any) -> None:
        self._outbox = outbox
        self._transport = transport
        self._pending = b""  # a head not written yet
        self._chunked = False
        self.until_close = False  # the end of the connection is that of the answer

    def head(
        self, head: ResponseHead, edits: Edits, asked: RequestHead | None, close: bool
    ) -> bool:
        """Begin an answer to `asked`, after which the connection may have to `close`; whether it
        has to because that is the answer's end."""
        length, status = head.length, head.status
        if (
            length is not None
            and asked is not None
            and asked.method != "HEAD"
            and status not in _BARE
        ):
            framing = b"content-length: %d\r\n" % length
        else:
            framing, chunked = frame_answer(head, asked)
            if chunked is None:
                close = self.until_close = True
            elif chunked:
                self._chunked = True
        if close:
            if status != 101:
                framing += b"connection: close\r\n"
        elif asked is not None and asked.version == "1.0":
            framing += b"connection: keep-alive\r\n"
        self._pending = encode_response(head, edits, framing)
        return self.until_close

    def informational(self, head: ResponseHead) -> None:
        self._outbox.put(self._transport, encode_response(head))

    def data(self, data: bytes, last: bool) -> None:
        outbox, transport = self._outbox, self._transport
        if self._chunked:
            self.flush()
            outbox.put_chunk(transport, data, last)
            if last:
                outbox.put(transport, LAST_CHUNK)
                self._chunked = False
            return
        pending = self._pending
        if pending:
            if len(data) <= _JOIN:
                data = pending + data
                self._pending = b""
            else:
                self.flush()
        if last:
            outbox.put_last(transport, data)
        else:
            outbox.put(transport, data)

    def flush(self) -> None:
        if self._pending:
            self._outbox.put(self._transport, self._pending)
            self._pending = b""

    def end(self, trailers: Trailers) -> None:
        if self._pending:
            self._outbox.put_last(self._transport, self._pending)
            self._pending = b""
        if self._chunked:
            self._outbox.put_last(self._transport, encode_trailers(trailers))
            self._chunked = False

    def take_back(self) -> bool:
        """Forget the head; False if it is on its way already."""
        held, self._pending = self._pending, b""
        if held:
            self._chunked = False
        return bool(held)

    def reply(self, reply: Reply) -> None:
        """The whole answer to what never became a request; the connection closes after it."""
        head = made_response(reply.status, reply.headers, len(reply.body))
        self.head(head, NO_EDITS, None, True)
        self.data(reply.body, True)

    def push(self) -> None:
        """Write everything now; before the transport is closed."""
        self.flush()
        self._outbox.flush()

    def shut(self) -> None:
        """Nothing more will be written, but bytes may still come."""
        self._outbox.flush()
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()
