"""Policies by which a key always meets the same endpoint, as far as possible.

What both have in common: a key has a place, a place has an owner, and if the owner is not to be
had (down, full, or it has just failed) the key goes to another place, which the key alone says.
So the keys of one endpoint that goes spread over all others, no other key moves, and they are back
when it is. Where there is no key, the less busy one of two by chance is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from proxy.upstream.bag import Bag, Chance
from proxy.upstream.balance import Balancer
from proxy.upstream.drawn import LeastRequest
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.load import Load

TRIES = 64  # other places for a key; so many fail only where nearly all endpoints are down
STEPS = 1  # of rebuilding, at each pick


def place(key: bytes) -> int:
    """64 bits, which a key has in every worker and after every restart."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


class Hashed(Balancer):
    """What a subclass owns is which endpoint a place belongs to."""

    __slots__ = ("_building", "_stale", "keyless", "load", "others")

    def __init__(self, endpoints: Iterable[Endpoint], random: Chance, load: Load) -> None:
        self.load = load
        self.others = LeastRequest((), random, load)  # for requests without a key
        self.keyless = 0  # such requests
        self._building: Iterator[None] | None = None
        self._stale = True  # owners are not those of the present members
        for endpoint in endpoints:
            self.add(endpoint)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._members())} members>"

    def pick(
        self, now: int, key: bytes | None = None, avoid: Endpoint | None = None
    ) -> Endpoint | None:
        """See `Balancer`; O(1) or O(log n)."""
        if key is None:
            self.keyless += 1
            return self.others.pick(now, None, avoid)
        if self._building is not None or self._stale:
            self._go_on()
        usable = self.others.usable()
        if not usable:
            return None
        at = place(key)
        chosen = self._owner(at)
        if self._has_room(chosen, usable, avoid):
            return chosen
        return self._elsewhere(at, usable, avoid)

    def add(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        before = self.others._known.get(endpoint.url)
        if before is not None and before is not endpoint:
            self.remove(before)
        self.others.add(endpoint)
        self._joined(endpoint)

    def remove(self, endpoint: Endpoint) -> None:
        """See `Balancer`."""
        if self.others._known.get(endpoint.url) is endpoint:
            self.others.remove(endpoint)
            self._left(endpoint)

    def refresh(self, endpoint: Endpoint) -> None:
        """See `Balancer`; being down costs nothing, another weight is another membership."""
        if self.others._known.get(endpoint.url) is endpoint:
            self.others.refresh(endpoint)
            self._joined(endpoint)

    def panic_below(self, share: float) -> None:
        """See `Balancer`."""
        self.others.panic_below(share)

    def prepare(self) -> Iterator[None]:
        """Work out owners, in short steps; else the first pick does it all at once."""
        self._stale = False
        self._building = None
        yield from self._build()

    # what a subclass says

    def _owner(self, at: int) -> Endpoint | None:
        raise NotImplementedError

    def _is_full(self, endpoint: Endpoint, usable: Bag) -> bool:
        return False

    def _joined(self, endpoint: Endpoint) -> None:
        """It is a member, or was one before with another weight."""
        raise NotImplementedError

    def _left(self, endpoint: Endpoint) -> None:
        raise NotImplementedError

    def _build(self) -> Iterator[None]:
        """Make owners anew beside those that are in force, which the last step replaces."""
        raise NotImplementedError

    def _is_built(self) -> bool:
        """Whether there are owners at all."""
        raise NotImplementedError

    def _members(self) -> dict[str, Endpoint]:
        return self.others._known

    def _go_on(self) -> None:
        if not self._is_built():
            for _ in self.prepare():
                pass
        if self._building is None and self._stale:
            self._stale = False
            self._building = self._build()
        if self._building is not None and next(self._building, self) is self:
            self._building = None

    def _has_room(self, chosen: Endpoint | None, usable: Bag, avoid: Endpoint | None) -> bool:
        if chosen is None or chosen is avoid or chosen not in usable:
            return False
        return not self._is_full(chosen, usable)

    def _elsewhere(self, at: int, usable: Bag, avoid: Endpoint | None) -> Endpoint | None:
        for n in range(TRIES):
            chosen = self._owner(place(b"%d %d" % (at, n)))
            if self._has_room(chosen, usable, avoid):
                return chosen
        # By rendezvous (Thaler, Ravishankar 1998) among all that are left.
        rest = [e for e in usable if e is not avoid and not self._is_full(e, usable)]
        rest = rest or [e for e in usable if e is not avoid] or [*usable]
        return max(rest, key=lambda e: place(b"%d " % at + e.url.encode()))
