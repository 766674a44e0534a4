"""Refusal: why a request was not taken, as HTTP and gRPC say it.

Pure: the table of OTLP 1.11 ("Failures", "OTLP/HTTP Throttling", "OTLP/gRPC Throttling") from the
receiving side; `status.py` has the sending one. Bodies are google.rpc.Status, in the type of the
request, with RetryInfo where the sender should come again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status


@dataclass(frozen=True, slots=True)
class Reason:
    """One kind of refusal."""

    http: int
    grpc: int
    message: str
    retry: float = 0.0  # seconds after which the sender may come again; 0 = never


MALFORMED = Reason(400, 3, "this is not an OTLP request")
UNAUTHENTICATED = Reason(401, 16, "credentials are missing or wrong")
UNWANTED = Reason(404, 12, "no pipeline takes this signal")
NO_PATH = Reason(404, 12, "not a path of OTLP: POST /v1/traces, /v1/metrics or /v1/logs")
NO_METHOD = Reason(405, 12, "POST it")
TOO_SLOW = Reason(408, 4, "the body did not come in time")
TOO_LARGE = Reason(413, 8, "more than a request may have")
NO_TYPE = Reason(415, 3, "Content-Type must be application/x-protobuf or application/json")
NO_CODING = Reason(415, 12, "this Content-Encoding is not known here")
OVERLOADED = Reason(503, 14, "no room now, come again", retry=1.0)
STOPPING = Reason(503, 14, "this collector is going away, come again", retry=1.0)


class Refusal(Exception):
    """A request that is not taken."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.message)
        self.reason = reason
        self.message = f"{reason.message}: {detail}" if detail else reason.message


def status_bytes(reason: Reason, message: str) -> bytes:
    """A serialised google.rpc.Status: the body of an HTTP error, and grpc-status-details-bin."""
    status = Status(code=reason.grpc, message=message)
    if reason.retry:
        delay = Duration()
        delay.FromNanoseconds(int(reason.retry * 1e9))
        packed = AnyMessage()
        packed.Pack(RetryInfo(retry_delay=delay))
        status.details.append(packed)
    return bytes(status.SerializeToString())


def status_json(reason: Reason, message: str) -> bytes:
    """The same as proto3 JSON."""
    status: dict[str, object] = {"code": reason.grpc, "message": message}
    if reason.retry:
        kind = f"type.googleapis.com/{RetryInfo.DESCRIPTOR.full_name}"
        status["details"] = [{"@type": kind, "retryDelay": f"{reason.retry:g}s"}]
    return json.dumps(status).encode()
