"""Verdict: what one policy says of a trace, and the interface of policies."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from proxy.collector.tail.trace import Trace

CERTAIN = b"0"  # a threshold: each trace of this kind is kept
UNKNOWN = b""  # no threshold can be told


class Verdict(IntEnum):
    """Inverted ones come from `invert_match`, at the top only; see `judge.py` for who wins."""

    NOT_SAMPLED = 0
    SAMPLED = 1
    DROPPED = 2
    INVERTED_SAMPLED = 3
    INVERTED_NOT_SAMPLED = 4


SAYS_YES = frozenset((Verdict.SAMPLED, Verdict.INVERTED_SAMPLED))


class Policy(Protocol):
    """May remember what it saw, and reads neither clocks nor dice.

    `threshold`: with which consistent probability a trace is kept, given everything about it and
    the past but its randomness: CERTAIN, UNKNOWN, or `th` of the tracestate.
    """

    @property
    def threshold(self) -> bytes: ...

    def decide(self, trace: Trace, now: float) -> Verdict:
        """`now` in seconds, never falling."""
