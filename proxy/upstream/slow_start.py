"""Endpoints that have just come get less at first, so that they may warm up.

Around any policy: what it chooses among the new ones is taken as often as the endpoint is old, in
shares of the time to warm up, at least every tenth time; else it chooses again. An endpoint's time
begins with the first pick after it has come, or is up again, and is its own. Where more than half
of the weight is new nobody else could take the rest, so all are used as they are.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.upstream.bag import Chance
from proxy.upstream.balance import Balancer
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.hashed import place

LEAST = 0.1  # share of its weight that an endpoint has from the first moment on; Envoy: 10 %
_TRIES = 8  # choices, until the last one is taken whatever it is
_UNKNOWN = -1  # its time has not begun


class SlowStart(Balancer):
    """`inner` with `window` ns to warm up. Those in `endpoints` are warm already."""

    __slots__ = ("_new", "_new_weight", "_random", "_up", "_weight", "_window", "inner")

    def __init__(
        self, inner: Balancer, window: int, endpoints: Iterable[Endpoint], random: Chance
    ) -> None:
        self.inner = inner
        self._window = window
        self._random = random
        self._new: dict[Endpoint, int] = {}  # since when
        self._up: dict[Endpoint, int] = {e: e.weight for e in endpoints if e.up}
        self._weight = sum(self._up.values())
        self._new_weight = 0

    def __repr__(self) -> str:
        return f"<SlowStart {len(self._new)} new, {self.inner!r}>"

    def pick(
        self, now: int, key: bytes | None = None, avoid: Endpoint | None = None
    ) -> Endpoint | None:
        """See `Balancer`."""
        chosen = self.inner.pick(now, key, avoid)
        if not self._new or chosen not in self._new:
            return chosen
        for n in range(_TRIES):
            if chosen is None or self._takes(chosen, now, key, n):
                break
            chosen = self.inner.pick(now, key, chosen if avoid is None else avoid)
        return chosen

    def add(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        self.inner.add(endpoint)
        self._look(endpoint)

    def remove(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        self.inner.remove(endpoint)
        self._gone(endpoint)

    def refresh(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        self.inner.refresh(endpoint)
        self._look(endpoint)

    def panic_below(self, share: float) -> None:
        """See `Balancer`."""
        self.inner.panic_below(share)

    def _takes(self, endpoint: Endpoint, now: int, key: bytes | None, n: int) -> bool:
        since = self._new.get(endpoint)
        if since is None:
            return True
        if since == _UNKNOWN:
            since = self._new[endpoint] = now
        age = now - since
        if age >= self._window:
            self._old(endpoint)
            return True
        if self._new_weight * 2 > self._weight:
            return True
        share = max(LEAST, age / self._window)
        if key is None:
            return self._random() < share
        # The same keys each time, and more of them the older it is.
        return place(b"%s %s %d" % (key, endpoint.url.encode(), n)) < share * 2**64

    def _look(self, endpoint: Endpoint) -> None:
        if not endpoint.up:
            self._gone(endpoint)
            return
        before = self._up.get(endpoint)
        self._up[endpoint] = endpoint.weight
        self._weight += endpoint.weight - (before or 0)
        if before is None:
            self._new[endpoint] = _UNKNOWN
            self._new_weight += endpoint.weight
        elif endpoint in self._new:
            self._new_weight += endpoint.weight - before

    def _gone(self, endpoint: Endpoint) -> None:
        self._old(endpoint)
        self._weight -= self._up.pop(endpoint, 0)

    def _old(self, endpoint: Endpoint) -> None:
        if self._new.pop(endpoint, None) is not None:
            self._new_weight -= self._up[endpoint]
