"""The two sides of a story, whatever the protocol, and what they tell it.

A story moves one exchange between a `ClientSide` and an `UpstreamSide`; both tell it what happens
through `StoryEvents`. HTTP/1.1 is one codec of each (`h1_client.py`, `h1_upstream.py`), where a
side is the connection itself; where a connection carries many exchanges, a side is one stream.
A story never sees bytes of a protocol, a codec never sees routes, retries or spans.

What holds for all of it:

- Everything is called in the event loop's thread, takes no time worth mentioning and never waits.
  A side may call back from within a call (a client side begins the next request in `next`).
- Bodies are counted in bytes of content, without framing. Times are monotonic nanoseconds.
- Framing (Host or :authority, lengths, codings, connection fields, END_STREAM) is the codec's. It
  follows from facts: `head.length` (None = not known), `edits.authority`, `edits.wants`,
  and whether a piece is the `last` one.
- Back-pressure: a side that takes no more says so (`on_client_blocked`, `on_upload_blocked`),
  and the story pauses the other one until it hears `..._drained`. What is sent nevertheless is
  kept, so a story that ignores this costs memory, not data.
- What completes a message (`last`, `end`) is written at the end of the event loop's turn and
  never before the call returns: by then the story has recorded the exchange.
- After `abort`, and after a side has said that it failed, ended or is gone, it tells nothing more
  of this exchange, and what is still sent to it is thrown away.
- They are classes to inherit from, and no Protocols, because a compiled call then goes through a
  table and not through a name; whoever inherits defines everything.
- A tunnel (101, CONNECT) is a state of the codec: after `open_tunnel` pieces are bytes as they
  come, `on_body_end` and `on_response_end` are the two half-closes, `end` is ours.
"""

from __future__ import annotations

from typing import Any

from proxy.errors import BadRequest, ProxyError
from proxy.http.edits import Edits
from proxy.http.head import Pair, RequestHead, ResponseHead, Trailers
from proxy.server.peer import Peer

NO_TRAILERS: Trailers = ()
PLENTY = 1024 * 1024  # bytes still to come of a body, from which on `on_plenty` is told


class ClientSide:
    """Where a request came from and its answer goes to. Order of calls: `send_informational` any
    number of times, `send_head` once, `send_data`, `end` once, `next` once; or `abort`, `next`."""

    __slots__ = ("blocked", "forwards", "peer", "scheme", "trusted")

    peer: Peer
    scheme: str  # of the connection: http or https
    trusted: bool  # its trace context counts
    forwards: bool  # its X-Forwarded-* and Forwarded count
    blocked: bool  # the client takes no more of its answers for now

    @property
    def reading_paused(self) -> bool:
        """Whether the story has paused it: whoever is slow then, it is not the client."""
        raise NotImplementedError

    @property
    def upload_done(self) -> bool:
        """Whether all of the request's body has come."""
        raise NotImplementedError

    def send_informational(self, head: ResponseHead) -> None:
        """A 1xx answer (RFC 9110 §15.2), if the client can understand it."""

    def send_head(self, head: ResponseHead, edits: Edits, more: list[Pair]) -> None:
        """Begin the answer: its head changed by `edits`, with `more` lines of this answer alone.
        It may be held until `flush` or the first piece."""

    def send_data(self, data: bytes, last: bool) -> None:
        """A piece of the body, not empty. `last`: it completes the answer, without trailers."""

    def flush(self) -> None:
        """Nothing more is at hand just now: write what is held."""

    def end(self, trailers: Trailers) -> None:
        """The answer is complete; after a `last` piece this does nothing."""

    def take_back(self) -> bool:
        """Forget the head that was given; False if it is on its way already."""
        raise NotImplementedError

    def skip_body(self) -> None:
        """The rest of the request is not wanted; what is at hand of it is thrown away."""

    def open_tunnel(self) -> None:
        """After a head of 101, or of 2xx to CONNECT: bytes both ways from now on."""

    def close_after(self) -> None:
        """Take no further request after this one."""

    def abort(self) -> None:
        """End the exchange so that the client sees that its answer is incomplete."""

    def pause(self) -> None:
        """Deliver no more of the request."""

    def resume(self) -> None:
        """The opposite; may be called without a `pause` before it, as that may be repeated."""

    def next(self, now: int) -> None:
        """The story is over, and recorded."""

    def bare(self) -> Any:
        """The transport, where the answer's content goes out as it is: after this call nothing is
        held back. None where there are frames, chunks or TLS around it."""
        return None

    def took(self, count: int) -> None:
        """`count` bytes of the request's body were taken past it (splice.py)."""

    def gave(self, count: int) -> None:
        """`count` bytes of the answer's body were written past it."""

    def fail_by(self, error: OSError) -> None:
        """Its socket failed while others used it; its transport is aborted."""


class UpstreamSide:
    """One exchange with an upstream, lent by a pool. Order: `start` once, `send_data`, `end` once;
    or `abort`. It goes back by itself when both directions are complete."""

    __slots__ = ("blocked", "peer", "scheme", "used", "version")

    peer: Peer
    scheme: str  # of the connection
    version: str  # network.protocol.version of this hop
    used: bool  # the connection has carried an exchange before
    blocked: bool  # it takes no more of the request for now

    def start(self, story: StoryEvents, head: RequestHead, edits: Edits, more: list[Pair]) -> None:
        """Write the request's head, changed by `edits`, with `more` lines of this try alone."""

    def send_data(self, data: bytes, last: bool) -> None:
        """A piece of the request's body, not empty. `last`: the request is complete."""

    def end(self, trailers: Trailers) -> None:
        """The request is complete; after a `last` piece this does nothing."""

    def open_tunnel(self) -> None:
        """After an answer of 101, or of 2xx to CONNECT: bytes both ways from now on."""

    def drop_answer(self) -> None:
        """Go on without the body of the answer whose head is being told (a retry)."""

    def abort(self) -> None:
        """Give the exchange up at once; a stream is reset, a connection of one stream closed."""

    def close(self) -> None:
        """A side that was never started is not needed."""

    def pause(self) -> None:
        """Deliver no more of the answer."""

    def resume(self) -> None:
        """The opposite; may be called without a `pause` before it."""

    def bare(self) -> Any:
        """The transport, where the request's content goes out as it is, as for a client."""
        return None

    def took(self, count: int) -> None:
        """`count` bytes of the answer's body were taken past it (splice.py)."""

    def gave(self, count: int) -> None:
        """`count` bytes of the request's body were written past it."""

    def fail_by(self, error: OSError) -> None:
        """Its socket failed while others used it; its transport is aborted."""


class Lender:
    """What lends upstream sides (`pool.py`): connections, or streams on shared ones."""

    __slots__ = ()

    def take(self, careful: bool) -> UpstreamSide | None:
        """One that is at hand, or None: dial. `careful`: what is sent cannot be sent again."""
        raise NotImplementedError


class StoryEvents:
    """What a story is told. From the client: `begin`, `on_body`, one `on_body_end`. From the
    upstream: `on_informational`, one `on_response`, `on_data`, one `on_response_end`."""

    __slots__ = ()

    def begin(self) -> None:
        """Go: run to the first wait, or to the end."""

    def on_body(self, data: bytes, last: bool) -> None:
        """A piece of the request's body; after a `last` one `on_body_end` follows at once."""

    def on_plenty(self, source: Any, left: int) -> None:
        """After a piece of either body, from a side of one stream: `left` more bytes are to come,
        PLENTY or more, and may be taken past the side while its socket is lent."""

    def on_body_end(self, trailers: Trailers) -> None:
        """The request is complete, or the client has shut its end of a tunnel."""

    def on_bad_body(self, error: BadRequest) -> None:
        """The request's framing is broken: nothing more of it will come."""

    def on_client_gone(self) -> None:
        """Nobody is left to answer; the side is dead."""

    def on_shutdown(self) -> None:
        """The worker's time to drain is over: end now, an answer still leaves."""

    def on_client_blocked(self) -> None:
        """The client takes no more for now."""

    def on_client_drained(self) -> None:
        """It does again."""

    def tick(self, now: int) -> None:
        """Check deadlines; a few times a second."""

    def is_answering(self) -> bool:
        """Whether the head of an upstream's answer was sent on."""
        raise NotImplementedError

    def on_connected(self, upstream: UpstreamSide) -> None:
        """The side that was dialled for this story."""

    def on_connect_failed(self, error: ProxyError) -> None:
        """Or why there is none."""

    def on_paused_enough(self) -> None:
        """The time between two tries is over."""

    def on_informational(self, head: ResponseHead) -> None:
        """A 1xx answer; a codec bounds their number."""

    def on_response(self, head: ResponseHead) -> None:
        """The answer's head."""

    def on_data(self, data: bytes, last: bool) -> None:
        """A piece of the answer's body; after a `last` one `on_response_end` follows at once."""

    def flush(self) -> None:
        """No more of the answer is at hand just now."""

    def on_response_end(self, now: int, trailers: Trailers) -> None:
        """The answer is complete, or the upstream has shut its end of a tunnel."""

    def on_upstream_failed(self, error: ProxyError) -> None:
        """The side is dead, and why."""

    def on_upload_blocked(self) -> None:
        """The upstream takes no more of the request for now."""

    def on_upload_drained(self) -> None:
        """It does again."""
