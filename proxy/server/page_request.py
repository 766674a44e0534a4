"""A page for a failure, asked of an upstream: one GET beside a story that has failed.

It is bounded in time and size, is not tried again but for a connection that had ended, and has a
CLIENT span of its own below the request's SERVER span, marked `spangate.error_page`. The story
that waits for it is the only one to know.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.config.error_template import MOST
from proxy.errors import ProxyError, UpstreamError, UpstreamReset, UpstreamTimeout
from proxy.http.edits import Edits
from proxy.http.head import RequestHead, ResponseHead, Trailers
from proxy.kernel.clock import monotonic_ns
from proxy.kernel.hexes import span_id
from proxy.server.attempts import EVENT
from proxy.server.house import Dialling
from proxy.server.nobody import nobody
from proxy.server.sides import StoryEvents, UpstreamSide
from proxy.server.snapshot import Target
from proxy.server.story import Story
from proxy.telemetry.facts import ERROR_PAGE, Attempt, Exchange
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.state import Use

# What a gateway says that asks for a page, so that one behind it does not ask for another.
ASKED = b"x-spangate-error-page"
_PASSED_ON = (b"accept", b"accept-language")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an upstream gave."""

    kind: bytes  # Content-Type
    body: bytes


async def fetched(
    story: Story, target: Target, status: int, path: str, seconds: float
) -> Fetched | None:
    """The page of `path`, or None if there is none. Raises what ends the story meanwhile."""
    request = PageRequest(story, target, status, path.replace("{status}", str(status)))
    story.total = 0  # which is over perhaps, and is said already
    story.wait(0, 0)
    story.worker.later(seconds, request)
    try:
        request.begin()
        while not request.is_over:
            request.is_awaited = True
            await EVENT
    finally:
        request.stop()
    return request.got


class PageRequest(StoryEvents):
    """One of them. Everything that its upstream side tells comes here."""

    __slots__ = (
        "_attempt", "_dialling", "_endpoint", "_path", "_pieces", "_response", "_side", "_size",
        "_story", "_target", "_x", "got", "is_awaited", "is_over",
    )  # fmt: skip

    def __init__(self, story: Story, target: Target, status: int, path: str) -> None:
        self._story = story
        self._target = target
        self._x = _exchange(story.x, status, path)
        self._path = path
        self._attempt: Attempt | None = None
        self._dialling: Dialling | None = None
        self._endpoint: Endpoint | None = None
        self._side: UpstreamSide | None = None
        self._response: ResponseHead | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self.got: Fetched | None = None
        self.is_over = False
        self.is_awaited = False  # the story sleeps until it is over

    def begin(self) -> None:
        """On a warm connection if there is one."""
        self._try(warm=True)

    def stop(self) -> None:
        """Nobody waits for it any more."""
        self.is_awaited = False
        self._end(None)

    # what the sides tell

    def on_connected(self, upstream: UpstreamSide) -> None:
        if self.is_over:
            upstream.close()
            return
        self._dialling = None
        self._send(upstream)

    def on_connect_failed(self, error: ProxyError) -> None:
        self._dialling = None
        self._end(error)

    def on_paused_enough(self) -> None:
        """Its time is over, if it is not."""
        self._end(UpstreamTimeout("the page did not come in time"))

    def on_response(self, head: ResponseHead) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        attempt.first_byte = monotonic_ns()
        attempt.status, attempt.version = head.status, head.version
        self._response = head
        if head.status >= 400:
            attempt.error = str(head.status)
        usable = head.status == 200 and head.get(b"content-type") is not None
        if not usable or head.get(b"content-encoding") is not None:
            self._leave(head)

    def on_data(self, data: bytes, last: bool) -> None:
        self._size += len(data)
        if self._size > MOST:
            self._end(UpstreamError(f"the page has more than {MOST} bytes"))
            return
        self._pieces.append(data)

    def on_response_end(self, now: int, trailers: Trailers) -> None:
        self._side = None
        response = self._response
        if response is not None and not self.is_over:
            kind = response.get(b"content-type") or b"text/plain"
            self.got = Fetched(kind, b"".join(self._pieces))
        self._end(None)

    def on_upstream_failed(self, error: ProxyError) -> None:
        self._side = None
        attempt = self._attempt
        stale = attempt is not None and attempt.reused and isinstance(error, UpstreamReset)
        if stale and self._response is None:
            self._finish(error)
            self._try(warm=False)
        else:
            self._end(error)

    def is_answering(self) -> bool:
        return False

    # its own steps

    def _try(self, *, warm: bool) -> None:
        """Choose a server, and ask it."""
        story, state, now = self._story, self._target.state, monotonic_ns()
        endpoint = self._endpoint = state.balancer.pick(now, None, self._endpoint)
        if endpoint is None:
            self._end(nobody(self._target, now))
            return
        attempt = self._attempt = Attempt(now, span_id(story.worker.getrandbits), 1)
        attempt.retry_reason = ERROR_PAGE
        attempt.upstream, attempt.address = self._target.name, endpoint.authority
        attempt.host, attempt.port = endpoint.host, endpoint.port
        if state.feedback is not None:
            attempt.use = Use(state.feedback, endpoint, now)
        side = story.worker.pool_of(endpoint).take(False) if warm else None
        if side is not None:
            attempt.reused = True
            self._send(side)
        else:
            self._dialling = story.worker.dial(self, endpoint, self._target.connect)

    def _send(self, side: UpstreamSide) -> None:
        story, attempt, x = self._story, self._attempt, self._story.x
        assert attempt is not None
        self._side = side
        now = attempt.connected = attempt.sent = monotonic_ns()
        if not attempt.reused:
            attempt.cost_connect = now - attempt.start
        peer = side.peer
        attempt.peer, attempt.tls = peer.where, peer.tls
        attempt.scheme, attempt.version = side.scheme, side.version
        more = self._target.injector.inject(
            x.trace_id, attempt.span_id, x.sampled, x.flags_random, x.context
        )
        head = RequestHead()
        head.method, head.path, head.scheme = "GET", self._x.path, story.head.scheme
        edits = Edits(self._path, self._target.state.authority())
        edits.add(ASKED, b"%d" % self._x.status)
        for name in _PASSED_ON:
            if (value := story.head.get(name)) is not None:
                edits.add(name, value)
        if x.request_id:
            edits.add(b"x-request-id", x.request_id)
        side.start(self, head, edits, more)

    def _leave(self, head: ResponseHead) -> None:
        """An answer that is no page."""
        side, self._side = self._side, None
        if side is not None:
            side.drop_answer()
        self._end(None)

    def _end(self, error: ProxyError | None) -> None:
        if self.is_over:
            return
        self.is_over = True
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.forget()
        side, self._side = self._side, None
        if side is not None:
            side.abort()
        self._finish(error)
        if self.is_awaited:
            self.is_awaited = False
            self._story.on_paused_enough()

    def _finish(self, error: ProxyError | None) -> None:
        """Its span, once."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        now = attempt.end = monotonic_ns()
        if error is not None:
            attempt.error, attempt.why = error.error_type, error.detail
        attempt.tell(now)
        self._story.worker.recorder.aside(self._x, attempt)


def _exchange(x: Exchange, status: int, path: str) -> Exchange:
    """What the span of a page's request says of it, which is not what the client asked for."""
    made = Exchange(x.start, x.wall_ns)
    made.trace_id, made.span_id = x.trace_id, x.span_id
    made.sampled, made.flags_random, made.context = x.sampled, x.flags_random, x.context
    made.method, made.path, made.query = "GET", *path.partition("?")[::2]  # of no route's template
    made.status = status  # that the page is for
    return made
