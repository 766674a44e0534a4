"""A request of the gateway's own beside a story: one GET without a body, asked of an upstream.

It goes by the upstream's balancer and pools as every request does, is bounded in time and size,
is not tried again but for a connection that had ended, or where its server has done nothing with it
(`unprocessed.py`), and has a CLIENT span of its own below the
request's SERVER span, which the span says (`Exchange.captured`). Why it is asked, and what becomes
of the answer, is for those to know who ask: pages for failures (`page_request.py`), and whether a
request may come in (`auth_forward.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.errors import (
    NotProcessed,
    OlderRequired,
    ProxyError,
    UpstreamError,
    UpstreamReset,
    UpstreamTimeout,
)
from proxy.http.edits import Edits
from proxy.http.head import RequestHead, ResponseHead, Trailers
from proxy.kernel.clock import monotonic_ns
from proxy.kernel.hexes import span_id
from proxy.server.h2_ends import GOING
from proxy.server.house import Dialling, House
from proxy.server.nobody import nobody
from proxy.server.sides import StoryEvents, UpstreamSide
from proxy.server.snapshot import Target
from proxy.server.unprocessed import again
from proxy.telemetry.blocks import GONE
from proxy.telemetry.facts import ASIDE, Attempt, Exchange
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.state import Use

# head and body of the answer; or none, and why
Done = Callable[[ResponseHead | None, bytes, ProxyError | None], None]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of whom."""

    target: Target
    x: Exchange  # what its span tells, as `aside` makes it
    head: RequestHead  # whose lines go
    edits: Edits
    most: int  # bytes of the answer's body; an answer with more is none
    is_read: Callable[[ResponseHead], bool]  # whether the body counts; else the head is told alone


class Deadlines:
    """Those of requests that may all take as long, by one timer."""

    __slots__ = ("_due", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[SideRequest, float] = {}  # in the order in which they are over
        self._timer: asyncio.TimerHandle | None = None

    def add(self, request: SideRequest) -> None:
        """It begins now."""
        loop = asyncio.get_running_loop()
        due = self._due[request] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._ring)

    def drop(self, request: SideRequest) -> None:
        """It has ended."""
        self._due.pop(request, None)

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._due:
            request, due = next(iter(self._due.items()))
            if due > loop.time():
                self._timer = loop.call_at(due, self._ring)
                return
            del self._due[request]
            request.on_late()


class SideRequest(StoryEvents):
    """One of them. Everything that its upstream side tells comes here; `done` is called once, and
    not after `stop`. Where the body does not count it is read nevertheless, so that the connection
    can be used again."""

    __slots__ = (
        "_attempt", "_deadlines", "_dialling", "_done", "_endpoint", "_going", "_house", "_is_over",
        "_older", "_pieces", "_question", "_refused", "_response", "_side", "_size",
    )  # fmt: skip

    def __init__(self, house: House, question: Question, deadlines: Deadlines, done: Done) -> None:
        self._house = house
        self._question = question
        self._deadlines = deadlines
        self._done: Done | None = done
        self._attempt: Attempt | None = None
        self._dialling: Dialling | None = None
        self._endpoint: Endpoint | None = None
        self._side: UpstreamSide | None = None
        self._response: ResponseHead | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_over = False
        self._refused = self._going = 0  # tries that have followed such failures
        self._older = False  # HTTP/1.1 was asked for

    def begin(self) -> None:
        """On a warm connection if there is one."""
        self._deadlines.add(self)
        self._try(warm=True)

    def stop(self) -> None:
        """Nobody waits for it any more."""
        done, self._done = self._done, None
        if done is None or self._is_over:
            return
        if self._attempt is not None:
            self._attempt.error = GONE
        self._end(None)

    def on_late(self) -> None:
        """Its time is over."""
        self._end(UpstreamTimeout("no answer in time"))

    # what the sides tell

    def on_connected(self, upstream: UpstreamSide) -> None:
        if self._is_over:
            upstream.close()
            return
        self._dialling = None
        self._send(upstream)

    def on_connect_failed(self, error: ProxyError) -> None:
        self._dialling = None
        self._end(error)

    def on_response(self, head: ResponseHead) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        attempt.first_byte = monotonic_ns()
        attempt.status, attempt.version = head.status, head.version
        self._response = head
        if head.status >= 400:
            attempt.error = str(head.status)
        if not self._question.is_read(head):
            self._tell(head, b"", None)

    def on_data(self, data: bytes, last: bool) -> None:
        self._size += len(data)
        if self._size > self._question.most:
            told = self._done is None
            most = self._question.most
            self._end(None if told else UpstreamError(f"the answer has more than {most} bytes"))
        elif self._done is not None:
            self._pieces.append(data)

    def on_response_end(self, now: int, trailers: Trailers) -> None:
        self._side = None
        self._end(None)

    def on_upstream_failed(self, error: ProxyError) -> None:
        self._side = None
        pause = self._again(error)
        if pause is None:
            self._end(error)
            return
        self._finish(error)
        if pause:
            self._house.later(pause, self)
        else:
            self._try(warm=False)

    def on_paused_enough(self) -> None:
        if not self._is_over:
            self._try(warm=False)

    def is_answering(self) -> bool:
        return False

    # its own steps

    def _again(self, error: ProxyError) -> float | None:
        """Seconds to wait before it is sent again; None: it is not. No deadline but its own."""
        attempt = self._attempt
        if attempt is None or self._response is not None or self._is_over:
            return None
        if not isinstance(error, NotProcessed):
            return 0.0 if attempt.reused and isinstance(error, UpstreamReset) else None
        if self._older:
            return None
        pause = again(error, self._refused, self._going, self._house.random)
        self._older = isinstance(error, OlderRequired)
        if error.detail == GOING:
            self._going += 1
        else:
            self._refused += 1
        return pause

    def _try(self, *, warm: bool) -> None:
        """Choose a server, and ask it."""
        house, target, now = self._house, self._question.target, monotonic_ns()
        state = target.state
        endpoint = self._endpoint = state.balancer.pick(now, None, self._endpoint)
        if endpoint is None:
            self._end(nobody(target, now))
            return
        attempt = self._attempt = Attempt(now, span_id(house.getrandbits), 1)
        attempt.retry_reason = ASIDE
        attempt.upstream, attempt.address = target.name, endpoint.authority
        attempt.host, attempt.port = endpoint.host, endpoint.port
        if state.feedback is not None:
            attempt.use = Use(state.feedback, endpoint, now)
        side = house.pool_of(endpoint).take(False) if warm else None
        if side is not None:
            attempt.reused = True
            self._send(side)
        else:
            self._dialling = house.dial(self, endpoint, target.connect, self._older)

    def _send(self, side: UpstreamSide) -> None:
        attempt, question = self._attempt, self._question
        assert attempt is not None
        x, injector = question.x, question.target.injector
        self._side = side
        now = attempt.connected = attempt.sent = monotonic_ns()
        if not attempt.reused:
            attempt.cost_connect = now - attempt.start
        peer = side.peer
        attempt.peer, attempt.tls = peer.where, peer.tls
        attempt.scheme, attempt.version = side.scheme, side.version
        attempt.withheld = injector.withheld
        more = injector.inject(x.trace_id, attempt.span_id, x.sampled, x.flags_random, x.context)
        side.start(self, question.head, question.edits, more)

    def _end(self, error: ProxyError | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._deadlines.drop(self)
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.forget()
        side, self._side = self._side, None
        if side is not None:
            side.abort()
        attempt = self._attempt
        self._finish(error)
        if error is not None and attempt is not None:
            faults = self._house.faults
            faults.tell(attempt.upstream, attempt.address, error, attempt.end)
        if error is None:
            self._tell(self._response, b"".join(self._pieces), None)
        else:
            self._tell(None, b"", error)

    def _tell(self, head: ResponseHead | None, body: bytes, error: ProxyError | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(head, body, error)

    def _finish(self, error: ProxyError | None) -> None:
        """Its span, once."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        now = attempt.end = monotonic_ns()
        if error is not None:
            attempt.error, attempt.why = error.error_type, error.detail
        attempt.tell(now)
        self._house.recorder.aside(self._question.x, attempt)


def aside(x: Exchange, path: str, marks: list[tuple[str, Any]]) -> Exchange:
    """What the span of a side request says of it, which is not what the client asked for; `marks`
    are attributes that say why it was asked."""
    made = Exchange(x.start, x.wall_ns)
    made.trace_id, made.span_id = x.trace_id, x.span_id
    made.sampled, made.flags_random, made.context = x.sampled, x.flags_random, x.context
    made.method, made.path, made.query = "GET", *path.partition("?")[::2]  # of no route's template
    made.captured = marks
    return made


def getting(path: str, scheme: str) -> RequestHead:
    """The head of a GET, without lines."""
    head = RequestHead()
    head.method, head.path, head.scheme = "GET", path.partition("?")[0], scheme
    return head
