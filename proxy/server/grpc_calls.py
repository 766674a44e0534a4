"""gRPC calls in a story: deadlines, statuses, and when one may be tried again.

A call is an exchange like any other, and the story moves it like any other; `Exchange.call` says
that it is one. What is different stands here: the client's deadline ends it, its status is in
trailers or, where nothing else was said, in the head, and what goes wrong is told by such a status.
What the codes mean is in `http/grpc.py`.
"""

from __future__ import annotations

from proxy.errors import NoHttp2, ProxyError
from proxy.http import grpc
from proxy.http.edits import WANTS_TRAILERS
from proxy.http.grpc import PREVIOUS, TIMEOUT
from proxy.http.head import Pair, RequestHead, ResponseHead, Trailers
from proxy.kernel.clock import monotonic_ns
from proxy.server import grpc_web
from proxy.server.reply import public
from proxy.server.sides import UpstreamSide
from proxy.server.story import Story
from proxy.telemetry.facts import Attempt, Call
from proxy.upstream.retry import may_retry_call

_OWN = frozenset({TIMEOUT, PREVIOUS})
_LONGEST_NS = 2**61  # 73 years: a client may ask for 11,000, which no clock here can count
_SLACK_NS = 5_000_000  # by so much a client's clock may be ahead of ours, and 2 % of its deadline


def call_of(head: RequestHead) -> Call | None:
    """The call that a request of HTTP/2 is, if it is one."""
    if head.method != "POST" or not grpc.is_grpc(head.get(b"content-type")):
        return None
    return _call(head)


def translate(story: Story) -> None:
    """Whether it is one in gRPC-Web, on a route that translates it."""
    kind = grpc_web.translate(story)
    if kind:
        story.x.call = call = _call(story.head)
        call.web = kind


def _call(head: RequestHead) -> Call:
    timeout = min(grpc.parse_timeout(head.get(TIMEOUT)), _LONGEST_NS)
    return Call(head.path.removeprefix("/"), timeout)


def begin(story: Story, call: Call) -> None:
    """It is forwarded: what an upstream is asked besides, and when all of it must be over."""
    edits = story.edits
    edits.wants |= WANTS_TRAILERS
    edits.remove(_OWN)
    if call.timeout >= 0:
        call.deadline = story.x.start + call.timeout
        story.total = min(story.total, call.deadline) if story.total else call.deadline


def prepare(
    story: Story, call: Call, upstream: UpstreamSide, attempt: Attempt, more: list[Pair]
) -> UpstreamSide:
    """The side for this try, and lines of this try alone in `more`.

    Raises NoHttp2 where it speaks HTTP/1.1, which cannot carry a call's trailers.
    """
    if upstream.version != "2":
        upstream.close()
        raise NoHttp2(f"gRPC needs HTTP/2, and this upstream is asked by HTTP/{upstream.version}")
    if story.total:
        more.append((TIMEOUT, grpc.format_timeout(story.total - monotonic_ns())))
    before = story.head.get(PREVIOUS) or b"0"
    tried = attempt.ordinal + (int(before) if before.isdigit() and len(before) < 5 else 0)
    if tried:
        more.append((PREVIOUS, b"%d" % tried))
    return grpc_web.WebUpstream(upstream, call.web) if call.web else upstream


def is_over(call: Call, attempt: Attempt, response: ResponseHead) -> bool:
    """Whether the head alone tells how the call has ended: trailers-only, or no gRPC at all."""
    said = response.get(b"grpc-status")
    if said is not None:
        attempt.code = grpc.parse_status(said)
        call.pushback = grpc.pushback(response.get(b"grpc-retry-pushback-ms"))
    elif response.status != 200:
        attempt.code = grpc.of_http(response.status)
    else:
        call.is_recognised = True
        return False
    if said is not None and attempt.code != grpc.UNIMPLEMENTED:
        call.is_recognised = True
    _blame(attempt)
    return True


def may_retry(story: Story, attempt: Attempt, tries: int, left: float) -> bool:
    """Whether the policy says so for this code. An upstream may forbid it (pushback)."""
    target = story.target
    if target is None or target.retry is None:
        return False
    return may_retry_call(target.retry, attempt.code, tries, story.replayable, left)


def pushback(call: Call) -> float | None:
    """Seconds after which the upstream wants to be asked again; -1 = never, None = not said."""
    said, call.pushback = call.pushback, None
    return said if said is None or said < 0 else said * 1e-3


def relay(call: Call, response: ResponseHead) -> None:
    """The answer begins with this head."""
    is_open = response.length is None and response.get(b"grpc-status") is None
    call.can_tell = is_open and grpc.is_grpc(response.get(b"content-type"))


def end(story: Story, call: Call, trailers: Trailers) -> None:
    """The answer is complete: its status counts."""
    x, attempt = story.x, story.attempt
    if attempt is not None:
        if call.can_tell or (attempt.code == grpc.CANCELLED and not attempt.error):
            attempt.code = grpc.status_in(trailers)
        _blame(attempt)
        call.status = attempt.code
    if call.status in grpc.SERVER_ERRORS and not x.error:
        x.error = grpc.NAMES[call.status]


def _blame(attempt: Attempt) -> None:
    if attempt.code != grpc.OK and not attempt.error:
        attempt.error = grpc.NAMES[attempt.code]


def is_late(call: Call, now: int) -> bool:
    """Whether a client that leaves does so because its own deadline is over."""
    return call.deadline > 0 and now >= call.deadline - _SLACK_NS - call.timeout // 50


def tell(story: Story, call: Call, error: ProxyError) -> bool:
    """Say in trailers, behind what was sent, how it ended; False if that is not possible."""
    if not call.can_tell:
        return False
    story.client.skip_body()
    story.client.end(tuple(grpc.told(grpc.of_error(error), public(error))))
    return True
