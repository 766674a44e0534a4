"""Clocks of a gRPC server's connection: its age, idleness and life, and how often it asks.

Pure; times are monotonic nanoseconds. Source: grpc/grpc doc/keepalive.md and proposals A8 and A9.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

SECOND = 10**9
_STRIKES = 2  # pings that came too early and are borne
_NEVER_ASKED = -(10**18)
_WITHOUT_STREAMS = 7200 * SECOND  # between two pings where they are not permitted
_SPREAD = 0.1  # of the age, each way, so that clients do not come back all at once


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Of the connections of one port; ns, 0 = never."""

    idle: int = 300 * SECOND  # without a call, then it is closed
    age: int = 0  # then clients are asked to connect anew
    grace: int = 0  # for calls that are under way then; 0 = any time
    time: int = 0  # of silence, after which the peer is asked whether it lives
    timeout: int = 20 * SECOND  # for its answer
    min_time: int = 300 * SECOND  # between two pings of the peer
    permit_without_stream: bool = False  # also while no call is under way

    def lifetime(self, chance: float) -> int:
        """The age of one connection; `chance` is random, from 0 to 1."""
        return int(self.age * (1 - _SPREAD + 2 * _SPREAD * chance))


class Act(Enum):
    """What a clock that ran out asks for."""

    NOTHING = auto()
    PING = auto()
    DRAIN = auto()  # begin nothing more, let calls end
    KILL = auto()


class Clocks:
    """Those of one connection."""

    __slots__ = ("_asked", "_drained", "_idle", "_keepalive", "_last", "_lifetime", "_strikes")

    def __init__(self, keepalive: Keepalive, now: int, chance: float) -> None:
        self._keepalive = keepalive
        self._lifetime = now + keepalive.lifetime(chance) if keepalive.age else 0
        self._idle = now  # since when there is no call
        self._asked = 0  # when we pinged without an answer yet
        self._drained = 0  # since when it is asked to end
        self._last = _NEVER_ASKED  # when the peer pinged
        self._strikes = 0

    def calls(self, now: int) -> None:
        """The last call that was under way has ended."""
        self._idle = now

    def drains(self, now: int) -> None:
        """It was asked to end, for whatever reason."""
        self._drained = self._drained or now

    def heard(self) -> None:
        """Something came."""
        self._asked = 0

    def answers(self) -> None:
        """Part of an answer was sent, after which a ping is in order."""
        self._strikes = 0
        self._last = _NEVER_ASKED

    def is_nagged(self, now: int, has_calls: bool) -> bool:
        """A ping came; whether that is one too many."""
        keepalive = self._keepalive
        permitted = has_calls or keepalive.permit_without_stream
        early = now < self._last + (keepalive.min_time if permitted else _WITHOUT_STREAMS)
        self._last = now
        self._strikes += early
        return self._strikes > _STRIKES

    def due(self, now: int, heard: int, has_calls: bool) -> Act:
        """What is to be done; `heard`: when the last byte came."""
        keepalive = self._keepalive
        if self._asked and now - self._asked > keepalive.timeout:
            return Act.KILL
        if self._drained:
            grace = keepalive.grace
            return Act.KILL if grace and now - self._drained > grace else Act.NOTHING
        if self._lifetime and now > self._lifetime:
            return Act.DRAIN
        if keepalive.idle and not has_calls and now - self._idle > keepalive.idle:
            return Act.DRAIN
        if keepalive.time and not self._asked and now - heard > keepalive.time:
            self._asked = now
            return Act.PING
        return Act.NOTHING
