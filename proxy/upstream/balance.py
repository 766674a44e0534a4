"""Which endpoint takes the next attempt.

Owns the choice; who is up is told from outside, and connections are not seen here. The seam to
other policies is `Balancer`: two verbs, with time as an argument for those that need it.

Round robin is the smooth weighted one of nginx (ngx_http_upstream_get_peer): each turn every
endpoint gains its weight, the richest is chosen and pays the sum of weights, so 5:1:1 gives
a a b a c a a and never a burst. It repeats itself after sum/gcd turns. Short cycles are written
down while they run for the first time and read from then on, which makes a turn O(1) without
ever computing a whole cycle at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Protocol

from proxy.upstream.endpoint import Endpoint

LONGEST_CYCLE = 1000  # turns that are written down; 8 KB


class Balancer(Protocol):
    """A policy over the endpoints of one upstream."""

    def pick(self, now: float, avoid: Endpoint | None = None) -> Endpoint | None:
        """The endpoint for one attempt at monotonic time `now`, None if there is none at all.

        `avoid` has just failed this request: it is chosen only if nobody else is there.
        """

    def set_up(self, url: str, up: bool) -> bool:
        """What a probe found; True if that was news. A URL that is not known is not."""


class RoundRobin:
    """Smooth weighted round robin over the endpoints that are up; over all if none is.

    Sending to servers that seem down is better than refusing everything because of a broken
    probe (Envoy: panic mode).
    """

    __slots__ = ("_cycle", "_endpoints", "_others")

    def __init__(self, endpoints: Sequence[Endpoint], offset: int = 0) -> None:
        """`offset` turns are skipped, so that workers need not all begin with the first."""
        self._endpoints = {e.url: e for e in endpoints}
        self._renew()
        if self._cycle is not None:
            for _ in range(offset % len(self._endpoints)):
                self._cycle.turn()

    def __repr__(self) -> str:
        up = sum(e.up for e in self._endpoints.values())
        return f"<RoundRobin {up} of {len(self._endpoints)} up>"

    def pick(self, now: float, avoid: Endpoint | None = None) -> Endpoint | None:
        """See `Balancer`; round robin has no use for `now`."""
        if self._cycle is None:
            return None
        chosen = self._cycle.turn()
        if chosen is avoid and len(self._cycle.endpoints) > 1:
            return self._without(avoid).turn()
        return chosen

    def set_up(self, url: str, up: bool) -> bool:
        """See `Balancer`."""
        endpoint = self._endpoints.get(url)
        if endpoint is None or endpoint.up is up:
            return False
        endpoint.up = up
        self._renew()
        return True

    def _renew(self) -> None:
        everyone = list(self._endpoints.values())
        chosen = [e for e in everyone if e.up] or everyone
        self._cycle = Cycle(chosen) if chosen else None
        self._others: dict[str, Cycle] = {}

    def _without(self, avoid: Endpoint) -> Cycle:
        """A cycle of its own for each failing endpoint, so that retries keep to the weights."""
        cycle = self._others.get(avoid.url)
        if cycle is None:
            assert self._cycle is not None
            cycle = Cycle([e for e in self._cycle.endpoints if e is not avoid])
            self._others[avoid.url] = cycle
        return cycle


class Cycle:
    """An endless smooth sequence of endpoints, at least one, by weight."""

    __slots__ = ("_balance", "_next", "_period", "_total", "_turns", "endpoints")

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints
        weights = [e.weight for e in endpoints]
        self._total = sum(weights)
        self._period = self._total // gcd(*weights)
        self._balance = [0] * len(endpoints)
        self._turns: list[Endpoint] = []  # what was written down of the first cycle
        self._next = 0

    def turn(self) -> Endpoint:
        """The next endpoint: O(1) when it was written down, else O(endpoints)."""
        if len(self._turns) == self._period:
            chosen = self._turns[self._next]
            self._next = self._next + 1 if self._next + 1 < self._period else 0
            return chosen
        chosen = self._richest()
        if self._period <= LONGEST_CYCLE:
            self._turns.append(chosen)
        return chosen

    def _richest(self) -> Endpoint:
        balance = self._balance
        best = 0
        for i, endpoint in enumerate(self.endpoints):
            balance[i] += endpoint.weight
            if balance[i] > balance[best]:
                best = i
        balance[best] -= self._total
        return self.endpoints[best]
