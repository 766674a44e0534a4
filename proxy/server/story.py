"""The story of one exchange: what is known of it while it runs, and what its two sides tell it.

A story is a coroutine (`serve.py`) that its connections step themselves: whatever arrives (an
answer's head, a new connection, an error) is sent or thrown into it, and nothing in it awaits
asyncio. That reads like sequential code and costs 0.2 µs more than callbacks, where a task with
futures costs 4.

Bodies do not pass through the coroutine: `on_body` and `on_data` hand each piece straight to the
other side, with back-pressure both ways. Protocols are codecs below this file (`sides.py`): the
story knows heads, pieces and ends, never bytes of HTTP/1.1.
"""

from __future__ import annotations

from typing import Any

from proxy.errors import (
    BadRequest,
    ClientError,
    ClientGone,
    ProxyError,
    ShuttingDown,
    StreamTimeout,
    TryTimeout,
    UpstreamTimeout,
)
from proxy.http.edits import NO_EDITS, Edits
from proxy.http.head import RequestHead, ResponseHead, Trailers
from proxy.kernel.clock import monotonic_ns, time_ns
from proxy.kernel.step import send
from proxy.server import splice
from proxy.server.house import House
from proxy.server.sides import NO_TRAILERS, ClientSide, StoryEvents, UpstreamSide
from proxy.server.snapshot import REPLAY, RouteEntry, Target
from proxy.server.trailers import NO_NAMES, passed_on
from proxy.telemetry.facts import Attempt, Exchange
from proxy.upstream.endpoint import Endpoint


class Story(StoryEvents):
    """One request from its head to its record. Owned by its client side."""

    __slots__ = (
        "_deadline",
        "_idle_since",
        "_moved",
        "attempt",
        "client",
        "copy",
        "coroutine",
        "edits",
        "endpoint",
        "entry",
        "flow",
        "head",
        "held",
        "later",
        "replayable",
        "snapshot",
        "target",
        "ticket",
        "total",
        "trailers",
        "tunnel",
        "upstream",
        "worker",
        "x",
    )

    def __init__(self, worker: House, client: ClientSide, head: RequestHead) -> None:
        self.set_out(worker, client, head)

    def set_out(self, worker: House, client: ClientSide, head: RequestHead) -> None:
        """All that __init__ does; alone it costs 400 instructions less (make bench-check)."""
        self.worker = worker
        self.client = client
        self.head = head
        self.x = x = Exchange.__new__(Exchange)
        x.begin(monotonic_ns(), time_ns())
        self.snapshot = worker.snapshot  # the same from beginning to end, whatever is reloaded
        self.coroutine: Any = None  # a Coroutine, None when it has ended
        self.later: Any = None  # what goes on where that one ends: a page must be asked for
        self.entry: RouteEntry | None = None  # of the route that it goes by
        self.target: Target | None = None
        self.attempt: Attempt | None = None
        self.endpoint: Endpoint | None = None  # of the attempt
        self.upstream: UpstreamSide | None = None
        self.edits: Edits = NO_EDITS  # of the request's head
        self.held: list[bytes] = []  # request body that has come before or may be needed again
        self.trailers = NO_TRAILERS  # of the request
        self.tunnel: Any = None  # a Tunnel, since its bytes are those of another protocol
        self.ticket: Any = None  # what it holds of its upstream's bounds, if it has any
        self.copy: Any = None  # a mirrors.Sink, which gets the request's body as well
        self.flow: Any = None  # a splice.Flow, which moves one of the bodies
        self.replayable = True
        self.total = 0  # monotonic ns at which the whole exchange must be over; 0 = never
        self._deadline = 0  # of the present phase
        self._moved = False  # a byte went either way since the last sweep
        self._idle_since = 0

    def begin(self) -> None:
        """Run to the first wait, or to the end."""
        try:  # noqa: SIM105 - contextlib.suppress costs 0.4 µs, here and below
            send(self.coroutine, None)
        except StopIteration:
            pass

    # what the sides tell it

    def _step(self, value: object) -> None:
        if self.coroutine is not None:
            try:  # noqa: SIM105
                send(self.coroutine, value)
            except StopIteration:
                pass

    def _throw(self, error: ProxyError) -> None:
        coroutine = self.coroutine
        if coroutine is not None:
            try:  # noqa: SIM105
                coroutine.throw(error)
            except StopIteration:
                pass
            # Since 3.12 the frames in it lead back to those of the callers, which hold the error.
            error.__traceback__ = None

    def on_body(self, data: bytes, last: bool) -> None:
        x, upstream = self.x, self.upstream
        x.body_in += len(data)
        self._moved = True
        if self.tunnel is not None:
            self.tunnel.sent(data)
            if upstream is not None:
                upstream.send_data(data, False)
            else:
                self.held.append(data)
                self.client.pause()
            return
        limit = self.target.body_limit if self.target is not None else 0
        if limit and x.body_in > limit:
            self._throw(ClientError(413, "the request body is too large", close=True))
            return
        if self.copy is not None:
            self.copy.on_body(data, last)
        if self.replayable:
            self.held.append(data)
            if x.body_in > (REPLAY if self.target is None else self.target.keep):
                self.replayable = False
                if upstream is not None:
                    self.held = []
        elif upstream is None and self.coroutine is not None:
            self.held.append(data)
        if upstream is not None:
            upstream.send_data(data, last)
        else:
            self.client.pause()

    def on_plenty(self, source: Any, left: int) -> None:
        client: Any = self.client
        upstream: Any = self.upstream
        if self.flow is not None or self.tunnel is not None or self.copy is not None:
            return
        if source is client and upstream is not None and not self.replayable:
            splice.begin(self, source, upstream, left, True)
        elif source is upstream:
            splice.begin(self, source, client, left, False)

    def on_moved(self, count: int, upload: bool) -> None:
        """`count` bytes of a body were taken past the sides, by the flow."""
        self._moved = True
        if upload:
            self.x.body_in += count
        else:
            self.x.body_out += count

    def on_body_end(self, trailers: Trailers) -> None:
        if self.tunnel is not None:
            self._client_shut()
            return
        if trailers:
            access = None if self.entry is None else self.entry.access
            never = NO_NAMES if access is None else access.strips
            self.trailers = passed_on(trailers, self.head, never)
        if self.copy is not None:
            self.copy.on_body_end(trailers)
        if self.upstream is not None:
            self.upstream.end(self.trailers)
            if not self.x.head_sent and self.target is not None:
                self.wait(monotonic_ns(), self.target.first_byte_ns)

    def _client_shut(self) -> None:
        over, upstream = self.tunnel.shut_by_client(), self.upstream
        if upstream is not None:
            upstream.end(NO_TRAILERS)
        if over:
            self._step(NO_TRAILERS)

    def on_bad_body(self, error: BadRequest) -> None:
        self._throw(error)

    def on_client_gone(self) -> None:
        self._throw(ClientGone())

    def on_client_failed(self, error: ProxyError) -> None:
        """Whoever sends the request's body cannot go on."""
        self._throw(error)

    def on_shutdown(self) -> None:
        self._throw(ShuttingDown("the gateway is shutting down"))

    def on_client_blocked(self) -> None:
        if self.upstream is not None:
            self.upstream.pause()

    def on_client_drained(self) -> None:
        self._moved = True
        if self.upstream is not None:
            self.upstream.resume()

    def on_upload_blocked(self) -> None:
        self.client.pause()

    def on_upload_drained(self) -> None:
        self._moved = True
        self.client.resume()

    def on_connected(self, upstream: UpstreamSide) -> None:
        if self.coroutine is None:
            upstream.close()
        else:
            self._step(upstream)

    def on_connect_failed(self, error: ProxyError) -> None:
        self._throw(error)

    def on_paused_enough(self) -> None:
        self._step(None)

    def on_informational(self, head: ResponseHead) -> None:
        self.client.send_informational(head)

    def on_response(self, head: ResponseHead) -> None:
        if self.coroutine is not None:  # here and below what _step says, with a call less
            try:  # noqa: SIM105
                send(self.coroutine, head)
            except StopIteration:
                pass

    def on_data(self, data: bytes, last: bool) -> None:
        self._moved = True
        self.x.body_out += len(data)
        if self.tunnel is not None:
            self.tunnel.came(data)
        self.client.send_data(data, last)

    def flush(self) -> None:
        self.client.flush()

    def on_response_end(self, now: int, trailers: Trailers) -> None:
        if self.tunnel is not None and not self.tunnel.shut_by_upstream():
            self.client.end(NO_TRAILERS)
            return
        self.upstream = None
        self.x.end = now
        if self.coroutine is not None:
            try:
                passed = passed_on(trailers, self.head, NO_NAMES) if trailers else NO_TRAILERS
                send(self.coroutine, passed)
            except StopIteration:
                pass

    def on_upstream_failed(self, error: ProxyError) -> None:
        self.upstream = None
        self._throw(error)

    def is_answering(self) -> bool:
        return self.x.head_sent

    # deadlines

    def wait(self, since: int, limit: int) -> None:
        """From `since` on the answer may take `limit` ns; 0 = only idle and total limits hold."""
        self._deadline = since + limit if limit else 0
        self._moved = True

    def tick(self, now: int) -> None:
        if self.total and now >= self.total:
            self._throw(self._over())
        elif self._deadline:
            if now >= self._deadline:
                self._throw(self._late())
        elif self._moved or self.upstream is None:  # dialling and pauses have their own clocks
            self._moved = False
            self._idle_since = now
        elif (
            self.target is not None
            and self.target.idle_ns
            and now - self._idle_since >= self.target.idle_ns
        ):
            self._throw(self._idle_error())

    def _over(self) -> ProxyError:
        target = self.target
        if target is None or not target.stream_ns or self.total < self.x.start + target.stream_ns:
            return UpstreamTimeout("the total time of the request is up")
        return StreamTimeout("the time of the stream is up")

    def _late(self) -> ProxyError:
        target = self.target
        if target is None or not target.per_try:
            return UpstreamTimeout("no answer in time")
        return TryTimeout("no answer within the time of a try")

    def _idle_error(self) -> ProxyError:
        client = self.client
        if not client.upload_done and not client.reading_paused and not self.x.head_sent:
            return ClientError(408, "the request body stopped coming", close=True)
        return UpstreamTimeout("no byte in either direction for too long")
