"""Sync: brings what was written to the disk itself, in a thread, by one of three policies.

What is written survives the end of the process, a kill -9 too, without any of this; it is for
the end of the machine. Owns when, not what: the log says which files. One thread call at a time,
which takes everything that has been written since the last one, so that a slow disk is asked
seldom rather than late.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Literal

from proxy import tasks
from proxy.collector.queues.disk.log import DiskLog

Policy = Literal["always", "interval", "never"]

CLEAN_EVERY = 1.0  # seconds: with "never", space of deleted files is freed by these


class Sync:
    """`wrong` is told what the disk answered."""

    __slots__ = ("_log", "_pause", "_task", "_wanted", "_wrong")

    def __init__(self, policy: Policy, interval: float, wrong: Callable[[OSError], None]) -> None:
        self._wanted = policy != "never"
        self._pause = {"always": 0.0, "interval": interval, "never": CLEAN_EVERY}[policy]
        self._wrong = wrong
        self._task: asyncio.Task[None] | None = None
        self._log: DiskLog | None = None

    def touch(self, log: DiskLog) -> None:
        """Something was written or deleted. Cheap enough for every batch."""
        self._log = log
        if self._task is None and log.is_dirty:
            self._task = tasks.spawn(self._work(), "synchronise the queue on disk")

    async def stop(self) -> None:
        """Synchronise the last of it."""
        await tasks.cancel(self._task)
        self._task = None
        await self._turn()

    async def _work(self) -> None:
        log = self._log
        while log is not None and log.is_dirty:
            await asyncio.sleep(self._pause)
            await self._turn()
        self._task = None

    async def _turn(self) -> None:
        if self._log is None:
            return
        files, garbage = self._log.unsynced(), self._log.garbage()
        if not self._wanted:
            files, garbage = [], files + garbage
        error = await asyncio.to_thread(_synchronise, files, garbage)
        if error is not None:
            self._wrong(error)


def _synchronise(files: list[int], garbage: list[int]) -> OSError | None:
    """Synchronise the files, close all; the first error."""
    wrong: OSError | None = None
    for fd in files:
        try:
            os.fdatasync(fd)
        except OSError as error:
            wrong = wrong or error
    for fd in (*files, *garbage):
        with contextlib.suppress(OSError):
            os.close(fd)
    return wrong
