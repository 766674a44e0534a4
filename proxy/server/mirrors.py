"""Copies of requests for another upstream, whose answers nobody sees.

A copy is a story of its own whose client is a `Sink`: it runs through the same tries, pools, bounds
and balancers as every request, and reads its answer to the end. The client's story gives pieces of
the body to it and never waits for it: a copy that falls too far behind is given up and counted.

A copy has a trace of its own, of CLIENT spans alone, marked by `spangate.mirror` and linked to the
SERVER span of the request that it is a copy of.
"""

from __future__ import annotations

import logging

from proxy.errors import ProxyError, ShuttingDown, UpstreamError
from proxy.http.edits import WANTS_TUNNEL, Edits
from proxy.http.head import Pair, ResponseHead, Trailers
from proxy.kernel.clock import monotonic_ns
from proxy.kernel.hexes import trace_id
from proxy.server import answering, attempts, grpc_calls
from proxy.server.attempts import EVENT
from proxy.server.house import House
from proxy.server.peer import NOBODY
from proxy.server.sides import ClientSide
from proxy.server.snapshot import RouteEntry, Target
from proxy.server.story import Story
from proxy.telemetry import instruments
from proxy.telemetry.facts import Call, Exchange
from proxy.tracing.context import TraceContext

log = logging.getLogger("spangate")

MOST = 1000  # copies under way in one worker
BEHIND = 1024 * 1024  # bytes of a body that a copy may be behind the client's request
MARK = "spangate.mirror"


class Mirroring:
    """What a route says about copies."""

    __slots__ = ("share", "target")

    def __init__(self, target: Target, share: float) -> None:
        self.target = target
        self.share = share


class Fallen(ProxyError):
    """The copy is too far behind."""

    error_type = "mirror_behind"


class Sink(ClientSide):
    """A client that wants nothing, and whose body comes from another story."""

    __slots__ = ("_behind", "_done", "_paused", "_story")

    def __init__(self, client: ClientSide) -> None:
        self.peer = NOBODY
        self.scheme = client.scheme
        self.trusted = self.forwards = self.blocked = False
        self._story: Story | None = None
        self._paused = self._done = False
        self._behind = 0

    def feed(self, story: Story, complete: bool) -> None:
        """Its story, which begins now; `complete`: there is no body, or it has been given."""
        self._story, self._done = story, complete

    @property
    def reading_paused(self) -> bool:
        return self._paused

    @property
    def upload_done(self) -> bool:
        return self._done

    def on_body(self, data: bytes, last: bool) -> None:
        """A piece of the body as the client has sent it."""
        story = self._story
        if story is None or story.coroutine is None:
            return
        if self._paused:
            self._behind += len(data)
            if self._behind > BEHIND:
                story.on_client_failed(Fallen(f"it was {BEHIND} bytes behind the client"))
                return
        self._done = self._done or last
        story.on_body(data, last)

    def on_body_end(self, trailers: Trailers) -> None:
        """The body is complete."""
        self._done = True
        if self._story is not None and self._story.coroutine is not None:
            self._story.on_body_end(trailers)

    def cut(self) -> None:
        """The client's request has ended before its body did."""
        if not self._done and self._story is not None:
            self._story.on_client_gone()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused, self._behind = False, 0

    def take_back(self) -> bool:
        return False

    def send_head(self, head: ResponseHead, edits: Edits, more: list[Pair]) -> None:
        pass

    def send_data(self, data: bytes, last: bool) -> None:
        pass

    def send_informational(self, head: ResponseHead) -> None:
        pass

    def next(self, now: int) -> None:
        self._story = None


class Mirrors:
    """Those of one worker."""

    __slots__ = ("_house", "_running")

    def __init__(self, house: House) -> None:
        self._house = house
        self._running: set[Story] = set()

    def __len__(self) -> int:
        return len(self._running)

    def tick(self, now: int) -> None:
        """Look at their deadlines; monotonic ns, a few times a second."""
        for story in list(self._running) if self._running else ():
            story.tick(now)

    def stop(self) -> None:
        """The worker ends: they are not waited for."""
        for story in list(self._running):
            story.on_shutdown()

    def copy(self, story: Story) -> None:
        """Begin one of that request, whose route mirrors, if its share wants it."""
        entry = story.entry
        assert entry is not None
        said: Mirroring = entry.mirror
        if story.edits.wants & WANTS_TUNNEL or (
            said.share < 1 and self._house.random() >= said.share
        ):
            return
        if len(self._running) >= MOST or self._house.draining:
            self.drop(entry, said.target, "too_many" if not self._house.draining else "draining")
            return
        sink = Sink(story.client)
        copy = _copied(story, sink, said.target)
        self._running.add(copy)
        copy.coroutine = _run(copy, self)
        complete = story.client.upload_done or story.head.length == 0
        sink.feed(copy, complete)
        if not complete:
            story.copy = sink
        copy.held = list(story.held)
        copy.x.body_in = sum(map(len, copy.held))
        if complete:
            copy.trailers = story.trailers
        copy.begin()

    def drop(self, entry: RouteEntry, target: Target, reason: str) -> None:
        """Count one that was not made, or given up."""
        labels = (
            ("spangate.route", entry.blocks.name),
            ("spangate.upstream", target.name),
            ("spangate.reason", reason),
        )
        self._house.recorder.registry.number(instruments.MIRROR_DROPPED, labels).value += 1

    def ended(self, story: Story) -> None:
        """It is over, and recorded."""
        self._running.discard(story)


def _copied(story: Story, sink: Sink, target: Target) -> Story:
    copy = Story(story.worker, sink, story.head)
    copy.entry, copy.target = story.entry, target
    copy.edits = story.edits
    _describe(copy.x, story)
    if target.total_ns:
        copy.total = copy.x.start + target.total_ns
    call = story.x.call
    if call is not None and not call.web:
        copy.x.call = Call(call.name, call.timeout)
        grpc_calls.begin(copy, copy.x.call)
    return copy


def _describe(x: Exchange, story: Story) -> None:
    """What is known of the request, and a trace of the copy's own that is linked to the other."""
    of = story.x
    x.method, x.path, x.query, x.sent_path = of.method, of.path, of.query, of.sent_path
    x.version, x.scheme, x.route = of.version, of.scheme, of.route
    x.client, x.host, x.host_port = of.client, of.host, of.host_port
    x.request_id = of.request_id
    x.sampled = of.sampled
    x.trace_id = trace_id(story.worker.getrandbits)
    x.captured = [(MARK, True)]
    x.link = TraceContext(of.trace_id, of.span_id, of.sampled, random=of.flags_random)


async def _run(story: Story, mirrors: Mirrors) -> None:
    """One copy, from its first try to its record."""
    x = story.x
    try:
        response = await _answered(story)
        story.held, story.replayable = [], False
        story.wait(0, 0)
        x.status, x.head_sent = response.status, True
        if x.call is not None:
            grpc_calls.relay(x.call, response)
        trailers = await EVENT
        if x.call is not None:
            grpc_calls.end(story, x.call, trailers)
    except ProxyError as error:
        answering.leave(story, error)
        reason = "shutting_down" if isinstance(error, ShuttingDown) else error.error_type
        x.error = reason
        assert story.entry is not None and story.target is not None
        mirrors.drop(story.entry, story.target, reason)
    except Exception:
        log.exception("a copy of a request failed inside the gateway", extra={"key": "mirror.bug"})
    finally:
        _finish(story, mirrors)


async def _answered(story: Story) -> ResponseHead:
    try:
        if attempts.is_sent(story):
            response: ResponseHead = await EVENT
        else:
            response = await attempts.first(story)
    except UpstreamError as error:
        another = attempts.after(story, error)  # a connection that had ended, at most
        if another is None:
            raise
        response = await attempts.again(story, another)
    else:
        another = attempts.follows(story, response)
        if another is not None:
            response = await attempts.again(story, another)
    return response


def _finish(story: Story, mirrors: Mirrors) -> None:
    x, attempt = story.x, story.attempt
    x.end = x.end or monotonic_ns()
    if attempt is not None and x.head_sent and attempt.status:
        attempt.end = x.end
    story.coroutine = None
    story.upstream = None
    if story.ticket is not None:
        story.worker.overload.left(story.ticket)
    mirrors.ended(story)
    for tried in x.attempts:
        tried.tell(x.end)
    story.worker.recorder.tried(x, False)
    story.client.next(x.end)
