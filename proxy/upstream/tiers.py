"""Endpoints of several ranks: near ones before far ones, backups when these do not do.

Around any policy, which chooses among the endpoints of one rank. Near are those of the gateway's
own zone; while seven tenths of their weight is up they get everything, below that as much less as
is missing, and the far ones the rest (Envoy: overprovisioning factor 1.4). Backups join when fewer
than the panic threshold of the others are up, or none. Only where no backup is up do those that
are down get traffic too, and that only with a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from proxy.upstream.bag import Chance
from proxy.upstream.balance import Balancer
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.hashed import place

NEAR, FAR, BACKUP = 0, 1, 2
SPARE = 1.4  # times what it has to carry, a rank can

Rank = Callable[[Endpoint], int]
Make = Callable[[Sequence[Endpoint]], Balancer]

_ALWAYS = 2.0  # a threshold that no share of endpoints reaches


class _Tier:
    """The endpoints of one rank."""

    __slots__ = ("balancer", "members", "total", "up", "up_total")

    def __init__(self, balancer: Balancer) -> None:
        self.balancer = balancer
        self.members: dict[Endpoint, int] = {}  # their weights, as far as they are counted in
        self.up: dict[Endpoint, int] = {}
        self.total = 0  # of weights
        self.up_total = 0

    def count(self, endpoint: Endpoint, member: bool) -> None:
        self.total -= self.members.pop(endpoint, 0)
        self.up_total -= self.up.pop(endpoint, 0)
        if member:
            self.members[endpoint] = endpoint.weight
            self.total += endpoint.weight
            if endpoint.up:
                self.up[endpoint] = endpoint.weight
                self.up_total += endpoint.weight


class Tiers(Balancer):
    """`make` gives a policy over some endpoints, `rank` says which of the ranks one has."""

    __slots__ = ("_everyone", "_make", "_panic", "_random", "_rank", "_tiers")

    def __init__(
        self, endpoints: Iterable[Endpoint], make: Make, rank: Rank, random: Chance
    ) -> None:
        self._make, self._rank, self._random = make, rank, random
        groups: tuple[list[Endpoint], ...] = ([], [], [])
        for endpoint in endpoints:
            groups[rank(endpoint)].append(endpoint)
        self._tiers = [_Tier(make(group)) for group in groups]
        for tier, group in zip(self._tiers, groups, strict=True):
            for endpoint in group:
                tier.count(endpoint, True)
        self._panic = 0.0
        self._everyone: Balancer | None = None  # for when nobody else is there

    def __repr__(self) -> str:
        return f"<Tiers {', '.join(f'{len(t.up)} of {len(t.members)} up' for t in self._tiers)}>"

    def pick(
        self, now: int, key: bytes | None = None, avoid: Endpoint | None = None
    ) -> Endpoint | None:
        """See `Balancer`. A retry finds another rank where its own has nobody else."""
        near, far, backup = self._tiers
        up, members = len(near.up) + len(far.up), len(near.members) + len(far.members)
        if not up or up < self._panic * members:
            if not backup.up and self._everyone is not None:
                return self._everyone.pick(now, key, avoid)
            tier = self._by_weight([near, far, backup], key)
        else:
            tier = near if not far.members else self._by_zone(near, far, key)
        chosen = tier.balancer.pick(now, key, avoid)
        if chosen is None or chosen is avoid:
            for other in self._tiers:
                if other.up and other is not tier:
                    return other.balancer.pick(now, key, avoid)
        return chosen

    def add(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        tier = self._tiers[self._rank(endpoint)]
        tier.balancer.add(endpoint)
        tier.count(endpoint, True)
        if self._everyone is not None:
            self._everyone.add(endpoint)

    def remove(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        tier = self._tiers[self._rank(endpoint)]
        tier.balancer.remove(endpoint)
        tier.count(endpoint, False)
        if self._everyone is not None:
            self._everyone.remove(endpoint)

    def refresh(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        tier = self._tiers[self._rank(endpoint)]
        tier.balancer.refresh(endpoint)
        tier.count(endpoint, endpoint in tier.members)
        if self._everyone is not None:
            self._everyone.refresh(endpoint)

    def panic_below(self, share: float) -> None:
        """See `Balancer`."""
        self._panic = share
        self._everyone = None
        if share:
            self._everyone = self._make([e for tier in self._tiers for e in tier.members])
            self._everyone.panic_below(_ALWAYS)

    def _by_zone(self, near: _Tier, far: _Tier, key: bytes | None) -> _Tier:
        if not far.up:
            return near
        if not near.up:
            return far
        kept = SPARE * near.up_total / near.total
        return near if kept >= 1 or self._chance(key) < kept else far

    def _by_weight(self, tiers: list[_Tier], key: bytes | None) -> _Tier:
        spot = self._chance(key) * sum(tier.up_total for tier in tiers)
        for tier in tiers:
            spot -= tier.up_total
            if spot < 0:
                return tier
        return tiers[0]

    def _chance(self, key: bytes | None) -> float:
        """The same for the same key."""
        return self._random() if key is None else place(b"tier " + key) / 2**64
