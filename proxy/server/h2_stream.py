"""One exchange with an upstream on a shared HTTP/2 connection: the upstream side of a story.

Owns what is one stream's: its head, what its client cannot take yet, and how it ends. The
connection (`h2_upstream.py`) owns everything that streams share. Bytes that came are acknowledged
when the client has taken them, never before, so that a slow client holds back its own stream and
no other; what comes while it is paused waits here, no more than the stream's window.
"""

from __future__ import annotations

import asyncio
from collections import deque

from proxy.errors import BadResponse, ProxyError
from proxy.http.answer_limits import MOST_INFORMATIONAL
from proxy.http.edits import WANTS_TUNNEL, Edits
from proxy.http.h2 import CANCEL
from proxy.http.h2_answer import (
    as_extended_connect,
    informational_head,
    request_fields,
    response_head,
)
from proxy.http.h2_request import trailer_fields, trailers_of
from proxy.http.head import Pair, RequestHead, Trailers
from proxy.http.upgrade import as_switched
from proxy.kernel.clock import monotonic_ns
from proxy.server.h2_ends import ended_by_us, reset_by_upstream
from proxy.server.peer import Peer
from proxy.server.sides import NO_TRAILERS, StoryEvents, UpstreamSide


class Carrier:
    """The connection, as its streams see it (`h2_upstream.py`)."""

    __slots__ = ("paused", "peer", "scheme", "scheme_sent")

    peer: Peer
    scheme: str
    scheme_sent: bytes  # the same as :scheme
    paused: int  # streams whose clients take no more

    def begin(self, stream: H2UpstreamStream, fields: list[Pair]) -> None:
        """Send a request's head."""

    def begin_tunnel(self, stream: H2UpstreamStream, fields: list[Pair]) -> None:
        """The same for an extended CONNECT, once it is known whether the upstream takes one."""

    def upload(self, stream: H2UpstreamStream, data: bytes, last: bool) -> None:
        """Send a piece of a request's body."""

    def end_upload(self, stream: H2UpstreamStream, trailers: list[Pair]) -> None:
        """The request is complete."""

    def acknowledge(self, stream: H2UpstreamStream) -> None:
        """All that came on it has been taken."""

    def reset(self, stream: H2UpstreamStream, code: int) -> None:
        """Give an exchange up; the upstream hears of it at the end of this turn."""

    def unlend(self) -> None:
        """A stream was not needed."""

    def unpause(self) -> None:
        """One client less that takes no more."""

    def was_reset(self, code: int) -> None:
        """The upstream has given an exchange up."""


class H2UpstreamStream(UpstreamSide):
    """Lent for one exchange and never again."""

    __slots__ = (
        "_connection", "_end", "_ended", "_held", "_interim", "_method", "_paused", "_protocol",
        "_reset", "_shut", "_tunnel", "headed", "number", "request_done", "sent_at", "story",
    )  # fmt: skip

    def __init__(self, connection: Carrier, used: bool) -> None:
        self._connection = connection
        self.peer = connection.peer
        self.scheme = connection.scheme
        self.version = "2"
        self.blocked = False
        self.used = used
        self.number = 0  # the stream's; 0 = not begun
        self.story: StoryEvents | None = None  # None: nobody wants to hear of it
        self.headed = False  # the answer's head has come
        self.request_done = False
        self.sent_at = -1  # bytes that the connection had written before its head; -1 = it waits
        self._method = ""
        self._protocol = ""  # that an extended CONNECT asks for
        self._interim = 0  # 1xx heads before the answer
        self._paused = False
        self._held: deque[bytes] = deque()  # came while the client took no more
        self._ended = False  # nothing more of the answer will come
        self._end: Trailers | None = None  # its end, which waits behind what is held
        self._reset = -1  # the code of the upstream's RST_STREAM; -1 = there was none
        self._tunnel = False
        self._shut = False  # the upstream has shut its end of a tunnel

    # what the story does

    def start(self, story: StoryEvents, head: RequestHead, edits: Edits, more: list[Pair]) -> None:
        connection = self._connection
        fields = request_fields(head, edits, more, connection.scheme_sent)
        self.story = story
        self._method = head.method
        if edits.wants & WANTS_TUNNEL:
            self._protocol = head.protocol
            connection.begin_tunnel(self, as_extended_connect(fields, head.protocol))
            return
        self.request_done = head.length == 0
        connection.begin(self, fields)

    def send_data(self, data: bytes, last: bool) -> None:
        if not self.request_done:
            self.request_done = last
            self._connection.upload(self, data, last)

    def end(self, trailers: Trailers) -> None:
        if self.request_done:
            return
        self.request_done = True
        fields = trailer_fields(trailers) if trailers else []
        self._connection.end_upload(self, fields)
        if self._shut:
            self.story = None

    def open_tunnel(self) -> None:
        self._tunnel = True

    def drop_answer(self) -> None:
        self.story = None
        if not self._ended:
            self._cancel()

    def abort(self) -> None:
        self.story = None
        self._held.clear()
        self._cancel()

    def close(self) -> None:
        self._connection.unlend()

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._connection.paused += 1

    def resume(self) -> None:
        """What is held is delivered in a turn of its own: this one may be the story's."""
        if self._paused:
            self._unpause()
            asyncio.get_running_loop().call_soon(self._deliver)

    def _unpause(self) -> None:
        if self._paused:
            self._paused = False
            self._connection.unpause()

    def _cancel(self) -> None:
        self._unpause()
        self._connection.reset(self, CANCEL)

    # what the connection tells

    def on_informational(self, fields: tuple[Pair, ...]) -> None:
        self._interim += 1
        try:
            if self._interim > MOST_INFORMATIONAL:
                raise BadResponse(f"more than {MOST_INFORMATIONAL} interim answers before one")
            head = informational_head(fields)
        except BadResponse as error:
            self._refuse(error)
            return
        if self.story is not None:
            self.story.on_informational(head)

    def on_head(self, fields: tuple[Pair, ...], ended: bool) -> None:
        try:
            head = response_head(fields, self._method, ended)
        except BadResponse as error:
            self._refuse(error)
            return
        self.headed = True
        self._ended = ended
        if self._protocol and 200 <= head.status < 300:
            as_switched(head, self._protocol)
        if self.story is not None:
            self.story.on_response(head)
            if ended:
                self._finish(NO_TRAILERS)

    def on_data(self, data: bytes, ended: bool) -> None:
        self._ended = ended
        if self.story is None:
            return  # reset, or about to be; what closes it acknowledges what came
        if self._paused or self._held:
            if data:
                self._held.append(data)
            if ended:
                self._finish(NO_TRAILERS)
            return
        if data:
            self.story.on_data(data, ended and not self._tunnel)
            if not self._paused:
                self._connection.acknowledge(self)
        if ended:
            self._finish(NO_TRAILERS)

    def on_trailers(self, fields: tuple[Pair, ...]) -> None:
        self._ended = True
        self._finish(trailers_of(fields))

    def on_reset(self, code: int) -> None:
        """The upstream has reset it; that the stream closes is told after that, or before."""
        self._reset = code
        self._connection.was_reset(code)

    def on_closed(self, code: int) -> None:
        """The stream is no more."""
        if self.story is None or self._end is not None:
            return
        if self._shut and self._reset < 0 and not code:
            return  # both ends of a tunnel are shut
        if self._reset >= 0:
            self.fail(reset_by_upstream(self._reset, self.headed))
        else:
            self.fail(ended_by_us(code, self.headed))

    def fail(self, error: ProxyError) -> None:
        """Tell the story that its side is dead, unless all of the answer is here."""
        if self._end is not None:
            return
        self._unpause()
        self._held.clear()
        story, self.story = self.story, None
        if story is not None:
            story.on_upstream_failed(error)

    def flush(self) -> None:
        """Nothing more is at hand."""
        if self.story is not None and not self._paused:
            self.story.flush()

    # inside

    def _refuse(self, error: BadResponse) -> None:
        self._cancel()
        self.fail(error)

    def _deliver(self) -> None:
        held = self._held
        while held and not self._paused and self.story is not None:
            data = held.popleft()
            last = not held and self._end is not None and not self._end and not self._tunnel
            self.story.on_data(data, last)
        if self._paused or self.story is None:
            return
        self._connection.acknowledge(self)
        if self._end is not None:
            self._finish(self._end)
        else:
            self.story.flush()

    def _finish(self, trailers: Trailers) -> None:
        """The answer is complete; told when all of it has been delivered."""
        if self._paused or self._held:
            self._end = trailers
            return
        story = self.story
        if self._tunnel and not self.request_done:
            self._shut = True  # our end is still open
        else:
            self.story = None
            if not self.request_done:
                self._cancel()  # nobody wants the rest of the request
        if story is not None:
            story.on_response_end(monotonic_ns(), trailers)
