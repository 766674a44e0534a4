"""Which endpoint takes the next attempt.

Owns the choice; who is up is written on the endpoints by `state.py`, and connections are not seen
here. The seam to other policies is `Balancer`, a class to inherit from: time and the request's key
are arguments for those that need them, and one that learns from attempts is a `Feedback` as well.
Whose turn it is in round robin is in `turns.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Protocol, runtime_checkable

from proxy.upstream.endpoint import DRAINED, Endpoint
from proxy.upstream.turns import FEW, LANES, Cycle, Lanes, Many, Schedule, Turns


class Outcome(IntEnum):
    """How an attempt ended, as far as its endpoint is to be judged by it."""

    OK = 0  # a status below 400
    CLIENT_ERROR = 1  # 4xx
    SERVER_ERROR = 2  # 5xx
    ERROR = 3  # no complete answer: refused, reset, too late, malformed
    ABANDONED = 4  # the client or the gateway gave up, which says nothing about the endpoint


class Balancer:
    """A policy over the endpoints of one upstream."""

    __slots__ = ()

    def pick(
        self, now: int, key: bytes | None = None, avoid: Endpoint | None = None
    ) -> Endpoint | None:
        """The endpoint for one attempt at monotonic `now` (ns), None if there is none at all.

        `key` is what the route's requests are told apart by, None if it does not say. `avoid` has
        just failed this request: it is chosen only if nobody else is there.
        """
        raise NotImplementedError

    def add(self, endpoint: Endpoint) -> None:
        """One more, or another one of the same URL."""
        raise NotImplementedError

    def remove(self, endpoint: Endpoint) -> None:
        """One is gone."""
        raise NotImplementedError

    def refresh(self, endpoint: Endpoint) -> None:
        """`up` or `weight` of one of them has changed."""
        raise NotImplementedError

    def panic_below(self, share: float) -> None:
        """Take those that are down too while a smaller share of all is up; 0 = never."""
        raise NotImplementedError


@runtime_checkable
class Feedback(Protocol):
    """What a policy is that learns from attempts; for others nothing is called."""

    def begin(self, endpoint: Endpoint, now: int) -> None:
        """An attempt begins at monotonic `now` (ns)."""

    def end(self, endpoint: Endpoint, outcome: Outcome, ns: int) -> None:
        """It has ended, its answer's body included, and has taken `ns`. Once for each begin."""


class RoundRobin(Balancer):
    """Smooth weighted round robin over the endpoints that are up.

    Over all of them when too small a share is (Envoy: healthy_panic_threshold): a few cannot carry
    everything, and probes may be what is broken. That is off unless it is asked for, since a
    server may fail its probe on purpose.
    """

    __slots__ = ("_changed", "_endpoints", "_last", "_offset", "_others", "_panic", "_turns")

    def __init__(self, endpoints: Iterable[Endpoint] = (), offset: int = 0) -> None:
        """`offset` turns are skipped, so that workers need not all begin with the first."""
        self._endpoints = {e.url: e for e in endpoints}
        self._offset = offset
        self._last: Endpoint | None = None  # whom the turns before the present ones ended with
        self._turns: Turns | None = None  # made when it is first asked for
        self._changed = True  # since it was made, or nobody was found to make it of
        self._panic = 0.0
        self._others: dict[str, Cycle] = {}

    def __repr__(self) -> str:
        up = sum(e.up for e in self._endpoints.values())
        return f"<RoundRobin {up} of {len(self._endpoints)} up>"

    def pick(
        self, now: int, key: bytes | None = None, avoid: Endpoint | None = None
    ) -> Endpoint | None:
        """See `Balancer`; round robin has no use for `now` and `key`."""
        turns = self._turns
        if turns is None:
            turns = self._renew() if self._changed else None
            if turns is None:
                return None
        chosen = turns.turn()
        if chosen is not avoid or not turns.several():
            return chosen
        others = self._without(turns, avoid) if isinstance(turns, Cycle) else turns
        return others.turn()

    def add(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        before = self._endpoints.get(endpoint.url)
        self._endpoints[endpoint.url] = endpoint
        if before is not None:
            self._change(before, False)
        self._change(endpoint, endpoint.up)

    def remove(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        if self._endpoints.get(endpoint.url) is endpoint:
            del self._endpoints[endpoint.url]
            self._change(endpoint, False)

    def refresh(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        if self._endpoints.get(endpoint.url) is endpoint:
            self._change(endpoint, endpoint.up)

    def panic_below(self, share: float) -> None:
        """See `Balancer`."""
        if share != self._panic:
            self._panic = share
            self._start_anew()

    def _panics(self, up: int) -> bool:
        return bool(self._endpoints) and up / len(self._endpoints) < self._panic

    def _change(self, endpoint: Endpoint, usable: bool) -> None:
        """Many take a change in their stride, a cycle is made anew when it is next needed."""
        turns = self._turns
        if (
            isinstance(turns, Many)
            and turns.change(endpoint, usable)
            and not self._panics(len(turns))
        ):
            return
        self._start_anew()

    def _start_anew(self) -> None:
        turns = self._turns
        self._changed = True
        if turns is not None:
            self._last = turns.last()
            self._offset += FEW  # not always with the same one, where nobody can be gone on after
            self._turns = None
            self._others = {}

    def _renew(self) -> Turns | None:
        self._changed = False  # looked at once, not by each request that finds nobody
        everyone = [e for e in self._endpoints.values() if not e.out & DRAINED]
        usable = [e for e in everyone if e.up]
        panic = self._panics(len(usable))
        chosen = everyone if panic else usable
        if not chosen:
            return None
        start = self._offset % len(chosen)
        if len(chosen) > FEW:
            lanes = len({e.weight for e in chosen}) <= LANES
            self._turns = (Lanes if lanes else Schedule)(chosen, start, panic=panic)
        else:
            self._turns = cycle = Cycle(chosen)
            cycle.go_on_after(self._last, start)
        return self._turns

    def _without(self, turns: Cycle, avoid: Endpoint) -> Cycle:
        """A cycle of its own for each failing endpoint, so that retries keep to the weights."""
        cycle = self._others.get(avoid.url)
        if cycle is None:
            cycle = Cycle([e for e in turns.endpoints if e is not avoid])
            self._others[avoid.url] = cycle
        return cycle
