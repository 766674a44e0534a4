"""A second try beside one that takes long, and which of the two counts.

On routes with `retry.hedge`. When the first try's answer has not begun in time, a `Rival` asks
another endpoint for the same. The first answer that is acceptable goes to the client, whoever gives
it, and the other try is given up: its connection is closed, its stream reset, its CLIENT span says
`spangate.hedge.lost`, and nothing is held against its endpoint. A try that fails while the other
one runs leaves it to that one. A rival is a retry: it counts in `times`, in the budget and in the
upstream's `limits.retries`, and only what may be sent twice is hedged.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.errors import ProxyError, UpstreamError
from proxy.http.head import ResponseHead, Trailers
from proxy.kernel.clock import monotonic_ns
from proxy.server import attempts, grpc_calls
from proxy.server.attempts import EVENT
from proxy.server.sides import ClientSide, StoryEvents, UpstreamSide
from proxy.server.story import Story
from proxy.telemetry.blocks import LOST
from proxy.telemetry.facts import Attempt
from proxy.upstream.endpoint import Endpoint

REASON = "hedge"  # why the try was begun, as `spangate.retry.reason`


class Rival(StoryEvents):
    """The second try. Until it has won, what its side tells stays here; then the story hears it."""

    __slots__ = ("_dialling", "_story", "_won", "attempt", "endpoint", "is_over", "upstream")

    def __init__(self, story: Story, attempt: Attempt, endpoint: Endpoint) -> None:
        self._story = story
        self.attempt = attempt
        self.endpoint = endpoint
        self.upstream: UpstreamSide | None = None
        self.is_over = False  # it has failed, or won
        self._won = False
        self._dialling: Any = None

    @property
    def client(self) -> ClientSide:
        """Whom a PROXY header tells of."""
        return self._story.client

    def go(self) -> None:
        """Ask: by a warm connection, or a new one."""
        story, target = self._story, self._story.target
        assert target is not None
        warm = story.worker.pool_of(self.endpoint).take(True)
        if warm is not None:
            self.attempt.connected = monotonic_ns()
            self.attempt.reused = warm.used
            self._send(warm)
        else:
            self._dialling = story.worker.dial(self, self.endpoint, target.connect)

    def win(self) -> None:
        """From now on it is the story's try."""
        story = self._story
        self.is_over = self._won = True
        story.attempt, story.endpoint, story.upstream = self.attempt, self.endpoint, self.upstream
        self._wait()

    def cancel(self) -> None:
        """Another has won, or nobody waits any more."""
        if self.is_over:
            return
        self.is_over = True
        if self._dialling is not None:
            self._dialling.forget()
        lose(self.attempt, self.upstream)

    def _send(self, upstream: UpstreamSide) -> None:
        story = self._story
        target, call = story.target, story.x.call
        assert target is not None
        more = attempts.introduce(story, target, self.attempt, upstream)
        if call is not None:
            upstream = grpc_calls.prepare(story, call, upstream, self.attempt, more)
        elif story.total:
            attempts.tell_deadline(story, more)
        self.upstream = upstream
        upstream.start(self, story.head, story.edits, more)
        if story.held:
            upstream.send_data(b"".join(story.held), False)
        if story.head.length != 0:
            upstream.end(story.trailers)

    def _fail(self, error: ProxyError) -> None:
        self.is_over = True
        self.upstream = None
        blame(self._story, self.attempt, error)
        self.attempt.tell(self.attempt.end)

    # what its side tells

    def on_connected(self, upstream: UpstreamSide) -> None:
        self._dialling = None
        if self.is_over and not self._won:
            upstream.close()
            return
        self.attempt.connected = monotonic_ns()
        self.attempt.cost_connect = self.attempt.connected - self.attempt.start
        self.attempt.reused = upstream.used
        try:
            self._send(upstream)
        except UpstreamError as error:  # it does not speak what is wanted
            self._lost_by(error)
        else:
            if self._won:
                self._story.upstream = self.upstream
                self._wait()

    def _wait(self) -> None:
        """The story's clock is that of this try now; dialling has one of its own."""
        target, sent = self._story.target, self.attempt.sent
        self._story.wait(sent, target.first_byte_ns if target is not None and sent else 0)

    def on_connect_failed(self, error: ProxyError) -> None:
        self._dialling = None
        self._lost_by(error)

    def on_upstream_failed(self, error: ProxyError) -> None:
        self._lost_by(error)

    def _lost_by(self, error: ProxyError) -> None:
        if self._won:
            self._story.on_upstream_failed(error)
        elif not self.is_over:
            self._fail(error)

    def on_response(self, head: ResponseHead) -> None:
        story, target = self._story, self._story.target
        if not self._won and target is not None:
            statuses = target.retry_statuses
            if statuses and head.status in statuses:
                self._refuse(head)
                return
            if story.attempt is not None:
                lose(story.attempt, story.upstream)
            self.win()
        story.on_response(head)

    def _refuse(self, head: ResponseHead) -> None:
        """An answer that would be tried again, while the first may still give a better one."""
        self.is_over = True
        upstream, self.upstream = self.upstream, None
        refuse(self.attempt, upstream, head)

    def on_informational(self, head: ResponseHead) -> None:
        if self._won:
            self._story.on_informational(head)

    def on_plenty(self, source: Any, left: int) -> None:
        if self._won:
            self._story.on_plenty(source, left)

    def on_data(self, data: bytes, last: bool) -> None:
        if self._won:
            self._story.on_data(data, last)

    def flush(self) -> None:
        if self._won:
            self._story.flush()

    def on_response_end(self, now: int, trailers: Trailers) -> None:
        if self._won:
            self._story.on_response_end(now, trailers)

    def is_answering(self) -> bool:
        return self._won and self._story.is_answering()


def lose(attempt: Attempt, upstream: UpstreamSide | None) -> None:
    """Give a try up that another one has made needless."""
    attempt.end = monotonic_ns()
    attempt.tell(attempt.end)  # without an error: that says nothing about its endpoint
    attempt.error = LOST
    if upstream is not None:
        upstream.abort()


def blame(story: Story, attempt: Attempt, error: ProxyError) -> None:
    """It has failed, and so."""
    if isinstance(error, UpstreamError) and story.target is not None:
        attempts.note(story, story.target, attempt, error)


def refuse(attempt: Attempt, upstream: UpstreamSide | None, head: ResponseHead) -> None:
    """Go on without an answer that would be tried again."""
    attempt.end = attempt.first_byte = monotonic_ns()
    attempt.status, attempt.version = head.status, head.version
    attempt.error = str(head.status)
    attempt.tell(attempt.end)
    if upstream is not None:
        upstream.drop_answer()


async def first(story: Story) -> ResponseHead:
    """The answer to the first try, or to one beside it. Raises as the first try would."""
    target = story.target
    assert target is not None
    if not attempts.is_sent(story):
        await attempts.reached(story)
    hedge, begun = target.hedge, monotonic_ns()
    pause = hedge.after() if _may_hedge(story) else 0
    timer = asyncio.get_running_loop().call_later(pause / 1e9, story.on_paused_enough)
    if not pause:
        timer.cancel()
    rival: Rival | None = None
    try:
        while True:
            try:
                response: ResponseHead | None = await EVENT
            except UpstreamError as error:
                if rival is None or rival.is_over:
                    raise
                _leave_to(story, rival, error)
                continue
            if response is None:
                rival = _rival(story)
            elif _is_bad(story, response) and rival is not None and not rival.is_over:
                assert story.attempt is not None
                refuse(story.attempt, story.upstream, response)
                rival.win()
            else:
                hedge.answered(monotonic_ns() - begun)
                return response
    finally:
        timer.cancel()
        if rival is not None:
            rival.cancel()


def _is_bad(story: Story, response: ResponseHead) -> bool:
    statuses = story.target.retry_statuses if story.target is not None else None
    return statuses is not None and response.status in statuses


def _may_hedge(story: Story) -> bool:
    """What may be sent twice: by its method, and with all of its body at hand."""
    target, x = story.target, story.x
    assert target is not None and target.retry is not None
    if not story.replayable or (story.head.length != 0 and not story.client.upload_done):
        return False
    return x.method in target.retry.methods or x.call is not None


def _leave_to(story: Story, rival: Rival, error: UpstreamError) -> None:
    """The first has failed, and the other may still answer."""
    attempt, upstream = story.attempt, story.upstream
    if attempt is not None:
        blame(story, attempt, error)
        attempt.tell(attempt.end)
    if upstream is not None:
        upstream.abort()
    rival.win()


def _rival(story: Story) -> Rival | None:
    """Begin one, if there is another endpoint, and budget for it."""
    target, tried, at = story.target, story.attempt, story.endpoint
    assert target is not None and target.retry is not None and target.budget is not None
    if at is None or tried is None or len(story.x.attempts) > target.retry.times:
        return None
    if not _may_hedge(story):
        return None
    try:
        attempt = attempts.begin(story, target, at, REASON)
    except ProxyError:  # nobody else is there
        story.attempt, story.endpoint = tried, at
        return None
    endpoint = story.endpoint
    story.attempt, story.endpoint = tried, at
    assert endpoint is not None
    now = monotonic_ns()
    allowed = endpoint is not at and target.budget.take(now * 1e-9, target.retry.budget)
    if allowed and story.ticket is not None:
        allowed = story.worker.overload.may_retry(story)
    if not allowed:
        story.x.attempts.remove(attempt)
        attempt.tell(now)
        return None
    rival = Rival(story, attempt, endpoint)
    rival.go()
    return rival
