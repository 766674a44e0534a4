"""Trace, span and request ids as lower-case hex bytes, the form that headers carry.

Owns their shape; knows no source of randomness, which the caller brings: any function that
behaves as `random.Random.getrandbits`.
"""

from __future__ import annotations

from collections.abc import Callable

GetRandBits = Callable[[int], int]  # number of bits -> that many random bits


def trace_id(getrandbits: GetRandBits) -> bytes:
    """32 hex digits, all random (so the W3C level 2 random flag may be set), never all zero."""
    # int.to_bytes().hex().encode(): 0.17 µs; b"%032x" %: 0.25 µs (benchmarks/micro_tracing.py)
    return (getrandbits(128) or 1).to_bytes(16, "big").hex().encode()


def request_id(getrandbits: GetRandBits) -> bytes:
    """32 hex digits for an X-Request-Id, which no trace has."""
    return getrandbits(128).to_bytes(16, "big").hex().encode()


def span_id(getrandbits: GetRandBits) -> bytes:
    """16 hex digits, never all zero."""
    return (getrandbits(64) or 1).to_bytes(8, "big").hex().encode()
