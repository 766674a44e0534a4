"""Probes by gRPC's health checking protocol: what is asked, and what an answer means.

Pure; `probe_h2.py` talks to the server. Source: grpc/doc health-checking.md.
"""

from __future__ import annotations

from proxy.http import grpc
from proxy.http.head import Pair

PATH = b"/grpc.health.v1.Health/Check"
_STATUSES = {1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def message(service: str) -> bytes:
    """A HealthCheckRequest in its frame; "" asks for the whole server."""
    name = service.encode()
    size = b""
    if name:
        length = len(name)
        size = b"\x0a" + (bytes((length,)) if length < 128 else _two(length))
    return b"\x00" + (len(size) + len(name)).to_bytes(4, "big") + size + name


def _two(length: int) -> bytes:
    return bytes((length & 0x7F | 0x80, length >> 7))


def fields(timeout: float) -> list[Pair]:
    """What a call has besides the pseudo-header fields."""
    return [
        (b"te", b"trailers"),
        (b"content-type", grpc.CONTENT_TYPE),
        (grpc.TIMEOUT, grpc.format_timeout(int(timeout * 1e9))),
    ]


def judged(head: list[Pair], body: bytes, trailers: list[Pair], service: str) -> tuple[bool, str]:
    """Whether this answer says that the server is well, and what it said."""
    status = int(dict(head).get(b":status", b"0"))
    said = dict(trailers) if b"grpc-status" in dict(trailers) else dict(head)
    if b"grpc-status" not in said and status != 200:
        return False, f"answered {status}, which is no gRPC"
    code = grpc.parse_status(said.get(b"grpc-status"))
    if code == grpc.OK:
        found = _serving(body)
        return found == "SERVING", f"answered {found}"
    if code == grpc.UNIMPLEMENTED:
        what = "answered UNIMPLEMENTED: the probe is misconfigured, as the server has no"
        return False, f"{what} grpc.health.v1.Health"
    if code == grpc.NOT_FOUND and service:
        return False, f"answered NOT_FOUND: it knows no service {service!r}"
    return False, f"answered {grpc.NAMES[code]}"


def _serving(body: bytes) -> str:
    """The status in a HealthCheckResponse; its first field is all that it has."""
    if len(body) < 5 or body[0] or int.from_bytes(body[1:5], "big") != len(body) - 5:
        return "no HealthCheckResponse"
    held = body[5:]
    number = held[1] if len(held) >= 2 and held[0] == 0x08 else 0
    return _STATUSES.get(number, "UNKNOWN")
