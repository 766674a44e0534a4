"""What a receiver says of a request that it took in part: OTLP 1.11, "Partial Success".

Pure. `wire.partial_success` is the reading side.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from proxy.telemetry.protobuf import delimited, varint

# What is counted of each signal, for people and in JSON.
ITEMS = {
    "traces": "spans",
    "metrics": "data points",
    "logs": "log records",
    "profiles": "profile requests",
}
_KEYS = {
    "traces": "rejectedSpans",
    "metrics": "rejectedDataPoints",
    "logs": "rejectedLogRecords",
    "profiles": "rejectedProfiles",
}


def amount(items: int, signal: str) -> str:
    """So many items in words: "1 span", "2,000 data points"."""
    noun = ITEMS[signal]
    return f"{items:,} {noun[:-1] if items == 1 else noun}"


class Rejected(NamedTuple):
    """Items of a request that were left out, and why."""

    items: int
    message: str


def response_bytes(rejected: Rejected | None) -> bytes:
    """A serialised Export…ServiceResponse; all signals have the same field numbers."""
    if rejected is None:
        return b""
    said = b"\x08" + varint(rejected.items) + delimited(2, rejected.message.encode())
    return delimited(1, said)


def response_json(signal: str, rejected: Rejected | None) -> bytes:
    """The same as JSON; 64-bit numbers are texts there."""
    if rejected is None:
        return b"{}"
    said = {_KEYS[signal]: str(rejected.items), "errorMessage": rejected.message}
    return json.dumps({"partialSuccess": said}).encode()
