"""The policy "hash" by a ring, with bounded loads.

Endpoints have points on a ring, about a hundred each, more for more weight; a place belongs to the
next point (Karger et al. 1997). No endpoint is given more than 1.25 times its share of what runs
at this worker: what would be too much goes to another place (Mirrokni, Thorup, Zadimoghaddam,
"Consistent Hashing with Bounded Loads", 2016). A change costs the points of one endpoint.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from math import ceil, log2
from struct import unpack

from proxy.upstream.bag import Bag, Chance
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.hashed import Hashed
from proxy.upstream.load import Load

POINTS = 96  # of an endpoint of mean weight
MOST_POINTS = 4096
BOUND = 1.25  # times its share is the most that an endpoint has to do
_ARC = 8  # points in an arc at most, on the average, when the ring is made
_ROOM = 32  # for points in an arc
_GROWN = 2  # times as many members, or as few: then it is made anew
_BITS = 64  # of a point
_AT_ONCE = 64  # points that are made in one step of building


class Points:
    """A ring of points and whose they are, in arcs of equal length with room for a few points
    each: finding the next one costs the same for any number of them, and touches little memory.

    An arc that is full keeps its first points, which makes no difference to speak of.
    """

    __slots__ = ("_counts", "_free", "_numbers", "_owners", "_points", "_shift", "_whose")

    def __init__(self, expected: int = 0) -> None:
        bits = (expected // _ARC).bit_length()
        self._shift = _BITS - bits
        self._counts = bytearray(1 << bits)  # points in each arc
        self._points = memoryview(bytearray((8 << bits) * _ROOM)).cast("Q")  # sorted in each arc
        self._whose = memoryview(bytearray((4 << bits) * _ROOM)).cast("I")  # as the points
        self._owners: list[Endpoint | None] = []
        self._free: list[int] = []  # numbers of nobody
        self._numbers: dict[Endpoint, int] = {}  # in `_owners`

    def add(self, point: int, owner: Endpoint) -> None:
        """One more, unless somebody has it."""
        points, whose = self._points, self._whose
        arc = point >> self._shift
        first, count = arc * _ROOM, self._counts[arc]
        end = first + count
        at = bisect_left(points, point, first, end)
        if at == first + _ROOM or (at < end and points[at] == point):
            return
        if count == _ROOM:
            end -= 1
        else:
            self._counts[arc] += 1
        points[at + 1 : end + 1] = points[at:end]
        whose[at + 1 : end + 1] = whose[at:end]
        points[at], whose[at] = point, self._number(owner)

    def discard(self, point: int, owner: Endpoint) -> None:
        """Take it away, if it is this one's."""
        points, whose = self._points, self._whose
        arc = point >> self._shift
        first = arc * _ROOM
        end = first + self._counts[arc]
        at = bisect_left(points, point, first, end)
        if at < end and points[at] == point and self._owners[whose[at]] is owner:
            points[at : end - 1] = points[at + 1 : end]
            whose[at : end - 1] = whose[at + 1 : end]
            self._counts[arc] -= 1

    def owner(self, at: int) -> Endpoint | None:
        """Whose the first point is that is not less; behind the last one it is the first."""
        arc = at >> self._shift
        first = arc * _ROOM
        end = first + self._counts[arc]
        spot = bisect_left(self._points, at, first, end)
        if spot < end:
            return self._owners[self._whose[spot]]
        counts = self._counts
        for n in range(arc + 1 - len(counts), arc + 1):  # from the next one on, once round
            if counts[n]:
                return self._owners[self._whose[(n % len(counts)) * _ROOM]]
        return None

    def forget(self, owner: Endpoint) -> None:
        """It has no point any more."""
        number = self._numbers.pop(owner, None)
        if number is not None:
            self._owners[number] = None
            self._free.append(number)

    def _number(self, owner: Endpoint) -> int:
        number = self._numbers.get(owner)
        if number is None:
            number = self._free.pop() if self._free else len(self._owners)
            self._owners[number : number + 1] = [owner]
            self._numbers[owner] = number
        return number


class Ring(Hashed):
    """See the module."""

    __slots__ = ("_counts", "_made", "_points", "_sum", "_unit", "_weights")

    def __init__(self, endpoints: Iterable[Endpoint], random: Chance, load: Load) -> None:
        self._points = Points()
        self._made = 0  # how many members it was made for
        self._counts: dict[Endpoint, int] = {}  # how many points it has
        self._weights: dict[Endpoint, int] = {}
        self._sum = 0
        self._unit = 0  # the mean weight, to the next power of two: so it hardly ever changes
        super().__init__(endpoints, random, load)

    def _owner(self, at: int) -> Endpoint | None:
        return self._points.owner(at)

    def _is_built(self) -> bool:
        return self._made > 0 or not self._weights

    def _is_full(self, endpoint: Endpoint, usable: Bag) -> bool:
        load = self.load
        share = (load.total + 1) * max(endpoint.weight, 1) / usable.total
        return load.own(endpoint) + 1 > ceil(BOUND * share)

    def _joined(self, endpoint: Endpoint) -> None:
        weight = max(endpoint.weight, 1)
        before = self._weights.get(endpoint)
        if before == weight:
            return
        self._sum += weight - (before or 0)
        self._weights[endpoint] = weight
        if self._made and not self._rescale():
            self._place(endpoint)

    def _left(self, endpoint: Endpoint) -> None:
        self._sum -= self._weights.pop(endpoint)
        for point in _points(endpoint.url, self._counts.pop(endpoint, 0)):
            self._points.discard(point, endpoint)
        self._points.forget(endpoint)
        if self._weights:
            self._rescale()

    def _rescale(self) -> bool:
        """Whether all of them will have other numbers of points."""
        members = len(self._weights)
        if members > self._made * _GROWN or members * _GROWN < self._made:
            self._stale = True
        if _unit(self._sum, members) != self._unit:
            self._stale = True
        return self._stale

    def _place(self, endpoint: Endpoint) -> None:
        """Give it as many points as its weight is worth."""
        before = self._counts.get(endpoint, 0)
        count = self._counts[endpoint] = _count(self._weights[endpoint], self._unit)
        made = _points(endpoint.url, max(before, count))
        for point in made[before:count]:
            self._points.add(point, endpoint)
        for point in made[count:before]:
            self._points.discard(point, endpoint)

    def _build(self) -> Iterator[None]:
        unit = _unit(self._sum, len(self._weights)) if self._weights else 1
        counts: dict[Endpoint, int] = {}
        points = Points(len(self._weights) * POINTS)
        yield
        for endpoint, weight in list(self._weights.items()):
            counts[endpoint] = _count(weight, unit)
            made = _points(endpoint.url, counts[endpoint])
            for i in range(0, len(made), _AT_ONCE):
                for point in made[i : i + _AT_ONCE]:
                    points.add(point, endpoint)
                yield
        self._unit, self._counts, self._points = unit, counts, points
        self._made = len(counts)
        for endpoint in [e for e in counts if e not in self._weights]:
            self._weights[endpoint] = 0  # it went meanwhile
            self._left(endpoint)
        for endpoint in self._weights:
            if endpoint not in counts or counts[endpoint] != _count(self._weights[endpoint], unit):
                self._place(endpoint)
        if self._weights:
            self._rescale()  # what came and went meanwhile may want another unit


def _unit(total: int, members: int) -> int:
    return 1 << max(round(log2(total / members)), 0)


def _count(weight: int, unit: int) -> int:
    return min(max(round(POINTS * weight / unit), 1), MOST_POINTS)


def _points(url: str, count: int) -> tuple[int, ...]:
    """The first `count` points of an endpoint: eight by each hash."""
    blocks = (blake2b(b"%s %d" % (url.encode(), n)).digest() for n in range(-(-count // 8)))
    made = b"".join(blocks)[: count * 8]
    return unpack(f">{count}Q", made)
