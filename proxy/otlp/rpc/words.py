"""The words of gRPC over HTTP/2: prefixes of messages, metadata, timeouts, statuses.

Pure. Source: grpc/grpc doc/PROTOCOL-HTTP2.md and doc/http-grpc-status-mapping.md. What strangers
send is read without ever raising.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as BinasciiError
from collections.abc import Iterable
from itertools import chain
from struct import pack
from urllib.parse import unquote_to_bytes

Field = tuple[bytes, bytes]

PREFIX = 5  # bytes before each message: whether it is compressed, and its size
CONTENT_TYPE = b"application/grpc"

OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED = 0, 1, 2, 4
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 8, 12, 13, 14

# What an answer without grpc-status means to a client.
_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 431: 13, 502: 14, 503: 14, 504: 14}
# What the reset of a stream means to one; by the error codes of RFC 9113 §7.
_OF_RESET = {7: UNAVAILABLE, 8: CANCELLED, 11: RESOURCE_EXHAUSTED, 12: 7}

_UNITS = {b"H": 3_600_000_000_000, b"M": 60_000_000_000, b"S": 10**9, b"m": 10**6, b"u": 1000}
_UNITS[b"n"] = 1
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_FIELD = 32  # bytes that RFC 9113 §6.5.2 counts for each field besides its own
# grpc-message carries all but % as it is, if it can be seen.
_PLAIN = re.compile(rb"[\x20-\x24\x26-\x7e]*")
_ODD = re.compile(rb"[^\x20-\x24\x26-\x7e]")


def prefix(size: int, is_compressed: bool) -> bytes:
    """What stands before a message of so many bytes."""
    return pack(">BI", is_compressed, size)


def is_grpc(content_type: bytes) -> bool:
    """application/grpc, with "+proto" or parameters behind it; other subtypes are not gRPC."""
    kind = content_type.lower()
    return kind.startswith(CONTENT_TYPE) and kind[len(CONTENT_TYPE) :][:1] in (b"", b"+", b";")


def weight(fields: Iterable[Field]) -> int:
    """Bytes of metadata, as RFC 9113 §6.5.2 counts them."""
    parts = [*chain.from_iterable(fields)]
    return sum(map(len, parts)) + _FIELD * len(parts) // 2


def timeout(value: bytes) -> int:
    """Nanoseconds of grpc-timeout; 0 = none, or none that can be read."""
    found = _TIMEOUT.fullmatch(value)
    return max(1, int(found[1]) * _UNITS[found[2]]) if found else 0


def timeout_text(seconds: float) -> bytes:
    """The same to be sent: at most 8 digits, rounded up."""
    for unit, size in ((b"u", 1000), (b"m", 10**6), (b"S", 10**9), (b"M", 60 * 10**9)):
        amount = -(-int(seconds * 1e9) // size)
        if amount < 10**8:
            return b"%d%s" % (max(1, amount), unit)
    return b"99999999H"


def percent(message: str) -> bytes:
    """A value of grpc-message."""
    raw = message.encode("utf-8", "replace")
    if _PLAIN.fullmatch(raw):
        return raw
    return _ODD.sub(lambda found: b"%%%02X" % found[0][0], raw)


def unpercent(value: bytes) -> str:
    return unquote_to_bytes(value).decode("utf-8", "replace")


def binary(value: bytes) -> bytes:
    """Of metadata whose name ends with -bin: base64, padded or not; b"" if it is none."""
    try:
        return b64decode(value + b"=" * (-len(value) % 4))
    except (BinasciiError, ValueError):
        return b""


def binary_text(data: bytes) -> bytes:
    return b64encode(data).rstrip(b"=")


def code(value: bytes) -> int:
    """Of grpc-status; UNKNOWN for what is no number of it."""
    return int(value) if value.isdigit() and len(value) < 4 else UNKNOWN


def code_of_http(status: int) -> int:
    return _OF_HTTP.get(status, UNKNOWN)


def code_of_reset(error: int) -> int:
    return _OF_RESET.get(error, INTERNAL)
