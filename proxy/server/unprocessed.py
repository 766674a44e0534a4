"""Requests that were sent and of which an upstream has done nothing: they are sent again, whatever
the route says about retries (RFC 9110 §9.2.2, RFC 9113 §8.7).

A server that refuses a stream has a reason, and refuses the next one for the same. A GOAWAY tells
of its connection and not of the server (RFC 9113 §6.8): one that ends each connection after a few
requests has it fall on the same request again and again while many are under way, and every one of
these tries was harmless. So they are bounded apart, and far more of these may come.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.model import Retry
from proxy.errors import NotProcessed, OlderRequired, UpstreamError, UpstreamReset
from proxy.server.h2_ends import GOING
from proxy.server.story import Story
from proxy.telemetry.facts import Attempt
from proxy.upstream.retry import backoff

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 §9.2.2
STALE = "stale_connection"  # the reason of a try that follows one on a connection that had ended
OLDER = OlderRequired.error_type
MOST = 3  # tries that follow ones which were refused
MOST_GOING = 16  # that follow a GOAWAY: of these MOST at once
# Behind the others there are pauses of up to 25 ms, then 50, 100, 200 and 250: 2.6 s in all.
_PAUSES = Retry()
_NOT_DONE = (NotProcessed.error_type, OLDER)


def pause(story: Story, attempt: Attempt, failure: UpstreamError, left: float) -> float | None:
    """Seconds to wait before the request is sent again after `attempt`; None: it is not, unless
    the route's policy has it. `left`: the seconds that the request has."""
    if not story.replayable:
        return None
    if not isinstance(failure, NotProcessed):
        return 0.0 if _is_stale(story, attempt, failure) else None
    if attempt.retry_reason == OLDER:
        return None
    wanted = again(failure, *_counted(story.x.attempts), story.worker.random)
    return None if wanted and wanted >= left else wanted


def again(
    failure: NotProcessed, refused: int, going: int, random: Callable[[], float]
) -> float | None:
    """Seconds to wait before a request is sent again of which an upstream says that it has done
    nothing; None: it is not. `refused`, `going`: how many tries have followed such failures, by
    what was refused, and by a GOAWAY."""
    if failure.detail != GOING:
        return 0.0 if refused < MOST else None
    if going < MOST:
        return 0.0
    return backoff(_PAUSES, going - MOST, random()) if going < MOST_GOING else None


def free(attempts: list[Attempt]) -> int:
    """Tries that are none of the policy's."""
    refused, going = _counted(attempts)
    stale = len([a for a in attempts if a.retry_reason == STALE])
    return stale + min(refused, MOST) + min(going, MOST_GOING)


def _is_stale(story: Story, attempt: Attempt, failure: UpstreamError) -> bool:
    """Whether a warm connection was closed as we wrote, which is no failure of the upstream's."""
    if not attempt.reused or not isinstance(failure, UpstreamReset):
        return False
    return failure.unread or story.x.method in IDEMPOTENT


def _counted(attempts: list[Attempt]) -> tuple[int, int]:
    """Tries that followed ones which were refused, and ones which a GOAWAY left out."""
    going = len([a for a in attempts[:-1] if a.why == GOING])
    return len([a for a in attempts if a.retry_reason in _NOT_DONE]) - going, going
