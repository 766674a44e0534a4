"""From the bytes of one HTTP/1.1 head to a request that may be routed: the checks, in order."""

from __future__ import annotations

from typing import Literal, Protocol

from proxy.errors import BadRequest
from proxy.http.framing import FRAMING, frame_request
from proxy.http.h1 import Limits, RequestReader
from proxy.http.head import RequestHead
from proxy.http.headers import UNDERSCORED
from proxy.http.target import Authorities, resolve

_WITH_UNDERSCORE = UNDERSCORED
_FRAMING = FRAMING


class Rules(Protocol):
    """What a configuration says about heads."""

    @property
    def limits(self) -> Limits: ...

    def underscores(self, head: RequestHead) -> None:
        """Deal with field names such as X_Forwarded_For."""


class _Sizes:
    """The limits of the configuration that was asked last, as integers."""

    __slots__ = ("fields", "head", "limits", "line")

    def __init__(self) -> None:
        self.limits: Limits | None = None

    def take(self, limits: Limits) -> None:
        """Read the limits."""
        self.limits = limits
        self.line, self.head = limits.request_line, limits.head_bytes
        self.fields = limits.head_fields


_SIZES = _Sizes()


def receive(
    reader: RequestReader, data: bytes, rules: Rules, authorities: Authorities
) -> RequestHead:
    """The request whose head is `data`, blank line included.

    Raises BadRequest or ClientError: 400, 414, 417, 431, 501, 505.
    """
    sizes = _SIZES  # a tenth of what receiving costs is reading limits from the configuration
    limits = rules.limits
    if limits is not sizes.limits:
        sizes.take(limits)
    size = len(data)
    if size > sizes.line and data.find(b"\r\n") > sizes.line:
        raise BadRequest("the request line is too long", status=414)
    if size > sizes.head:
        raise BadRequest("the header fields are too large", status=431)
    head = reader.read(data, sizes.fields)
    if head.seen & _WITH_UNDERSCORE:
        rules.underscores(head)
    if head.seen & _FRAMING:  # a call less where it says nothing (make bench-check)
        frame_request(head)
    resolve(head, authorities)
    return head


def check_underscores(policy: Literal["drop", "reject", "pass"], head: RequestHead) -> None:
    """What becomes of field names with an underscore: BadRequest, or they are dropped, or pass."""
    if policy == "reject":
        raise BadRequest("a header field name has an underscore")
    if policy == "drop":
        head.drop_underscores()
