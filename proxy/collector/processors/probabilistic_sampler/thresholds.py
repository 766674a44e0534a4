"""Thresholds: whether a trace is kept, and what `ot` says of it afterwards. Pure arithmetic.

R, 56 bits, belongs to a trace; T belongs to a decision, and R >= T keeps. Whoever reads a kept
span knows from T that it stands for 2**56 / (2**56 - T) spans. Sources: OpenTelemetry,
trace/tracestate-probability-sampling.md; for hash_seed, the Collector's own FNV hash of 14 bits,
written as R and T so that one notation tells of both.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.tracing import sampling, w3c

WHOLE = 1 << 56
NEVER = WHOLE  # above every R
BUCKETS = 1 << 14

_HEX = frozenset(b"0123456789abcdef")
_FNV_PRIME = 16777619
_FNV_BASIS = 2166136261


@dataclass(frozen=True, slots=True)
class Told:
    """What a tracestate, or the attributes of a log record, say of sampling before us."""

    threshold: int | None = None
    randomness: int | None = None
    broken: bool = False  # it says something that nobody can read


NOTHING = Told()


def read_state(state: bytes) -> Told:
    """Of a tracestate's `ot` member."""
    th = rv = b""
    for entry in w3c.member(state, b"ot").split(b";"):
        if entry.startswith(b"th:"):
            th = entry[3:] or b"?"
        elif entry.startswith(b"rv:"):
            rv = entry[3:] or b"?"
    return read(th, rv)


def read(th: bytes, rv: bytes) -> Told:
    """Of `th` and `rv` as they are written; b"" = not said."""
    threshold = _hexadecimal(th, 1) if th else None
    randomness = _hexadecimal(rv, 14) if rv else None
    broken = (bool(th) and threshold is None) or (bool(rv) and randomness is None)
    return Told(threshold, randomness, broken)


def of_ratio(ratio: float, precision: int) -> int:
    """T for a ratio; NEVER for one below 2**-56."""
    digits = sampling.threshold(min(ratio, 1.0), precision)
    return int(digits.ljust(14, b"0"), 16) if digits else NEVER


def written(threshold: int) -> bytes:
    """`th`, without its trailing zeros."""
    return (b"%014x" % threshold).rstrip(b"0") or b"0"


def of_trace_id(trace_id: bytes) -> int | None:
    """R of a trace id of 16 bytes; None if it is no valid one."""
    if len(trace_id) != 16 or trace_id == bytes(16):
        return None
    return int.from_bytes(trace_id[9:])


def fnv32a(content: bytes, state: int = _FNV_BASIS) -> int:
    """FNV-1a, continued from `state`."""
    for byte in content:
        state = (state ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return state


def seeded(seed: int) -> int:
    """The state of the hash when it has read the seed."""
    return fnv32a(seed.to_bytes(4, "little"))


def of_hash(content: bytes, seed: int) -> int:
    """R of what is hashed: the 14 bits that decide, then a mixture, then the same 14 bits.

    The Collector keeps what hashes *below* its rate, so the bits are turned over; the other 42
    only make R look like one, and are the Collector's as well. `seed` as `seeded` gave it.
    """
    hashed = fnv32a(content, seed)
    bucket = hashed & BUCKETS - 1
    unused = hashed >> 18
    return (BUCKETS - 1 - bucket) << 42 | (unused ^ unused << 10) << 14 & (1 << 42) - 1 | bucket


def of_percentage(percentage: float) -> int:
    """T of a percentage for `of_hash`; NEVER if it is below one bucket."""
    buckets = int(min(percentage, 100.0) * BUCKETS / 100)
    return (BUCKETS - buckets) << 42 if buckets else NEVER


def _hexadecimal(digits: bytes, least: int) -> int | None:
    if not least <= len(digits) <= 14 or not _HEX.issuperset(digits):
        return None
    return int(digits.ljust(14, b"0"), 16)
