"""Turns: work of which little is done at once, given out fairly between those who want it.

Each address has a queue of its own, and the addresses take turns: whoever floods waits behind
himself alone. Both a queue and all of them together are bounded.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")

TAKEN, FULL_HERE, FULL = range(3)  # what `add` says


class Turns(Generic[T]):
    """`of_one`: how many may wait for one address, `of_all`: for all of them."""

    __slots__ = ("_of_all", "_of_one", "_queues", "waiting")

    def __init__(self, of_one: int, of_all: int) -> None:
        self._of_one = of_one
        self._of_all = of_all
        self._queues: OrderedDict[str, deque[T]] = OrderedDict()  # the next turn is the first's
        self.waiting = 0

    def add(self, address: str, work: T) -> int:
        """TAKEN, or whose bound it would pass: that of the address, or of all."""
        queue = self._queues.get(address)
        if queue is not None and len(queue) >= self._of_one:
            return FULL_HERE
        if self.waiting >= self._of_all:
            return FULL
        if queue is None:
            queue = self._queues[address] = deque()
        queue.append(work)
        self.waiting += 1
        return TAKEN

    def next(self) -> T | None:
        """The work whose turn it is, no longer in here; None = there is none."""
        if not self._queues:
            return None
        address, queue = self._queues.popitem(last=False)
        work = queue.popleft()
        self.waiting -= 1
        if queue:
            self._queues[address] = queue  # behind all others
        return work

    def drop(self, address: str, work: T) -> bool:
        """Nobody wants it any more; False = it is not in here."""
        queue = self._queues.get(address)
        if queue is None or work not in queue:
            return False
        queue.remove(work)
        self.waiting -= 1
        if not queue:
            del self._queues[address]
        return True


def whose(address: str) -> str:
    """Whose turn a client's address counts for: a network of IPv6 (/64) is one customer's."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
