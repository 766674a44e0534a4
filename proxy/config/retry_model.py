"""Tables about trying again, as frozen structs: see `model.py`."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.config.section import Count, Section, Status
from proxy.config.units import Seconds, Share, Size

# Statuses of gRPC that a call may be tried again for (grpc/doc statuscodes.md)
GrpcCode = Literal[
    "cancelled", "deadline-exceeded", "resource-exhausted", "aborted", "internal", "unavailable"
]


# Failures by name: no connection; closed or reset before an answer; no answer in time
RetryWord = Literal["connect", "reset", "timeout"]


class Retry(Section, frozen=True):
    """Extra tries of one request."""

    times: Count = 1  # tries besides the first
    # 503, "timeout", for gRPC calls "unavailable"; "connect" and "reset" unless one is named alone
    on: list[Status | RetryWord | GrpcCode] = field(default_factory=list)
    methods: list[str] = field(
        default_factory=lambda: ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]
    )  # idempotent, RFC 9110 §9.2.2
    backoff: Seconds = Seconds(0.025)  # first pause, doubled each time, with jitter
    budget: Share = Share(0.2)  # retries may be this share of recent requests
    per_try: Seconds = Seconds(0)  # until a try has its answer's head; then another; 0 = any
    hedge: str = ""  # "p95", "50ms": without an answer by then another try begins beside the first
    keep: Size = Size(64 * 1024)  # of a request's body, for another try; linkerd: 64 KiB
