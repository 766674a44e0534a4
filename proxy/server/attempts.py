"""The tries of one request: endpoints are asked until one answers acceptably.

One Attempt, one CLIENT span, one injected span id for each try. What a story waits for it waits
for here too; what a client was told cannot be tried again, so this ends where the answer begins.
"""

from __future__ import annotations

from proxy.errors import DeadlineOver, ProxyError, UpstreamError, UpstreamReset
from proxy.http import deadline, grpc
from proxy.http.edits import WANTS_TUNNEL
from proxy.http.head import Pair, ResponseHead
from proxy.kernel.clock import monotonic_ns, time_ns
from proxy.kernel.hexes import span_id
from proxy.kernel.step import Event
from proxy.server import grpc_calls, overload, unprocessed
from proxy.server.nobody import nobody
from proxy.server.sides import UpstreamSide
from proxy.server.snapshot import Target
from proxy.server.story import Story
from proxy.server.unprocessed import IDEMPOTENT, OLDER, STALE
from proxy.telemetry.facts import Attempt
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.retry import LONGEST, backoff, may_retry, retry_after
from proxy.upstream.state import Use

_DIALS = (STALE, OLDER)
Another = tuple[float, str]  # seconds to wait, and the reason that the next try states

EVENT = Event()  # what a story waits for: whatever a connection or the sweep sends or throws


def is_sent(story: Story) -> bool:
    """Begin the first try, if the upstream's bounds let it in; whether a warm connection has it,
    and only its answer is to come. Raises Refused (503)."""
    target = story.target
    assert target is not None
    if target.bounds is not None and not story.worker.overload.admit(story, target):
        return False
    return is_begun(story)


def is_begun(story: Story) -> bool:
    """The same of one that is let in."""
    target = story.target
    assert target is not None
    upstream = _warm(story, begin(story, target, None, ""))
    if upstream is None:
        return False
    _send(story, upstream)
    return True


async def reached(story: Story) -> None:
    """Send the first try where `is_sent` could not: when the upstream's bounds let it in, and a
    connection is there."""
    if story.attempt is None:
        await overload.turn(story)
        if is_begun(story):
            return
    target = story.target
    assert target is not None
    _send(story, await _dial(story, target))


async def first(story: Story) -> ResponseHead:
    """The answer to that."""
    await reached(story)
    response: ResponseHead = await EVENT
    return response


async def again(story: Story, another: Another) -> ResponseHead:
    """Other tries, until an endpoint answers acceptably; the last one's answer or error counts."""
    target = story.target
    assert target is not None
    while True:
        pause, reason = another
        await _back_off(story, pause)
        attempt = begin(story, target, story.endpoint, reason)
        try:
            upstream = _warm(story, attempt) or await _dial(story, target)
            _send(story, upstream)
            response: ResponseHead = await EVENT
        except UpstreamError as error:
            found = after(story, error)
            if found is None:
                raise
        else:
            found = follows(story, response)
            if found is None:
                return response
        another = found


def begin(story: Story, target: Target, failed: Endpoint | None, reason: str) -> Attempt:
    """Choose an endpoint for the next try, and not the one that `failed` if there is another."""
    now = monotonic_ns()
    if story.total and now >= story.total:
        raise DeadlineOver("no time is left for a try")
    if failed is None and target.budget is not None:
        target.budget.request(story.x.start * 1e-9)
    state = target.state
    if state.chooser is None:
        endpoint = state.balancer.pick(now, None, failed)
    else:
        endpoint = state.chooser.choose(story, now, failed)
    story.endpoint = endpoint
    if endpoint is None:
        raise nobody(target, now)
    attempts = story.x.attempts
    attempt = Attempt.__new__(Attempt)
    attempt.begin(now, span_id(story.worker.getrandbits), len(attempts))
    feedback = state.feedback
    if feedback is not None:
        attempt.use = Use(feedback, endpoint, now)
    attempt.upstream = target.name
    attempt.address = endpoint.authority
    attempt.host = endpoint.host
    attempt.port = endpoint.port
    attempt.retry_reason = reason
    story.attempt = attempt
    attempts.append(attempt)
    return attempt


def _warm(story: Story, attempt: Attempt) -> UpstreamSide | None:
    endpoint, target = story.endpoint, story.target
    assert endpoint is not None and target is not None
    if attempt.retry_reason and attempt.retry_reason in _DIALS:
        return None  # its siblings are as old, or speak what is not wanted
    if target.bounds is not None and target.bounds.lines:
        return None  # who waits for a connection is before it
    head = story.head
    once = head.length != 0 or (head.method != "GET" and head.method not in IDEMPOTENT)
    upstream = story.worker.pool_of(endpoint).take(once)
    if upstream is not None:
        attempt.reused = True
        attempt.connected = attempt.start
    return upstream


async def _dial(story: Story, target: Target) -> UpstreamSide:
    attempt, endpoint = story.attempt, story.endpoint
    assert attempt is not None and endpoint is not None
    if not story.client.upload_done:
        story.client.pause()
    story.wait(0, 0)  # dialling has a clock of its own
    if target.bounds is not None:
        warm: UpstreamSide | None = await overload.line(story, target)
        if warm is not None:
            return warm
    old = attempt.retry_reason == OLDER
    if endpoint.scheme == "https":
        attempt.scheme = "https"  # whatever comes of it
    dialling = story.worker.dial(story, endpoint, target.connect, old, target.handshake)
    try:
        upstream: UpstreamSide = await EVENT
    except ProxyError:
        dialling.forget()  # nobody waits for it any more
        raise
    attempt.connected = monotonic_ns()
    attempt.cost_connect = attempt.connected - attempt.start
    attempt.reused = upstream.used
    return upstream


def introduce(story: Story, target: Target, attempt: Attempt, upstream: UpstreamSide) -> list[Pair]:
    """Note who is asked; the lines that tell it whose trace this try is."""
    x, peer = story.x, upstream.peer
    attempt.peer = peer.where
    attempt.tls = peer.tls
    attempt.scheme = upstream.scheme
    attempt.version = upstream.version
    attempt.sent = attempt.connected
    attempt.withheld = target.injector.withheld
    return target.injector.inject(x.trace_id, attempt.span_id, x.sampled, x.flags_random, x.context)


def _send(story: Story, upstream: UpstreamSide) -> None:
    """Write the head, with this attempt's own span id in it, and what there is of the body."""
    x, attempt, target = story.x, story.attempt, story.target
    assert attempt is not None and target is not None
    traced = introduce(story, target, attempt, upstream)
    if x.call is not None:
        upstream = grpc_calls.prepare(story, x.call, upstream, attempt, traced)
    elif story.total:
        tell_deadline(story, traced)
    story.upstream = upstream
    upstream.start(story, story.head, story.edits, traced)
    if story.held:
        upstream.send_data(b"".join(story.held), False)
    if story.head.length == 0:
        story.wait(attempt.sent, target.first_byte_ns)
    elif story.client.upload_done:
        upstream.end(story.trailers)
        story.wait(attempt.sent, target.first_byte_ns)
    else:
        story.wait(0, 0)  # the clock for the answer starts when all is sent
        if not upstream.blocked:
            story.client.resume()
    if not story.replayable:
        story.held = []


def tell_deadline(story: Story, more: list[Pair]) -> None:
    """How long the upstream has for this try; of a tunnel `timeout` is no part."""
    if story.snapshot.tells_deadline and not story.edits.wants & WANTS_TUNNEL:
        more.append((deadline.NAME, deadline.left(story.total - monotonic_ns())))


def after(story: Story, failure: UpstreamError) -> Another | None:
    """What follows on a try that failed so; None: that error counts."""
    attempt, target = story.attempt, story.target
    if attempt is None or target is None:
        return None  # there was no endpoint to try
    note(story, target, attempt, failure)
    pause = _pause(story, target, attempt, None, failure)
    return None if pause is None else (pause, _give_up(story, failure))


def follows(story: Story, response: ResponseHead) -> Another | None:
    """What follows on a try that was answered so; None: the answer is passed on, whatever else
    could be tried."""
    attempt, target = story.attempt, story.target
    assert attempt is not None and target is not None
    attempt.end = attempt.first_byte = monotonic_ns()
    status = attempt.status = response.status
    attempt.version = response.version  # what was spoken, whatever was offered
    if status >= 400:
        attempt.error = str(status)
    call = story.x.call
    if call is not None:
        if not grpc_calls.is_over(call, attempt, response):
            return None  # messages follow
    elif not target.retry_statuses or status not in target.retry_statuses:
        return None
    pause = _pause(story, target, attempt, response, None)
    return None if pause is None else (pause, _give_up(story, None))


def note(story: Story, target: Target, attempt: Attempt, failure: UpstreamError) -> None:
    attempt.end = now = monotonic_ns()
    attempt.error = failure.error_type
    attempt.why = failure.detail
    attempt.code = grpc.of_error(failure)
    if not attempt.reused or not isinstance(failure, UpstreamReset):
        story.worker.faults.tell(target.name, attempt.address, failure, now)


def _pause(
    story: Story,
    target: Target,
    attempt: Attempt,
    response: ResponseHead | None,
    failure: UpstreamError | None,
) -> float | None:
    """Seconds to wait before another attempt, or None: this was the last one."""
    retry, x, now = target.retry, story.x, monotonic_ns()
    left = (story.total - now) * 1e-9 if story.total else float("inf")
    again = None if failure is None else unprocessed.pause(story, attempt, failure, left)
    if again is not None:
        return again
    if retry is None or target.budget is None:
        return None
    tries = len(x.attempts) - unprocessed.free(x.attempts) - 1
    outcome = attempt.status if failure is None else failure
    wanted = _wanted(story, response)
    if not may_retry(retry, x.method, tries, outcome, story.replayable, left) and (
        x.call is None or not grpc_calls.may_retry(story, attempt, tries, left)
    ):
        return None
    pause = backoff(retry, tries, story.worker.random()) if wanted is None else wanted
    if not 0 <= pause < left or not target.budget.take(now * 1e-9, retry.budget):
        return None  # no time is left for another, or it was told not to come
    if story.ticket is not None and not story.worker.overload.may_retry(story):
        return None
    return pause


def _wanted(story: Story, response: ResponseHead | None) -> float | None:
    """Seconds after which the upstream wants to be asked again; -1 = not by us, None = not said."""
    call = story.x.call
    if call is not None:
        return grpc_calls.pushback(call)
    said = None if response is None else response.get(b"retry-after")
    wanted = retry_after(said, time_ns() * 1e-9) if said is not None else None
    return -1.0 if wanted is not None and wanted > LONGEST else wanted


def _give_up(story: Story, failure: UpstreamError | None) -> str:
    """Leave an attempt behind; the reason that the next one states."""
    attempt, upstream = story.attempt, story.upstream
    assert attempt is not None
    attempt.tell(attempt.end)
    story.attempt = None
    story.upstream = None
    if upstream is not None:
        if failure is None:
            upstream.drop_answer()
        else:
            upstream.abort()  # its answer, if it still came, would be taken for the next one's
    if attempt.reused and isinstance(failure, UpstreamReset):
        return STALE
    return attempt.error


async def _back_off(story: Story, pause: float) -> None:
    story.wait(0, 0)
    if pause > 0:
        story.worker.later(pause, story)
        await EVENT
