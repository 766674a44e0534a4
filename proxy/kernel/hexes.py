"""Trace and span ids as lower-case hexadecimal digits: their reading, writing and making.

Owns the form that headers carry; knows no header but `traceparent`, whose usual form is nothing
but ids, and no source of randomness, which the caller brings. This is the twin of `hexes.pyx`.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable

GetRandBits = Callable[[int], int]  # as random.Random.getrandbits

_HEX = b"0123456789abcdef"
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16
_FLAGS = {b"%02x" % n: n for n in range(256)}
_SUFFIXES = [b"-%02x" % n for n in range(256)]


def split_parent(header: bytes) -> tuple[bytes, bytes, int] | None:
    """Trace id, span id and flags of a `traceparent` of version 00 by the letter (W3C Trace
    Context §3.2); None for everything else, whether or not another reading finds ids in it."""
    # split and translate: 0.55 µs; one regex with groups: 0.75 µs (benchmarks/micro_tracing.py)
    parts = header.split(b"-")
    if len(parts) != 4:
        return None
    version, trace_id, span_id, last = parts
    flags = _FLAGS.get(last)
    if version != b"00" or len(trace_id) != 32 or len(span_id) != 16 or flags is None:
        return None
    if header.translate(None, _HEX) != b"---" or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return trace_id, span_id, flags


def parent_fields(
    trace_id: bytes, span_id: bytes, flags: int, state: bytes
) -> list[tuple[bytes, bytes]]:
    """`traceparent` of version 00, and `tracestate` where there is one; flags are 0 to 255."""
    parent = b"".join((b"00-", trace_id, b"-", span_id, _SUFFIXES[flags]))
    if not state:
        return [(b"traceparent", parent)]
    return [(b"traceparent", parent), (b"tracestate", state)]


def is_hex(value: bytes, digits: int) -> bool:
    """Whether it is that many lower-case digits."""
    return len(value) == digits and not value.translate(None, _HEX)


def reaches(trace_id: bytes, bound: bytes) -> bool:
    """Whether the last 56 bits of an id are `bound` or above; digits compare as their numbers."""
    return trace_id[-14:] >= bound


def trace_id(getrandbits: GetRandBits) -> bytes:
    """32 digits, all random (so the W3C level 2 random flag may be set), never all zero."""
    # hexlify(int.to_bytes()): 0.15 µs; b"%032x" %: 0.25 µs (benchmarks/micro_tracing.py)
    return hexlify((getrandbits(128) or 1).to_bytes(16, "big"))


def request_id(getrandbits: GetRandBits) -> bytes:
    """32 digits for an X-Request-Id, which no trace has."""
    return hexlify(getrandbits(128).to_bytes(16, "big"))


def span_of(request_id: bytes) -> bytes:
    """The id of the span whose request has that id, one of 32 digits: its last 16, never all zero.

    ValueError if it has not 32.
    """
    if len(request_id) != 32:
        raise ValueError(f"{len(request_id)} digits")
    found = request_id[16:]
    return found if found != _NO_SPAN else b"0" * 15 + b"1"


def span_id(getrandbits: GetRandBits) -> bytes:
    """16 digits, never all zero."""
    return hexlify((getrandbits(64) or 1).to_bytes(8, "big"))
