"""Who accepts for a slot that no worker fills: another worker, until there is a successor.

What clients have sent to a dead worker's sockets waits in the kernel, because the hub holds them
open; new connections join that queue too. A successor may be long in coming when it dies again
and again, so the sockets are lent to a worker that lives. Lender and borrower hold the same
queue, hence nobody is lost when they are given back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from proxy.hub.sockets import Sockets
from proxy.hub.worker import Worker

AT_ONCE = 250  # descriptors in one message; the kernel takes 253 (SCM_MAX_FD)


class Slot(Protocol):
    """One place for a worker."""

    @property
    def number(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    @property
    def current(self) -> Worker | None: ...


class Keepers:
    """Which worker keeps which slot."""

    __slots__ = ("_keepers", "_sockets")

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._keepers: dict[int, Worker] = {}  # by the slot's number

    def settle(self, slots: Sequence[Slot], listeners: Sequence[str]) -> None:
        """After a worker came or went: lend what is vacant, take back what is filled again."""
        accepting = [s.current for s in slots if s.current is not None and s.current.accepting]
        for slot in slots:
            keeper = self._keepers.get(slot.number)
            if keeper is not None and not keeper.accepting:
                del self._keepers[slot.number]  # it gives up all that it has by itself
                keeper = None
            filled = slot.current is not None and slot.current.accepting
            if filled and keeper is not None:
                del self._keepers[slot.number]
                _tell(keeper, "give back", slot.number)
            # One that starts for the first time has nobody waiting yet.
            elif not filled and keeper is None and slot.restarts and accepting:
                self._lend(slot.number, min(accepting, key=self._burden), listeners)

    def _burden(self, worker: Worker) -> int:
        return sum(keeper is worker for keeper in self._keepers.values())

    def _lend(self, number: int, keeper: Worker, listeners: Sequence[str]) -> None:
        """All of the slot's sockets whose listeners the keeper has itself and knows, less those
        whose queue it shares anyway."""
        self._keepers[number] = keeper
        known = [
            address
            for address in listeners
            if address in keeper.listeners and not self._sockets.is_shared(address)
        ]
        lent = self._sockets.of_slot(number, known)
        for i in range(0, len(lent), AT_ONCE):
            some = lent[i : i + AT_ONCE]
            addresses = [address for address, _ in some]
            _tell(keeper, "keep", number, addresses, [sock.fileno() for _, sock in some])


def _tell(
    keeper: Worker, what: str, number: int, addresses: Sequence[str] = (), fds: Sequence[int] = ()
) -> None:
    keeper.hand(json.dumps([what, number, addresses]).encode(), fds)
