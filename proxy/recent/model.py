"""What spans and log records say, decoded: for who looks at a few of them.

Ids are bytes, times Unix ns. A `resource` is shared between all that came with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Value = Any  # str, bool, int, float, bytes, None, a list or a dict of them: an AnyValue
Attributes = dict[str, Value]

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)  # SpanKind
KINDS = ("", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")  # Status.StatusCode
ERROR = 2
SAMPLED = 1  # of the flags


@dataclass(slots=True)
class Event:
    time: int
    name: str
    attributes: Attributes


@dataclass(slots=True)
class Link:
    trace_id: bytes
    span_id: bytes
    trace_state: str
    attributes: Attributes


@dataclass(slots=True)
class Span:
    """One span (trace/v1); `parent_id` is b"" for a root."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes = b""
    name: str = ""
    kind: int = 0
    start: int = 0
    end: int = 0
    status: int = 0
    message: str = ""
    attributes: Attributes = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    trace_state: str = ""
    flags: int = 0
    resource: Mapping[str, Value] = field(default_factory=dict)
    scope: str = ""

    @property
    def service(self) -> str:
        """`service.name` of who recorded it."""
        return text(self.resource.get("service.name", ""))

    @property
    def failed(self) -> bool:
        return self.status == ERROR


@dataclass(slots=True)
class Record:
    """One log record (logs/v1): an access record of the gateway, or of an application."""

    time: int
    severity: int = 0
    severity_text: str = ""
    body: Value = None
    attributes: Attributes = field(default_factory=dict)
    trace_id: bytes = b""
    span_id: bytes = b""
    flags: int = 0
    resource: Mapping[str, Value] = field(default_factory=dict)
    scope: str = ""

    @property
    def service(self) -> str:
        return text(self.resource.get("service.name", ""))


def text(value: Value) -> str:
    """A value as a word, for what is expected to be one."""
    return value if isinstance(value, str) else "" if value is None else str(value)
