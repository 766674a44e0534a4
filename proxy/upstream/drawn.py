"""Policies that draw endpoints by chance: random, and the better one of two.

Of two that are drawn, the one with less to do for its weight is chosen (least_request), or the one
that is likely to answer first (peak_ewma). That is as good as looking at all of them, costs the
same for 10,000, and does not send every worker to the same endpoint at the same time
(M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.upstream.bag import Bag, Chance
from proxy.upstream.balance import Balancer
from proxy.upstream.endpoint import DRAINED, Endpoint
from proxy.upstream.latency import PENALTY, Latency
from proxy.upstream.load import Load


class Drawn(Balancer):
    """Any of those that are up, each as often as its weight says: the policy "random"."""

    __slots__ = ("_everyone", "_known", "_panic", "_random", "_up")

    def __init__(self, endpoints: Iterable[Endpoint], random: Chance) -> None:
        self._random = random
        self._known: dict[str, Endpoint] = {}
        self._everyone = Bag()
        self._up = Bag()
        self._panic = 0.0
        for endpoint in endpoints:
            self.add(endpoint)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._up)} of {len(self._everyone)} up>"

    def pick(
        self, now: int, key: bytes | None = None, avoid: Endpoint | None = None
    ) -> Endpoint | None:
        """See `Balancer`: O(1)."""
        bag = self.usable()
        if not bag:
            return None
        if avoid is not None:
            weight = bag.drop(avoid)
            if weight:
                chosen = self._choose(bag, now) if bag else avoid
                bag.put(avoid, weight)
                return chosen
        return self._choose(bag, now)

    def usable(self) -> Bag:
        """Those that may be chosen now."""
        if self._panic and len(self._up) < self._panic * len(self._known):
            return self._everyone
        return self._up

    def add(self, endpoint: Endpoint) -> None:
        """See `Balancer`: O(1), as every change."""
        before = self._known.get(endpoint.url)
        if before is not None and before is not endpoint:
            self.remove(before)
        self._known[endpoint.url] = endpoint
        self.refresh(endpoint)

    def remove(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        if self._known.get(endpoint.url) is endpoint:
            del self._known[endpoint.url]
            self._everyone.drop(endpoint)
            self._up.drop(endpoint)

    def refresh(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        if self._known.get(endpoint.url) is not endpoint:
            return
        if endpoint.out & DRAINED:
            self._everyone.drop(endpoint)  # no panic asks what an operator took out
        else:
            self._everyone.put(endpoint, endpoint.weight)
        if endpoint.up:
            self._up.put(endpoint, endpoint.weight)
        else:
            self._up.drop(endpoint)

    def panic_below(self, share: float) -> None:
        """See `Balancer`."""
        self._panic = share

    def _choose(self, bag: Bag, now: int) -> Endpoint:
        return bag.draw(self._random)


class LeastRequest(Drawn):
    """Of two drawn by weight the one with fewer attempts for its weight; where both have none, the
    first, so that idle servers get their shares by weight exactly."""

    __slots__ = ("load",)

    def __init__(self, endpoints: Iterable[Endpoint], random: Chance, load: Load) -> None:
        self.load = load
        super().__init__(endpoints, random)

    def remove(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        super().remove(endpoint)
        self.load.forget(endpoint)

    def _choose(self, bag: Bag, now: int) -> Endpoint:
        first = bag.draw(self._random)
        second = bag.draw_another(self._random, first)
        if second is None:
            return first
        burden = self.load.burden
        one = burden(first, now) * max(second.weight, 1)
        return second if burden(second, now) * max(first.weight, 1) < one else first


class PeakEwma(LeastRequest):
    """Of two drawn by weight the one whose mean latency, times what it has to do, is less.

    An endpoint of which nothing is known is tried at once, by one attempt; while that runs it
    counts as slow.
    """

    __slots__ = ("latency",)

    def __init__(
        self, endpoints: Iterable[Endpoint], random: Chance, load: Load, latency: Latency
    ) -> None:
        self.latency = latency
        super().__init__(endpoints, random, load)

    def remove(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        super().remove(endpoint)
        self.latency.forget(endpoint)

    def _choose(self, bag: Bag, now: int) -> Endpoint:
        first = bag.draw(self._random)
        second = bag.draw_another(self._random, first)
        if second is None:
            return first
        return second if self._cost(second, bag, now) < self._cost(first, bag, now) else first

    def _cost(self, endpoint: Endpoint, bag: Bag, now: int) -> float:
        active = self.load.active(endpoint)
        mean = self.latency.mean(endpoint, now)
        if mean is None:
            mean = PENALTY if active else 0.0
        # Beside an endpoint of mean weight: who has more of it may have more to do.
        return mean * (1 + active * bag.total / (len(bag) * max(endpoint.weight, 1)))
