"""View: a store in memory and what lies on disk, as one question sees them.

What is on disk comes from another thread: a generator that needs some of it yields a Wait, and goes
on when whoever steps it has waited for it. What is in memory is left out of what comes from disk,
by the numbers of batches, so that nothing is there twice.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from proxy.recent.ring import Store, Stored

Wait = Future[Any]
Step = Any  # a Wait, or None: what generators here yield
Piece = tuple[list[Stored], int]  # batches, and where to go on; 0 = nowhere
NONE = 1 << 63  # above all numbers


class Run(Protocol):
    """Batches that were stored one after the other. Times in Unix ns."""

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...

    def fetch(self, at: int) -> Future[Piece]:
        """Some of them; `at` is 0 for the first, or what came with those before."""


class Archive(Protocol):
    """What is on disk. Futures bring what can be read, and no errors."""

    def has(self, number: int) -> bool:
        """Whether that batch of this process is there."""

    def runs(self, below: int) -> Sequence[Run]:
        """The latest first; of this process, batches with lesser numbers alone."""

    def find(self, ids: Collection[bytes], below: int) -> Future[list[Stored]]:
        """All that is there of these traces."""


class View:
    """A Store, for one question: it stays as it was when that was asked."""

    __slots__ = ("_archive", "_batches", "_below", "_kept", "_recalled", "_store")

    def __init__(self, store: Store, archive: Archive) -> None:
        self._store = store
        self._archive = archive
        self._batches = store.batches()
        self._below = self._batches[0].number if self._batches else NONE
        self._kept = [stored for stored in store.kept() if not archive.has(stored.number)]
        self._recalled: dict[bytes, list[Stored]] = {}

    def batches(self, after: int = 0) -> list[Stored]:
        return self._store.batches(after) if after else self._batches

    def kept(self) -> list[Stored]:
        """What is in memory alone."""
        return self._kept

    def runs(self) -> Sequence[Run]:
        return self._archive.runs(self._below)

    def recalled(self) -> list[Stored]:
        """What was fetched by `recall`."""
        return [stored for found in self._recalled.values() for stored in found]

    def recall(self, ids: Collection[bytes]) -> Generator[Wait, None, None]:
        wanted = [trace_id for trace_id in ids if trace_id not in self._recalled]
        if not wanted:
            return
        found = self._archive.find(wanted, self._below)
        yield found
        self._recalled.update({trace_id: [] for trace_id in wanted})
        self._recalled[wanted[0]] = found.result()


def recall(store: Store, ids: Collection[bytes]) -> Generator[Wait, None, None]:
    """Have what is on disk of these traces at hand, for `trace_of` and `payload_of`."""
    if isinstance(store, View):
        yield from store.recall(ids)


def at_hand(store: Store) -> list[Stored]:
    """All batches that need not be waited for, each once."""
    recalled = store.recalled() if isinstance(store, View) else ()
    return [*recalled, *store.kept(), *store.batches()]


def runs_of(store: Store) -> Sequence[Run]:
    """What else there is, on disk."""
    return store.runs() if isinstance(store, View) else ()
