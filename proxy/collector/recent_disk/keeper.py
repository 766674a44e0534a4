"""Keeper: what the collector has of recent telemetry on disk: none, or one Archive at a time.

Owns that the archive follows the ring and the configuration, and what is told of it: its condition
for the log and /pipelines, its numbers for /metrics. The disk itself is the archive's matter.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.collector.condition import Condition
from proxy.collector.startup import file_trouble
from proxy.config.see_model import Recent
from proxy.recent.ring import Ring
from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Series

if TYPE_CHECKING:
    from proxy.collector.recent_disk.archive import Archive, Trouble

SIZE = Instrument(
    "spangate.recent.disk.size", Kind.GAUGE, "By", "Bytes of recent telemetry on disk."
)
DROPPED = Instrument(
    "spangate.recent.disk.dropped",
    Kind.COUNTER,
    "",
    "Spans and log records that are not on disk, and are in memory for a while.",
)
_ALONE = "what is recent is kept in memory alone"
SECONDS = 2.0  # at most, for what waits when a folder is left


class Keeper:
    """Of one ring. To be used on one loop."""

    def __init__(self, ring: Ring) -> None:
        self.archive: Archive | None = None
        self.condition = Condition("recent telemetry on disk")
        self._ring = ring
        self._path = ""
        self._lost = {"queue_full": 0, "unavailable": 0, "write_failed": 0}  # by earlier archives

    async def follow(self, recent: Recent) -> None:
        """Keep what comes where that configuration says."""
        path = recent.path if recent.size and recent.disk else ""
        if self.archive is not None and path == self._path:
            self.archive.resize(recent.disk)
            return
        await self.stop()
        if path:
            from proxy.collector.recent_disk.archive import Archive

            self._path = path
            told = partial(self._hear, asyncio.get_running_loop())
            self.archive = Archive(Path(path), recent.disk, told)
            self._ring.followers.append(self.archive.add)
            self.condition.state = "running"
            self.archive.start()

    async def stop(self, seconds: float = SECONDS) -> None:
        """Write what waits, for so long at most."""
        archive, self.archive = self.archive, None
        if archive is None:
            return
        self._ring.followers.remove(archive.add)
        await asyncio.to_thread(archive.stop, seconds)
        self._lost = self._counted(archive)
        self._path = ""
        self.condition.over()
        self.condition.state = "stopped"

    def series(self) -> Iterator[Series]:
        """For /metrics; nothing where it is not used and was not."""
        archive = self.archive
        if archive is not None:
            yield Series(SIZE, (), archive.size)
        if archive is not None or any(self._lost.values()):
            for reason, items in self._counted(archive).items():
                yield Series(DROPPED, (("reason", reason),), items)

    def view(self) -> dict[str, Any]:
        """For /pipelines."""
        archive, own = self.archive, self.condition.own
        if archive is None:
            return {}
        told: dict[str, Any] = {
            "path": self._path,
            "state": self.condition.state,
            "healthy": not self.condition.troubled,
            "bytes": archive.size,
            "capacity": archive.limit,
            "dropped": {reason: n for reason, n in self._counted(archive).items() if n},
        }
        if own.error:
            told["last_error"] = own.error
        return told

    def _counted(self, archive: Archive | None) -> dict[str, int]:
        if archive is None:
            return self._lost
        return {reason: n + getattr(archive.lost, reason) for reason, n in self._lost.items()}

    def _hear(self, loop: asyncio.AbstractEventLoop, what: Trouble) -> None:
        """In the archive's thread."""
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._told, what)

    def _told(self, what: Trouble) -> None:
        from proxy.collector.queues.disk.lock import Busy

        if what is None:
            self.condition.over()
        elif isinstance(what, Busy):
            if not what.ours:  # else a gateway that hands over to this one
                self.condition.warn(f"{what}; {_ALONE}; give each gateway a folder")
        elif isinstance(what, OSError):
            trouble = file_trouble("recent.path", what.filename or self._path, what)
            why = (
                trouble.message
                if what.filename
                else f"{self._path}: {os.strerror(what.errno or 0)}"
            )
            self.condition.warn(f"{why}; {_ALONE}; {trouble.remedy}")
        else:
            self.condition.warn(what)
