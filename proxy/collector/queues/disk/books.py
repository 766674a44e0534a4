"""DiskBooks: how a queue on disk stands in the books, and what it tells of itself.

Owns the count of items and the words about trouble; knows nothing of files but where they are.
An item that an earlier process left is created anew in the books of this one. What one exporter
of this process leaves and its successor finds (a reload) is the same item, created once: a
`Kept` in the ledger's places stands for it in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from proxy.collector.batch import SIGNALS, Batch, Signal
from proxy.collector.books import Ledger, Place
from proxy.collector.context import Context
from proxy.collector.queues.disk.log import DiskLog


class Kept:
    """Items that are in a directory while no queue has it open; a Place of a ledger."""

    __slots__ = ("directory", "items")

    def __init__(self, directory: Path, items: int) -> None:
        self.directory = directory
        self.items = items

    def __call__(self) -> int:
        return self.items


class DiskBooks:
    """`items` by signal: waiting and taken, on disk and in memory."""

    __slots__ = (
        "_condition", "_counters", "_directory", "_errors", "_ledgers", "_seats", "_troubled",
        "_unknown", "items",
    )  # fmt: skip

    def __init__(self, context: Context, directory: Path) -> None:
        self.items: dict[Signal, int] = dict.fromkeys(SIGNALS, 0)
        self._directory = directory
        self._ledgers = context.ledgers
        self._condition = context.condition
        self._counters = context.counters
        self._errors = context.counters.counter(
            "spangate_queue_storage_errors", "What the file system refused to a queue on disk."
        )
        self._unknown = context.counters.counter(
            "spangate_queue_unreadable",
            "Stretches of files of a queue on disk in which no record could be found.",
        )
        self._troubled = False
        self._seats: list[tuple[Ledger, Place]] = []

    def show_memory(self, read: Callable[[], int]) -> None:
        self._counters.gauge(
            "spangate_queue_memory", "What a queue on disk holds in memory.", read, "By"
        )

    def entered(self, batch: Batch) -> None:
        self.items[batch.signal] += batch.items

    def left(self, batch: Batch) -> None:
        self.items[batch.signal] -= batch.items

    def drop(self, losses: Iterable[tuple[Signal, int]], reason: str) -> None:
        """What was in the queue will never be delivered."""
        for signal, items in losses:
            self.items[signal] -= items
            self._ledgers[signal].drop(items, reason)
        # A line for each would say no more than the counters do.

    def recovered(self, log: DiskLog) -> None:
        """Enter what an earlier process, or an exporter before a reload, left behind."""
        damaged = dict.fromkeys(SIGNALS, 0)
        for signal, items in log.losses():
            damaged[signal] += items
        for signal, found in log.items().items():
            if not (found or damaged[signal] or signal in tuple(self._ledgers)):
                continue
            ledger = self._ledgers[signal]
            credit = self._credit(ledger)
            self._seat(ledger, signal)
            missing = credit - found - damaged[signal]
            ledger.created += max(0, -missing)
            ledger.drop(damaged[signal] + max(0, missing), "corrupt")
            self.items[signal] += found
        self._unknown.add(log.unknown)
        if log.unknown or any(damaged.values()):
            known = sum(damaged.values())
            self._condition.warn(f"queue on disk was damaged: {known} items lost in {log}")

    def wrong(self, error: OSError) -> None:
        """The file system refused something; `well` ends it."""
        self._errors.add()
        if not self._troubled:
            self._troubled = True
            self._condition.warn(f"queue on disk: {error}; telemetry waits in memory")

    def well(self) -> None:
        if self._troubled:
            self._troubled = False
            self._condition.over("the queue is on disk again")

    def close(self) -> None:
        """What is left stays queued, though no stage holds it."""
        for ledger, place in self._seats:
            ledger.places.remove(place)
        self._seats.clear()
        for signal, items in self.items.items():
            if items:
                self._ledgers[signal].places.append(Kept(self._directory, items))
                self.items[signal] = 0

    def _credit(self, ledger: Ledger) -> int:
        """What is in the books already, of what an exporter before left in this directory."""
        credit = 0
        for place in list(ledger.places):
            if isinstance(place, Kept) and place.directory == self._directory:
                credit += place.items
                ledger.places.remove(place)
        return credit

    def _seat(self, ledger: Ledger, signal: Signal) -> None:
        """The graph asks exporters for signals of pipelines, and a file may hold others."""
        if not ledger.places:
            place = partial(self._unasked, ledger, signal)
            ledger.places.append(place)
            self._seats.append((ledger, place))

    def _unasked(self, ledger: Ledger, signal: Signal) -> int:
        return self.items[signal] if len(ledger.places) == 1 else 0
