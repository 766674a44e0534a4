"""Archive: recent telemetry on disk: what comes is written, and what is asked for is read.

One thread touches the disk, whatever it does there, and the loop does no more than put a batch into
its hands. At most HANDS bytes wait for it; what is beyond that is dropped and counted, and so is
what the disk does not take. The ring in memory knows nothing of it. What was written survives the
process, however that ends: it waits FLUSH seconds at most, to be written with others.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

from proxy.collector.queues.disk.lock import Busy
from proxy.collector.recent_disk.segment import Sealed
from proxy.collector.recent_disk.shelf import Shelf
from proxy.otlp.wire import WireError
from proxy.recent.ring import Stored
from proxy.recent.view import Piece

log = logging.getLogger("spangate")

FLUSH = 0.2  # seconds
HANDS = 8 * 1024 * 1024  # bytes that wait to be written
AGAIN = 1.0  # seconds between two tries of a disk that takes nothing
LOT = 2 * 1024 * 1024  # bytes that are written at once

Result = TypeVar("Result")
Trouble = OSError | Busy | str | None  # None: all is well again
Told = Callable[[Trouble], None]
Job = Callable[[], None]


class Lost:
    """Spans and records that are in memory alone, by why; each number has one writer."""

    __slots__ = ("queue_full", "unavailable", "write_failed")

    def __init__(self) -> None:
        self.queue_full = 0  # the disk is slower than what comes
        self.unavailable = 0  # the folder cannot be used, or is another's
        self.write_failed = 0  # the disk took nothing


class Archive:
    """`told` is called in its thread: with what is wrong, or None when all is well again."""

    def __init__(self, folder: Path, limit: int, told: Told, flush: float = FLUSH) -> None:
        self.lost = Lost()
        self.size = 0  # bytes of all files
        self._folder = folder
        self.limit = limit
        self._told = told
        self._run = secrets.randbits(63)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._waiting: deque[Stored] = deque()
        self._handed = self._done = 0  # bytes, counted by the loop and by the thread
        self._ranges: tuple[tuple[int, int], ...] = ()  # numbers that are written
        self._gone = 0
        self._files: tuple[Sealed, ...] = ()
        self._shelf: Shelf | None = None
        self._troubled = False
        self._again = 0.0  # when the disk is tried again, of the monotonic clock
        self._ending = False
        self._flush_after = flush  # seconds
        self._thread = threading.Thread(target=self._work, name="recent on disk", daemon=True)

    def start(self) -> None:
        """Open the folder, in the thread; what comes waits for that."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Write what waits, and free the folder. Waits, for so long at most."""
        self._ending = True
        self._jobs.put(None)
        self._thread.join(max(0.0, seconds))

    def add(self, stored: Stored) -> None:
        """Keep that batch; by the loop alone."""
        if self._handed - self._done + stored.size > HANDS or self._ending:
            if self._shelf is None:
                self.lost.unavailable += stored.items
            else:
                self.lost.queue_full += stored.items
            return
        self._handed += stored.size
        self._waiting.append(stored)
        if len(self._waiting) == 1:  # else who has put the first has said so
            self._jobs.put(None)

    def resize(self, limit: int) -> None:
        """As another configuration says."""
        self.limit = limit
        self._jobs.put(self._trim_now)

    def has(self, number: int) -> bool:
        """Whether that batch of this process is there."""
        if number <= self._gone:
            return False
        return any(first <= number <= last for first, last in self._ranges)

    def runs(self, below: int) -> Sequence[_Run]:
        """What can be searched, the latest first; of this process, lesser numbers alone."""
        return [_Run(self, file, below) for file in self._files]

    def find(self, ids: Collection[bytes], below: int) -> Future[list[Stored]]:
        """All that is there of these traces, and of them alone."""
        return self._ask(lambda: self._found(ids, below), [])

    def fetch(self, file: Sealed, at: int, below: int) -> Future[Piece]:
        """Some batches of a file."""
        return self._ask(lambda: self._read(file, at, below), ([], 0))

    def _ask(self, work: Callable[[], Result], nothing: Result) -> Future[Result]:
        future: Future[Result] = Future()
        if self._ending or not self._thread.is_alive():
            future.set_result(nothing)
            return future
        self._jobs.put(lambda: self._answer(future, work, nothing))
        return future

    # What follows is done by the thread.

    def _answer(self, future: Future[Result], work: Callable[[], Result], nothing: Result) -> None:
        if not future.set_running_or_notify_cancel():
            return
        result = nothing
        try:
            result = work()
        except FileNotFoundError:
            pass  # it made room meanwhile
        except OSError as error:
            self._wrong(error)
        except WireError as error:
            self._wrong(f"a file has what is no telemetry: {error}")
        finally:
            future.set_result(result)

    def _work(self) -> None:
        """Until `stop`. What fails unexpectedly costs what was done, and is said."""
        due = 0.0  # when what waits has to be written; 0 = nothing waits
        while True:
            try:
                due = self._turn(due)
            except Exception:
                log.exception(
                    "recent telemetry on disk: this is a bug, please report it",
                    extra={"key": "recent.bug"},
                )
                due = time.monotonic() + AGAIN
            if self._ending and self._jobs.empty():
                break
        self._close()

    def _turn(self, due: float) -> float:
        """Do what there is to do, or wait for it; returns when to write."""
        if self._shelf is None and time.monotonic() >= self._again:
            self._open()
        job = self._next(due)
        if job is not None:
            job()
        if self._waiting and not due:
            due = time.monotonic() + self._flush_after
        if due and (time.monotonic() >= due or self._ending):
            self._flush()
            due = 0.0
        return due

    def _next(self, due: float) -> Job | None:
        now = time.monotonic()
        seconds: float | None = due - now if due else None
        if self._shelf is None:
            seconds = min(self._again - now, AGAIN if seconds is None else seconds)
        try:
            return self._jobs.get(timeout=None if seconds is None else max(0.0, seconds))
        except Empty:
            return None

    def _open(self) -> None:
        try:
            self._shelf = shelf = Shelf(self._folder, self.limit, self._run)
        except (OSError, Busy) as error:
            self._again = time.monotonic() + AGAIN
            self._wrong(error)
            return
        self._publish()
        if shelf.foreign:
            names = ", ".join(shelf.foreign[:3])
            self._wrong(f"{names} in {self._folder} cannot be read and is left alone; delete it")
        elif shelf.damaged:
            self._wrong(f"{shelf.damaged} batches in {self._folder} were damaged and are left out")
        else:
            self._well()

    def _flush(self) -> None:
        """Write what waits."""
        while self._waiting:
            if self._shelf is None and not self._ending:
                return
            lot, size = [self._waiting.popleft()], 0
            while self._waiting and (size := size + lot[-1].size) < LOT:
                lot.append(self._waiting.popleft())
            self._append(lot)
            self._done += sum(stored.size for stored in lot)
        if self._shelf is not None:
            self._publish()

    def _append(self, lot: list[Stored]) -> None:
        items = sum(stored.items for stored in lot)
        if self._shelf is None:
            self.lost.unavailable += items
        elif time.monotonic() < self._again:
            self.lost.write_failed += items
        else:
            try:
                self._shelf.append(lot)
            except OSError as error:
                self.lost.write_failed += items
                self._again = time.monotonic() + AGAIN
                self._wrong(error)
            else:
                self._note(lot)
                self._well()
                self._trim()

    def _note(self, lot: list[Stored]) -> None:
        ranges = list(self._ranges)
        for stored in lot:
            if ranges and ranges[-1][1] == stored.number - 1:
                ranges[-1] = ranges[-1][0], stored.number
            else:
                ranges.append((stored.number, stored.number))
        self._ranges = tuple(ranges[-1000:])

    def _publish(self) -> None:
        assert self._shelf is not None
        self._files = tuple(self._shelf.files())
        self._gone = self._shelf.gone
        self.size = self._shelf.size

    def _trim(self) -> None:
        if self._shelf is not None:
            try:
                self._shelf.trim()
            except OSError as error:
                self._wrong(error)

    def _trim_now(self) -> None:
        """To another limit."""
        if self._shelf is not None:
            self._shelf.limit = self.limit
            self._trim()
            self._publish()

    def _read(self, file: Sealed, at: int, below: int) -> Piece:
        batches, after = file.read(at)
        if file.index.run == self._run:
            batches = [stored for stored in batches if stored.number < below]
        return batches, after

    def _found(self, ids: Collection[bytes], below: int) -> list[Stored]:
        if self._shelf is None:
            return []
        return [
            stored
            for stored, run in self._shelf.find(ids)
            if run != self._run or stored.number < below
        ]

    def _close(self) -> None:
        self._flush()
        if self._shelf is not None:
            try:
                self._shelf.close()
            except OSError as error:
                self._wrong(error)

    def _wrong(self, what: OSError | Busy | str) -> None:
        self._troubled = True
        self._told(what)

    def _well(self) -> None:
        if self._troubled:
            self._troubled = False
            self._told(None)


class _Run:
    """One file, to be searched."""

    __slots__ = ("_archive", "_below", "_file", "first", "last")

    def __init__(self, archive: Archive, file: Sealed, below: int) -> None:
        self._archive = archive
        self._file = file
        self._below = below
        self.first = file.index.first
        self.last = file.index.last

    def fetch(self, at: int) -> Future[Piece]:
        return self._archive.fetch(self._file, at, self._below)
