"""DiskQueue: a queue that outlives the process; used like `Queue`, bounded by bytes of files.

Owns what happens when the disk does not do its part. A batch is in a file before `put` returns.
When the file system takes nothing (full, read-only, broken) batches wait in memory up to the
bound that a queue without a disk has, and go to disk as soon as that works again, which is tried
by itself. In the books an item is in one place throughout: what an earlier process left is
created anew when it is found, and what is left at the end stays queued, on disk. The log is used
by the loop alone; reading what is not in the page cache, and synchronising, are for threads.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from pathlib import Path

from proxy import tasks
from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.parts import Queue as Settings
from proxy.collector.queues.disk.books import DiskBooks
from proxy.collector.queues.disk.lock import Busy, directory_name
from proxy.collector.queues.disk.log import Cold, DiskLog
from proxy.collector.queues.disk.segment import Taken
from proxy.collector.queues.disk.sync import Sync
from proxy.collector.queues.memory import Queue
from proxy.collector.startup import file_trouble
from proxy.errors import ConfigError, Problem

_KEY = "sending_queue.storage"
AGAIN = 0.5  # seconds between two tries of a disk that takes nothing
BREATH = 0.01  # seconds between two pieces of what is moved from memory to disk
PIECE = 1024 * 1024  # bytes of it, about 1 ms
# Wrong from the beginning, and not by itself right again: said when the exporter starts.
HOPELESS = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EROFS, errno.EEXIST, errno.ENAMETOOLONG}


class DiskQueue:
    """Batches in order of arrival. `limit` and `size` in bytes; 0 = no limit."""

    __slots__ = (
        "_again", "_batches", "_books", "_closed", "_directory", "_kept", "_log", "_memory",
        "_memory_limit", "_memory_size", "_oldest_goes", "_opening", "_sync", "_taken", "_wake",
        "limit",
    )  # fmt: skip

    def __init__(self, settings: Settings, context: Context) -> None:
        self.limit: int = settings.storage_size
        self._directory = Path(settings.storage) / directory_name(context.id)
        self._oldest_goes = settings.drop == "oldest"
        self._memory_limit = settings.queue_size
        self._memory: deque[Batch] = deque()
        self._memory_size = 0  # waiting and taken
        self._taken: list[tuple[Batch, Taken | None]] = []  # as many as there are senders
        self._log: DiskLog | None = None
        self._books = DiskBooks(context, self._directory)
        self._sync = Sync(settings.fsync, settings.fsync_interval, self._books.wrong)
        self._wake = asyncio.Event()
        self._closed = False
        self._kept = False  # something was left for the next process: nothing more is begun
        self._again: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._books.show_memory(lambda: self._memory_size)

    @property
    def size(self) -> int:
        """Bytes of files, and of what is in memory."""
        return self._memory_size + (self._log.size if self._log is not None else 0)

    async def start(self) -> None:
        """Find what an earlier process left; ConfigError if the directory cannot be used."""
        try:
            await self._open()
        except Busy as busy:
            if not busy.ours:
                problem = Problem(_KEY, str(busy), "give each gateway a directory")
                raise ConfigError([problem]) from None
        except OSError as error:
            if error.errno in HOPELESS:
                path = error.filename or self._directory
                raise ConfigError([file_trouble(_KEY, path, error)]) from error
            self._books.wrong(error)
        self._mend_later(AGAIN if self._log is None else 0.0)

    def put(self, batch: Batch) -> bool:
        """False if there is no room, or the queue is closed."""
        if self._closed:
            return False
        stored = self._store(batch) if not self._memory else None
        if stored is None:
            stored = self._remember(batch)
        if stored:
            self._books.entered(batch)
            self._wake.set()
        return stored

    async def get(self) -> Batch | None:
        """The oldest batch, which stays counted until `done`; None when closed and empty."""
        while True:
            try:
                batch = self._next(wait=False)
            except Cold as cold:
                await asyncio.to_thread(cold.warm)
                batch = self._next(wait=True)
            if batch is not None:
                return batch
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()

    def done(self, batch: Batch) -> None:
        """The batch taken with `get` was sent, or given up."""
        taken = self._release(batch)
        self._books.left(batch)
        if taken is None:
            self._memory_size -= batch.size
            return
        assert self._log is not None
        try:
            self._log.done(taken)
        except OSError as error:  # should this process end, it is sent once more
            self._books.wrong(error)
        self._sync.touch(self._log)

    def keep(self, batch: Batch) -> bool:
        """Leave a batch that was taken to the next process; False if it is in memory only.

        Called when stopping, because the other side takes nothing: `get` then ends.
        """
        self._kept = True
        taken = self._release(batch)
        if taken is not None and self._log is not None and self._log.keep(taken):
            return True
        if taken is None:
            self._memory_size -= batch.size
        if self._store(batch):
            return True
        self._memory_size += batch.size
        self._taken.append((batch, None))
        return False

    def items(self, signal: Signal) -> int:
        """Items of that signal, waiting and taken."""
        return self._books.items[signal]

    def close(self) -> None:
        """Refuse what comes; `get` hands out what is there and then None."""
        self._closed = True
        self._wake.set()

    def drain(self) -> list[Batch]:
        """Let go: what is on disk stays there; returns what is in memory and cannot."""
        self.close()
        lost = [batch for batch, _ in list(self._taken) if not self.keep(batch)]
        lost += [batch for batch in self._memory if not self._store(batch)]
        for batch in lost:
            self._books.left(batch)
        self._taken.clear()
        self._memory.clear()
        self._memory_size = 0
        return lost

    async def stop(self) -> None:
        """After `drain`: synchronise, close, and free the directory for others."""
        if self._again is not None:
            self._again.cancel()
        await tasks.cancel(self._opening)
        await self._sync.stop()
        if self._log is not None:
            self._log.close()
            self._log = None
        self._books.close()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(None, DiskLog, self._directory, self.limit)
        try:
            log = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_abandon)
            raise
        self._books.recovered(log)
        self._log = log
        self._wake.set()

    def _store(self, batch: Batch) -> bool | None:
        """Write it; False: the log is full, None: that cannot be done now."""
        log = self._log
        if log is None:
            return None
        try:
            if not log.has_room(batch) and not self._make_room(log, batch):
                return False
            log.append(batch)
        except OSError as error:
            self._books.wrong(error)
            self._mend_later(AGAIN)
            return None
        self._sync.touch(log)
        self._books.well()
        return True

    def _make_room(self, log: DiskLog, batch: Batch) -> bool:
        if not self._oldest_goes or batch.size > self.limit // 2:
            return False
        while not log.has_room(batch):
            given_up = log.discard()
            if given_up is None:
                return False
            self._books.drop(given_up, "queue_full_oldest")
        return True

    def _remember(self, batch: Batch) -> bool:
        if self._memory_limit and self._memory_size + batch.size > self._memory_limit:
            return False
        batch.forget()
        self._memory.append(batch)
        self._memory_size += batch.size
        return True

    def _next(self, *, wait: bool) -> Batch | None:
        """What is on disk came before what is in memory."""
        if self._kept:
            return None
        log, taken = self._log, None
        if log is not None:
            try:
                taken = log.take(wait=wait)
            except OSError as error:
                self._books.wrong(error)
            self._books.drop(log.losses(), "corrupt")
        if taken is not None:
            self._taken.append((taken.batch, taken))
            return taken.batch
        if not self._memory:
            return None
        batch = self._memory.popleft()
        self._taken.append((batch, None))
        return batch

    def _release(self, batch: Batch) -> Taken | None:
        for index, (other, taken) in enumerate(self._taken):
            if other is batch:
                del self._taken[index]
                return taken
        raise ValueError(f"{batch} was not taken")

    def _mend_later(self, seconds: float) -> None:
        if self._again is None and not self._closed:
            self._again = asyncio.get_running_loop().call_later(seconds, self._mend)

    def _mend(self) -> None:
        """Open what could not be opened, write what could not be written."""
        self._again = None
        if self._closed:
            return
        if self._log is None:
            self._opening = tasks.spawn(self._reopen(), "open the queue on disk")
            return
        if self._flush():
            self._books.well()

    def _flush(self) -> bool:
        """Move a piece of what is in memory; whether that was all."""
        written = 0
        while self._memory and written < PIECE:
            batch = self._memory[0]
            if not self._store(batch):
                self._mend_later(AGAIN)
                return False
            self._memory.popleft()
            self._memory_size -= batch.size
            written += batch.size
        if self._memory:
            self._mend_later(BREATH)
        return not self._memory

    async def _reopen(self) -> None:
        try:
            await self._open()
        except Busy as busy:
            if not busy.ours:
                self._books.wrong(OSError(str(busy)))
        except OSError as error:
            self._books.wrong(error)
        self._mend_later(AGAIN if self._log is None else 0.0)

    def __repr__(self) -> str:
        return f"<DiskQueue {self._log} | {len(self._memory)} in memory | {self.size} B>"


AnyQueue = Queue | DiskQueue


def make_queue(settings: Settings, context: Context) -> AnyQueue:
    """The queue of an exporter, in memory or on disk; to be started and stopped with it."""
    return DiskQueue(settings, context) if settings.storage else Queue(settings.queue_size)


def _abandon(opening: asyncio.Future[DiskLog]) -> None:
    """The queue was stopped while it was being opened."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
