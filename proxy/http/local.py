"""Requests that end at the gateway, whatever its routes say of them."""

from __future__ import annotations

from proxy.errors import ClientError
from proxy.http.head import RequestHead

ALLOWED = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


MAY_END = ("OPTIONS", "TRACE", "CONNECT")  # the methods that `last_hop` can say something of


def last_hop(head: RequestHead, connects: bool) -> int:
    """The status of the gateway's own answer to what must not be forwarded; 0 = it may be.
    `connects`: some route takes CONNECT.

    OPTIONS is answered when it has no hops left or asks about the server as a whole
    (RFC 9110 §7.6.2, §9.3.7); TRACE would show a client what other parties added: 405.
    """
    if head.method == "OPTIONS":
        hops = head.field(b"max-forwards")
        if head.path == "*" or (hops is not None and hops.strip(b"0") == b""):
            return 200
    elif head.method == "TRACE" or (head.method == "CONNECT" and not connects):
        return 405
    return 0


def check_length(length: int | None, limit: int) -> None:
    """Refuse an announced body before a byte of it is read: ClientError (413)."""
    if limit and length is not None and length > limit:
        raise ClientError(413, "the request body is too large", close=True)
