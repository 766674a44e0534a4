"""Whether a request is tried again, and after what pause.

Owns three decisions, all without side effects outside `Budget`: may this failure be retried, is
there room in the budget, how long to wait. Time and chance are arguments.

gRPC calls are judged by their own codes: all of them are POST requests that answer 200.

Never retried: what a client has already seen part of, and a request whose body cannot be sent
again. A connect failure sent nothing, and what an upstream says that it has not processed is as
good as not sent (RFC 9113 §8.7), so these may be retried for every method; all else only for
the methods of the policy, idempotent ones by default (RFC 9110 §9.2.2).
"""

from __future__ import annotations

import re

from proxy.config.model import Retry
from proxy.errors import (
    ConnectFailed,
    ConnectRefused,
    ConnectTimeout,
    NoEndpoint,
    NotProcessed,
    ProxyError,
    StreamReset,
    TlsFailed,
    TryTimeout,
    UpstreamError,
    UpstreamReset,
    UpstreamTimeout,
)

WINDOW = 10  # seconds a budget looks back; linkerd2 and Finagle use the same
FLOOR = 1.0  # retries a second that are always allowed
CAP = 10  # longest pause in multiples of the first: 250 ms for the default 25 ms, as Envoy

GRPC_CODES = {
    1: "cancelled",
    4: "deadline-exceeded",
    8: "resource-exhausted",
    10: "aborted",
    13: "internal",
    14: "unavailable",
}

_SLOTS = WINDOW  # the same where it is compiled, as a number that needs no object
LONGEST = 10.0  # seconds of a Retry-After that are waited here; a longer one is the client's

_DATE = re.compile(  # RFC 9110 §5.6.7, the form that is sent today
    rb"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT"
)
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()

_CONNECT = (ConnectRefused, ConnectFailed, ConnectTimeout)
_NOTHING_SENT = (*_CONNECT, NotProcessed)
_NO_CONNECTION = (*_CONNECT, TlsFailed)
_RESET = (UpstreamReset, StreamReset)


def may_retry(
    retry: Retry,
    method: str,
    attempt: int,
    outcome: ProxyError | int,
    repeatable: bool,
    left: float,
) -> bool:
    """Whether attempt number `attempt` (0 first) that ended in `outcome` may be followed by one.

    `outcome` is an error or the status of a complete response head. `repeatable` says that the
    client has seen nothing of a response, and that the request's body can be sent (again) from
    its beginning. `left` is the time in seconds until the request must end, inf without limit.
    """
    if attempt >= retry.times or not repeatable or left <= 0:
        return False
    if isinstance(outcome, _NOTHING_SENT) and _is_named(retry, outcome):
        return True
    if method not in retry.methods:
        return False
    if isinstance(outcome, int):
        return outcome in retry.on
    if isinstance(outcome, NoEndpoint) or not isinstance(outcome, UpstreamError):
        return False
    # A timeout or a broken answer counts as the status that the client would see.
    return outcome.status in retry.on or _is_named(retry, outcome)


def _is_named(retry: Retry, outcome: ProxyError) -> bool:
    """Whether failures of this kind are tried again, statuses aside.

    "connect" and "reset" hold without being listed, until one of the two is listed alone.
    """
    on = retry.on
    if isinstance(outcome, UpstreamTimeout):
        return "timeout" in on or isinstance(outcome, TryTimeout)
    if isinstance(outcome, _NO_CONNECTION):
        return outcome.retryable and ("connect" in on or "reset" not in on)
    if isinstance(outcome, _RESET):
        return outcome.retryable and ("reset" in on or "connect" not in on)
    return outcome.retryable


def retry_after(value: bytes | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After field (RFC 9110 §10.2.3): a number of them, or a date, of
    which `now` (s since 1970) is taken. None if there is none that can be read."""
    if value is None:
        return None
    if value.isdigit():
        return float(value) if len(value) < 10 else float("inf")
    found = _DATE.fullmatch(value)
    if found is None or found[2] not in _MONTHS:
        return None
    from datetime import UTC, datetime  # which few answers need

    day, year, hour, minute, second = (int(found[i]) for i in (1, 3, 4, 5, 6))
    try:
        when = datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return max(when.timestamp() - now, 0.0)


def may_retry_call(retry: Retry, code: int, attempt: int, repeatable: bool, left: float) -> bool:
    """The same of a gRPC call that has ended with this code, whose method is no reason against it:
    all are POST, and who lists a code knows that what he calls may be called again."""
    if attempt >= retry.times or not repeatable or left <= 0:
        return False
    return GRPC_CODES.get(code, "") in retry.on


def backoff(retry: Retry, attempt: int, random: float) -> float:
    """Seconds to wait after attempt number `attempt` (0 first); `random` is in [0, 1).

    Full jitter: anything from nothing to the pause that doubles each time, so that clients which
    failed together do not return together.
    """
    return random * retry.backoff * min(1 << min(attempt, 16), CAP)


class Budget:
    """Keeps retries to a share of the requests of the last seconds.

    Without it a server that fails under load gets `times` as much of it. Counts what all routes
    send to one upstream; how large the share is says each route. FLOOR retries a second are
    allowed in any case, so that a quiet gateway can retry at all; a share of 0 allows none.
    """

    __slots__ = ("_now", "_requested", "_requests", "_retried", "_retries")

    def __init__(self) -> None:
        self._now = 0  # the second that the newest counter stands for
        none = [0] * WINDOW
        self._requests = list(none)
        self._retries = none
        self._requested = 0  # the sum of the counters
        self._retried = 0

    def request(self, now: float) -> None:
        """Count a request (not an attempt) at monotonic time `now`."""
        second = int(now)
        if second != self._now:
            self._advance(second)
        self._requests[second % _SLOTS] += 1
        self._requested += 1

    def take(self, now: float, share: float, floor: float = FLOOR) -> bool:
        """Count a retry if a `share` of the requests has room for it; False if it has none."""
        second = int(now)
        if second != self._now:
            self._advance(second)
        if not share:
            return False
        if self._retried + 1 > max(share * self._requested, floor * WINDOW):
            return False
        self._retries[second % _SLOTS] += 1
        self._retried += 1
        return True

    def _advance(self, second: int) -> None:
        for passed in range(self._now + 1, min(second, self._now + WINDOW) + 1):
            self._requested -= self._requests[passed % _SLOTS]
            self._retried -= self._retries[passed % _SLOTS]
            self._requests[passed % _SLOTS] = 0
            self._retries[passed % _SLOTS] = 0
        self._now = max(self._now, second)
