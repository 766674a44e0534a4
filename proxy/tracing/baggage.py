"""W3C Baggage on its way through: kept as it is within limits, never understood.

Whose baggage may pass is decided elsewhere. Rules: W3C Baggage §3.3.
"""

from __future__ import annotations

MAX_MEMBERS = 64  # §3.3.2: up to both limits all of it must be passed on
MAX_BYTES = 8192

_FORBIDDEN = b"\r\n\0"
_OWS = b" \t"


def passed_on(value: bytes) -> bytes:
    """The value to send, at most 64 members and 8192 bytes; b"" = send no baggage header.

    Beyond the limits members are left out whole, from the left as many as fit. A value with CR,
    LF or NUL is not sent at all: no codec of ours lets one in, and none may get out.
    """
    if len(value.translate(None, _FORBIDDEN)) != len(value):  # 0.1 µs; three `in`: 0.4
        return b""
    value = value.strip(_OWS)
    if len(value) <= MAX_BYTES and value.count(b",") < MAX_MEMBERS:
        return value
    kept: list[bytes] = []
    room = MAX_BYTES + 1  # the first member needs no comma
    for part in value.split(b","):
        member = part.strip(_OWS)
        if member and len(member) < room:
            kept.append(member)
            room -= len(member) + 1
            if len(kept) == MAX_MEMBERS:
                break
    return b",".join(kept)
