"""Writing one answer after the other to an HTTP/1.1 client: framing, and when what is written."""

from __future__ import annotations

from typing import Any

from proxy.http.edits import NO_EDITS, Edits
from proxy.http.encode import encode_response, encode_trailers
from proxy.http.framing import frame_answer
from proxy.http.head import Pair, RequestHead, ResponseHead, Trailers
from proxy.http.headers import OLD
from proxy.http.upgrade import confirm
from proxy.kernel.ends import joined, length_line
from proxy.kernel.write import LAST_CHUNK, chunk
from proxy.server.outbox import Outbox
from proxy.server.sides import ClientSide
from proxy.server.tap import Tap

_OLD = OLD
_JOIN = 16 * 1024  # a head and a body up to this size go out in one write


class AnswerWriter(ClientSide):
    """The half of a client's connection that faces its story: answers, and whether it reads
    (`h1_client.py`). A base class because each piece of an answer would pay for another call. A
    head is held until something can be joined to it."""

    __slots__ = (
        "_asked",
        "_chunked",
        "_close",
        "_left",
        "_outbox",
        "_pending",
        "_retired",
        "_tap",
        "_until_close",
        "transport",
    )

    transport: Any  # asyncio.Transport, bare for speed when compiled
    _tap: Tap

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._asked: RequestHead | None = None  # what is answered; None = no request at all
        self._left = 0  # bytes to come of the request's body; of one in chunks those that came
        self._pending = b""  # a head not written yet
        self._chunked = False
        self._close = False  # the connection, after this answer
        self._retired = False  # after the next one
        self._until_close = False  # which is the answer's end

    @property
    def reading_paused(self) -> bool:
        return self._tap.paused

    def pause(self) -> None:
        self._tap.pause()

    def resume(self) -> None:
        tap = self._tap
        if tap.paused:
            tap.resume()

    def close_after(self) -> None:
        self._close = True

    def retire(self) -> None:
        """Close after the next request, whose answer then says so."""
        self._retired = True

    def begin_answer(self, head: ResponseHead, edits: Edits, more: list[Pair]) -> None:
        asked = self._asked
        length, status = head.length, head.status
        if (
            length is not None
            and asked is not None
            and asked.method != "HEAD"
            and status not in (204, 304)  # they never have a body
        ):
            framing = length_line(length)
        else:
            framing, chunked = frame_answer(head, asked)
            if chunked is None:
                self._close = self._until_close = True
            elif chunked:
                self._chunked = True
        if status == 101 and asked is not None:
            more = [*more, *confirm(head, asked)]
        elif self._close:
            framing += b"connection: close\r\n"
        elif asked is not None and asked.seen & _OLD and asked.version == "1.0":
            framing += b"connection: keep-alive\r\n"
        self._pending = encode_response(head, edits, more, framing)

    def send_informational(self, head: ResponseHead) -> None:
        if self._asked is not None and self._asked.version == "1.1":
            self._outbox.put(self.transport, encode_response(head))

    def send_data(self, data: bytes, last: bool) -> None:
        outbox, transport = self._outbox, self.transport
        pending = self._pending
        if self._chunked:
            if len(data) <= _JOIN:
                if last:
                    outbox.put_last(transport, chunk(pending, data, True))
                else:
                    outbox.put(transport, chunk(pending, data, False))
                self._pending = b""
            else:
                self.flush()
                outbox.put_chunk(transport, data, last)
                if last:
                    outbox.put(transport, LAST_CHUNK)
            if last:
                self._chunked = False
            return
        if pending:
            if len(data) <= _JOIN:
                data = joined(pending, data)
                self._pending = b""
            else:
                self.flush()
        if last:
            outbox.put_last(transport, data)
        else:
            outbox.put(transport, data)

    def flush(self) -> None:
        if self._pending:
            self._outbox.put(self.transport, self._pending)
            self._pending = b""

    def finish_answer(self, trailers: Trailers) -> None:
        if self._pending:
            self._outbox.put_last(self.transport, self._pending)
            self._pending = b""
        if self._chunked:
            self._outbox.put_last(self.transport, encode_trailers(trailers))
            self._chunked = False

    def take_back(self) -> bool:
        """Forget the head; False if it is on its way already."""
        held, self._pending = self._pending, b""
        if held:
            self._chunked = False
        return bool(held)

    def reply(self, head: ResponseHead, more: list[Pair], body: bytes) -> None:
        """The whole answer to what never became a request; the connection closes after it."""
        self._asked = None
        self._close = True
        self.begin_answer(head, NO_EDITS, more)
        self.send_data(body, True)

    def bare(self) -> Any:
        if self._chunked or self._pending or self.transport.get_extra_info("tls") is not None:
            return None
        self._outbox.flush()
        return self.transport

    def took(self, count: int) -> None:
        self._left -= count

    def push(self) -> None:
        """Write everything now; before the transport is closed."""
        self.flush()
        self._outbox.flush()

    def shut(self) -> None:
        """Nothing more will be written, but bytes may still come."""
        self._outbox.flush()
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()
