"""What a collector's answer means: taken, taken in part, come again, or never.

Pure tables and parsers, from the OTLP specification 1.11 ("Failures", "OTLP/gRPC Throttling",
"OTLP/HTTP Throttling"). When to come again is decided in `collector/retry.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from proxy.otlp.wire import WireError, partial_success

MAX_RESPONSE = 4 * 1024 * 1024  # specification: a client MUST limit responses to 4 MiB

RETRYABLE_HTTP = frozenset((429, 502, 503, 504))

# number -> (name, may be sent again); RESOURCE_EXHAUSTED only when RetryInfo comes with it
GRPC_CODES: dict[int, tuple[str, bool]] = {
    0: ("ok", False),
    1: ("cancelled", True),
    2: ("unknown", False),
    3: ("invalid_argument", False),
    4: ("deadline_exceeded", True),
    5: ("not_found", False),
    6: ("already_exists", False),
    7: ("permission_denied", False),
    8: ("resource_exhausted", False),
    9: ("failed_precondition", False),
    10: ("aborted", True),
    11: ("out_of_range", True),
    12: ("unimplemented", False),
    13: ("internal", False),
    14: ("unavailable", True),
    15: ("data_loss", True),
    16: ("unauthenticated", False),
}
_RESOURCE_EXHAUSTED = 8


class Verdict(IntEnum):
    """What to do with the batch that was sent."""

    ACCEPTED = 1  # all of it, or all but `rejected` items; never sent again either way
    RETRY = 2
    PERMANENT = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one attempt."""

    verdict: Verdict
    reason: str = ""  # low cardinality, for the books: "http_503", "grpc_unavailable", "connect"
    message: str = ""  # for people
    rejected: int = 0  # ACCEPTED only
    delay: float | None = None  # RETRY only: seconds that the collector asked for


def accepted(body: bytes, items: int) -> Outcome:
    """For HTTP 200 and gRPC OK. An answer that does not parse was still an acceptance."""
    try:
        rejected, message = partial_success(body)
    except WireError:
        return Outcome(Verdict.ACCEPTED, message="the answer is not an Export…Response")
    return partial(rejected, message, items)


def partial(rejected: int, message: str, items: int) -> Outcome:
    """A partial success; `rejected` is not believed beyond what was sent."""
    return Outcome(Verdict.ACCEPTED, message=message, rejected=max(0, min(rejected, items)))


def from_http(status: int, retry_after: str, message: str, now: float) -> Outcome:
    """For every HTTP status but success. `now` is Unix time, to which a date is compared."""
    reason = f"http_{status}"
    if status in RETRYABLE_HTTP:
        delay = parse_retry_after(retry_after, now)
        return Outcome(Verdict.RETRY, reason, message, delay=delay)
    return Outcome(Verdict.PERMANENT, reason, message)


def from_grpc(code: int, details: bytes, message: str) -> Outcome:
    """For every gRPC code but OK; `details` is the value of grpc-status-details-bin."""
    name, retryable = GRPC_CODES.get(code, ("unknown", False))
    delay = retry_info(details)
    if retryable or (code == _RESOURCE_EXHAUSTED and delay is not None):
        return Outcome(Verdict.RETRY, f"grpc_{name}", message, delay=delay)
    return Outcome(Verdict.PERMANENT, f"grpc_{name}", message)


def unreachable(reason: str, message: str) -> Outcome:
    """No connection, no answer, or no time left: may be sent again."""
    return Outcome(Verdict.RETRY, reason, message)


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds from Retry-After, which is delay-seconds or an HTTP-date (RFC 9110 §10.2.3)."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    from email.utils import parsedate_to_datetime  # 0.3 MB, and hardly any collector says a date

    try:
        when = parsedate_to_datetime(value)
        return max(0.0, when.timestamp() - now)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def retry_info(details: bytes) -> float | None:
    """Seconds of google.rpc.RetryInfo.retry_delay; None without one, 0 for an empty one."""
    if not details:
        return None
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    try:
        for detail in Status.FromString(details).details:
            if detail.Is(RetryInfo.DESCRIPTOR):
                delay = RetryInfo.FromString(detail.value).retry_delay
                seconds = delay.seconds + delay.nanos / 1e9
                return max(0.0, seconds) if math.isfinite(seconds) else None
    except DecodeError:
        pass
    return None


def status_message(body: bytes) -> str:
    """`message` of the google.rpc.Status that an error body should be, "" if it is not one."""
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status

    try:
        return str(Status.FromString(body).message)
    except DecodeError:
        return ""
