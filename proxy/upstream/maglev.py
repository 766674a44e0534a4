"""The policy "hash" by a table: Maglev (Eisenbud et al., NSDI 2016, §3.4).

Each endpoint has an order of its own in which it wants the table's places, and they take turns,
those of less weight more rarely. So shares are even to a hundredth as long as there are 100
places for each, and nearly all places stay as they were when one comes or goes. Filling the table
takes 10 to 60 ms, so a change of members is worked out in steps, 0.2 ms at each pick;
until then the places of one that is gone are passed over. An endpoint that is down keeps its own.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Any

from proxy.upstream.bag import Chance
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.hashed import Hashed, place
from proxy.upstream.load import Load

PLACES = 65537  # a prime; Envoy's default, and one for all numbers of endpoints: no key moves then
AT_ONCE = 2048  # places or members that are looked at in one step, 0.2 ms
_GATHERED = 256  # members that are put together in one


class Maglev(Hashed):
    """See the module."""

    __slots__ = ("_order", "_table", "_walks", "_weights")

    def __init__(self, endpoints: Iterable[Endpoint], random: Chance, load: Load) -> None:
        self._table: list[Any] = []  # an endpoint for each place; [] = not made yet
        self._order: list[str] = []  # URLs of the members, sorted: workers agree
        self._walks: dict[str, tuple[int, int]] = {}  # of members: first place, and stride
        self._weights: dict[str, int] = {}
        super().__init__(endpoints, random, load)

    def _owner(self, at: int) -> Endpoint | None:
        found: Endpoint | None = self._table[at % PLACES] if self._table else None
        return found

    def _is_built(self) -> bool:
        return bool(self._table) or not self._order

    def _joined(self, endpoint: Endpoint) -> None:
        url = endpoint.url
        if self._weights.get(url) == endpoint.weight:
            return
        if url not in self._weights:
            insort(self._order, url)
            at = place(url.encode())
            self._walks[url] = (at % PLACES, (at >> 20) % (PLACES - 1) + 1)
        self._weights[url] = endpoint.weight
        self._stale = True

    def _left(self, endpoint: Endpoint) -> None:
        url = endpoint.url
        del self._order[bisect_left(self._order, url)], self._walks[url], self._weights[url]
        self._stale = True

    def _build(self) -> Iterator[None]:
        known, weights, walks = self._members(), self._weights, self._walks
        members: list[Endpoint] = []
        spots: list[int] = []
        strides: list[int] = []
        shares: list[int] = []
        for n, url in enumerate(list(self._order)):
            if n % _GATHERED == 0:
                yield
            if url in known:  # else it has gone since
                members.append(known[url])
                spots.append(walks[url][0])
                strides.append(walks[url][1])
                shares.append(max(weights[url], 1))
        table: list[Any] = [None] * PLACES
        yield from _fill(table, members, spots, strides, shares)
        self._table = table if members else []


def _fill(
    table: list[Any],
    members: list[Endpoint],
    spots: list[int],
    strides: list[int],
    shares: list[int],
) -> Iterator[None]:
    """Let them take turns until the table is full; in the order of `members`."""
    left = PLACES if members else 0
    most = max(shares, default=1)
    credit = [0] * len(members)
    looked = 0
    while left:
        for i, member in enumerate(members):
            looked += 1
            if looked >= AT_ONCE:
                yield
                looked = 0
            credit[i] += shares[i]
            if credit[i] < most:
                continue
            credit[i] -= most
            spot, stride = spots[i], strides[i]
            while table[spot] is not None:  # often, where few are left
                spot = (spot + stride) % PLACES
                looked += 1
                if looked >= AT_ONCE:
                    yield
                    looked = 0
            table[spot], spots[i] = member, (spot + stride) % PLACES
            left -= 1
            if not left:
                break
