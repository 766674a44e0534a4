"""Whose turn it is among endpoints with weights: endless sequences, as round robin goes by them.

Round robin is the smooth weighted one of nginx (ngx_http_upstream_get_peer): each turn every
endpoint gains its weight, the richest is chosen and pays the sum of weights, so 5:1:1 gives
a a b a c a a and never a burst. It repeats itself after sum/gcd turns. Short cycles are written
down while they run for the first time and read from then on, which makes a turn O(1) without
ever computing a whole cycle at once. Many endpoints stand in lanes, one for each weight, and lanes
take turns by what they weigh: a turn or a change costs the same for any number of endpoints. If
they have many weights too they stand in a queue (Envoy's EdfScheduler), where it is O(log n).
"""

from __future__ import annotations

from math import gcd

from proxy.kernel.queue import Queue
from proxy.upstream.endpoint import Endpoint

LONGEST_CYCLE = 1000  # turns that are written down; 8 KB
LANES = 16  # weights for which there are lanes; each turn looks at all of them
FEW = 64  # endpoints in a cycle at most: its first turns look at each of them, 3 µs for 64


class Turns:
    """An endless sequence of endpoints, at least one."""

    __slots__ = ()

    def turn(self) -> Endpoint:
        """The next endpoint."""
        raise NotImplementedError

    def several(self) -> bool:
        """Whether there is more than one."""
        raise NotImplementedError

    def last(self) -> Endpoint | None:
        """Who had the turn before the next one, if that says anything."""
        raise NotImplementedError


class Cycle(Turns):
    """An endless smooth sequence of endpoints, at least one, by weight."""

    __slots__ = ("_balance", "_last", "_next", "_period", "_total", "_turns", "endpoints")

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints
        weights = [e.weight for e in endpoints]
        self._total = sum(weights)
        self._period = min(self._total // gcd(*weights), LONGEST_CYCLE + 1)  # that is too long
        self._balance = [0] * len(endpoints)
        self._turns: list[Endpoint] = []  # what was written down of the first cycle
        self._next = 0
        self._last: Endpoint | None = None  # of the turns that were not read

    def several(self) -> bool:
        """See `Turns`."""
        return len(self.endpoints) > 1

    def turn(self) -> Endpoint:
        """The next endpoint: O(1) when it was written down, else O(endpoints)."""
        if len(self._turns) == self._period:
            chosen = self._turns[self._next]
            self._next = self._next + 1 if self._next + 1 < self._period else 0
            return chosen
        chosen = self._last = self._richest()
        if self._period <= LONGEST_CYCLE:
            self._turns.append(chosen)
        return chosen

    def last(self) -> Endpoint | None:
        """See `Turns`."""
        if len(self._turns) == self._period:
            return self._turns[(self._next or self._period) - 1]
        return self._last

    def go_on_after(self, last: Endpoint | None, otherwise: int) -> None:
        """Skip turns until `last` has had one: a change must not favour who stands first."""
        turns = min(self._period, LONGEST_CYCLE) if last in self.endpoints else otherwise
        for _ in range(turns):
            if self.turn() is last:
                return

    def _richest(self) -> Endpoint:
        balance = self._balance
        best = 0
        for i, endpoint in enumerate(self.endpoints):
            balance[i] += endpoint.weight
            if balance[i] > balance[best]:
                best = i
        balance[best] -= self._total
        return self.endpoints[best]


class Many(Turns):
    """Turns that go on when single endpoints change."""

    __slots__ = ()

    def __len__(self) -> int:
        raise NotImplementedError

    def change(self, endpoint: Endpoint, usable: bool) -> bool:
        """Put one in, out, or where its weight belongs now; False if these turns are of no use
        then, and others are to be made."""
        raise NotImplementedError

    def last(self) -> Endpoint | None:
        """Nobody: among so many it makes no difference who is next."""
        return None


class Lane:
    """Endpoints of one weight, one after the other. Those before `next` have had their turn in
    the present round."""

    __slots__ = ("at", "endpoints", "next", "step", "weight")

    def __init__(self, weight: int, at: float) -> None:
        self.weight = weight
        self.endpoints: list[Endpoint] = []
        self.next = 0
        self.step = 0.0  # between two turns of the lane
        self.at = at  # when it has its next one


class Lanes(Many):
    """Many endpoints of few weights: the lane with the earliest deadline has the turn."""

    __slots__ = ("_lanes", "_panic", "_places")

    def __init__(self, endpoints: list[Endpoint], start: int = 0, *, panic: bool = False) -> None:
        """`panic`: these are all there are, up or not."""
        self._panic = panic
        self._lanes: list[Lane] = []
        self._places: dict[Endpoint, tuple[Lane, int]] = {}
        for endpoint in endpoints[start:] + endpoints[:start]:
            self._put(endpoint)
        for lane in self._lanes:
            lane.at = lane.step

    def __len__(self) -> int:
        return len(self._places)

    def turn(self) -> Endpoint:
        """The next endpoint: O(lanes)."""
        lane = self._lanes[0]
        if len(self._lanes) > 1:
            for other in self._lanes:
                if other.at < lane.at:
                    lane = other
            lane.at += lane.step
        at = lane.next
        lane.next = at + 1 if at + 1 < len(lane.endpoints) else 0
        return lane.endpoints[at]

    def several(self) -> bool:
        """See `Turns`."""
        return len(self._places) > 1

    def change(self, endpoint: Endpoint, usable: bool) -> bool:
        """See `Many`: O(lanes)."""
        if self._panic:
            return False
        place = self._places.get(endpoint)
        if place is not None and (not usable or place[0].weight != endpoint.weight):
            self._drop(endpoint)
            place = None
        if usable and place is None:
            self._put(endpoint)
        return 0 < len(self._lanes) <= LANES

    def _put(self, endpoint: Endpoint) -> None:
        """Behind all of its weight."""
        for lane in self._lanes:
            if lane.weight == endpoint.weight:
                break
        else:
            now = min([lane.at for lane in self._lanes], default=0.0)
            lane = Lane(endpoint.weight, now + 1 / endpoint.weight)
            self._lanes.append(lane)
        self._places[endpoint] = (lane, len(lane.endpoints))
        lane.endpoints.append(endpoint)
        lane.step = 1 / (lane.weight * len(lane.endpoints))

    def _drop(self, endpoint: Endpoint) -> None:
        """Its place is taken by others so that none of them gains or loses a turn."""
        lane, at = self._places.pop(endpoint)
        if at < lane.next:
            lane.next -= 1
            self._move(lane, lane.next, at)
            at = lane.next
        self._move(lane, len(lane.endpoints) - 1, at)
        lane.endpoints.pop()
        if not lane.endpoints:
            self._lanes.remove(lane)
            return
        lane.step = 1 / (lane.weight * len(lane.endpoints))
        if lane.next == len(lane.endpoints):
            lane.next = 0

    def _move(self, lane: Lane, start: int, end: int) -> None:
        if start != end:
            moved = lane.endpoints[end] = lane.endpoints[start]
            self._places[moved] = (lane, end)


class Schedule(Many):
    """Many endpoints, the earliest deadline first: who is chosen stands again 1/weight later."""

    __slots__ = ("_panic", "_queue")

    def __init__(self, endpoints: list[Endpoint], start: int = 0, *, panic: bool = False) -> None:
        """`panic`: these are all there are, up or not."""
        self._panic = panic
        self._queue = Queue((e, 1 / e.weight) for e in endpoints[start:] + endpoints[:start])

    def __len__(self) -> int:
        return len(self._queue)

    def turn(self) -> Endpoint:
        """The next endpoint: O(log n)."""
        chosen: Endpoint = self._queue.turn()
        return chosen

    def several(self) -> bool:
        """See `Turns`."""
        return len(self._queue) > 1

    def change(self, endpoint: Endpoint, usable: bool) -> bool:
        """See `Many`. A queue is of no use that would be empty, that holds those that are down
        too, or in which so many have changed that making another one is cheaper."""
        if self._panic:
            return False
        if usable:
            self._queue.put(endpoint, 1 / endpoint.weight)
        else:
            self._queue.drop(endpoint)
        there = len(self._queue)
        return there > 0 and self._queue.void() <= FEW + there // 4
