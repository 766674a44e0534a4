"""Log: the segments of one directory as one queue: appended at one end, taken from the other.

Owns the directory, the order and the bound in bytes. Knows no event loop, no books and no
policy: every call is synchronous and may raise OSError, and whoever calls decides what becomes of
the batch then. Making one reads the headers of all that an earlier process left, for a thread.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from proxy.collector.batch import SIGNALS, Batch, Signal
from proxy.collector.queues.disk import record
from proxy.collector.queues.disk.lock import Lock
from proxy.collector.queues.disk.segment import Cold as Cold
from proxy.collector.queues.disk.segment import Segment, Taken

SUFFIX = ".queue"
SHARE = 32  # segments in a full log: a partly delivered one holds 3 % of the room at most
LARGEST = 16 * 1024 * 1024  # bytes of a segment
SMALLEST = 4 * 1024

Losses = list[tuple[Signal, int]]


class DiskLog:
    """`limit` in bytes of files, 0 = no limit. `size` is what the files take.

    `lost` is what was found damaged and not yet asked for (`losses`); `unknown` counts stretches
    of bytes in which no record could be found.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self.directory = directory
        self.limit = limit
        self.size = 0
        self.unknown = 0
        self._lost: Losses = []
        self._largest = max(SMALLEST, min(LARGEST, limit // SHARE)) if limit else LARGEST
        self._alive: list[Segment] = []  # in order of age
        self._unread: deque[Segment] = deque()  # of these, where the reader is and what follows
        self._active: Segment | None = None  # the last one, unless it is of an earlier process
        self._taken: list[Taken] = []
        self._dirty: dict[Segment, None] = {}  # written and not synchronised
        self._named = False  # whether a file was made since the directory was synchronised
        self._garbage: list[int] = []
        self._next = 1
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = Lock(directory)
        try:
            self._recover()
        except BaseException:
            self._lock.release()
            raise

    @property
    def is_dirty(self) -> bool:
        """Whether there is anything for `unsynced` or `garbage` to give."""
        return bool(self._dirty or self._garbage)

    @property
    def waiting(self) -> int:
        """Records that were not taken."""
        return sum(segment.waiting for segment in self._unread)

    def items(self) -> dict[Signal, int]:
        """Of records that were not taken; for the first look, it walks over all segments."""
        return {s: sum(segment.unread[s] for segment in self._unread) for s in SIGNALS}

    def has_room(self, batch: Batch) -> bool:
        if not self.limit:
            return True
        if self.size + self._need(batch) <= self.limit:
            return True
        self._drop_idle()
        return self.size + self._need(batch) <= self.limit

    def append(self, batch: Batch) -> None:
        """Raises OSError with nothing changed."""
        segment = self._to_write(batch.size)
        before = segment.size
        segment.append(batch)
        self._grew(segment, before)

    def take(self, *, wait: bool = False) -> Taken | None:
        """The oldest record that waits; None if there is none. Damaged ones go to `losses`.

        Raises Cold, with nothing changed, if it would have to wait for the disk.
        """
        while self._unread:
            segment = self._unread[0]
            found = segment.take(wait=wait)
            if found is None:
                if segment is self._active:
                    if segment.waiting:
                        self._lost += segment.give_up()
                    return None
                self._leave(segment)
                continue
            taken, whole = found
            self._taken.append(taken)
            if whole:
                return taken
            self._lost.append((taken.batch.signal, taken.batch.items))
            self.done(taken)
        return None

    def done(self, taken: Taken) -> None:
        """It was delivered or given up, and will not be taken again."""
        self._taken.remove(taken)
        if (segment := taken.segment) is None:
            return
        segment.taken -= 1
        if segment is self._active or segment.taken or segment.waiting:
            segment.mark(taken)
        else:
            self._remove(segment)

    def keep(self, taken: Taken) -> bool:
        """Leave it to the next process; False if it is not on disk."""
        self._taken.remove(taken)
        return taken.segment is not None

    def discard(self) -> Losses | None:
        """Delete the oldest segment; what nobody had read is given up. None: nothing to be had.

        What is taken just now is written again at the end: somebody is at work on it, and should
        that fail, or this process, it is not among those that were given up.
        """
        if not any(segment.waiting for segment in self._unread):
            return None
        segment = self._alive[0]
        if segment is self._active:
            self._active = None
        given_up = segment.give_up()
        moving = [taken for taken in self._taken if taken.segment is segment]
        self._remove(segment)
        for taken in moving:
            taken.segment = None
            with contextlib.suppress(OSError):  # it is in memory as long as somebody has it
                self._move(taken)
        return given_up

    def losses(self) -> Losses:
        """What was found damaged since the last call: in the queue until now, never delivered."""
        lost, self._lost = self._lost, []
        return lost

    def unsynced(self) -> list[int]:
        """Descriptors to synchronise and close, each the caller's own."""
        fds: list[int] = []
        with contextlib.suppress(OSError):  # out of descriptors: the rest next time
            while self._dirty:
                segment = next(iter(self._dirty))
                fds.append(os.dup(segment.fd))
                del self._dirty[segment]
                self._rest(segment)
            if self._named:
                fds.append(os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC))
                self._named = False
        return fds

    def garbage(self) -> list[int]:
        """Descriptors of deleted files: closing them frees their space, and takes its time."""
        garbage, self._garbage = self._garbage, []
        return garbage

    def close(self) -> None:
        """Everything that is not done stays for the next process."""
        with contextlib.suppress(OSError):
            self._drop_idle()
        for fd in self.garbage():
            os.close(fd)
        for segment in self._alive:
            segment.close()
        self._lock.release()

    def _need(self, batch: Batch) -> int:
        return len(record.FILE_HEADER) + record.SIZE + batch.size

    def _to_write(self, payload: int) -> Segment:
        active = self._active
        if active is not None and (
            active.size + record.SIZE + payload <= self._largest
            or active.size == len(record.FILE_HEADER)
        ):
            return active
        segment = Segment.create(self.directory / f"{self._next:016d}{SUFFIX}")
        self._next += 1
        self._active = segment
        self._alive.append(segment)
        self._unread.append(segment)
        self._named = True
        self.size += segment.size
        if active is not None:
            self._retire(active)
        return segment

    def _grew(self, segment: Segment, before: int) -> None:
        self.size += segment.size - before
        self._dirty[segment] = None

    def _retire(self, segment: Segment) -> None:
        """It is not written any more."""
        if not segment.waiting and not segment.taken:
            self._remove(segment)
        else:
            self._rest(segment)

    def _rest(self, segment: Segment) -> None:
        """Close the file of one that is neither written nor read, so that few are open."""
        reading = bool(self._unread) and segment is self._unread[0]
        if segment is not self._active and not reading and not segment.taken:
            segment.close()

    def _leave(self, segment: Segment) -> None:
        """The reader goes on; what could not be found there is lost."""
        if segment.waiting:
            self._lost += segment.give_up()
        self._unread.popleft()
        if not segment.taken:
            self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        """Whatever the file system says: a file that stays is found by the next process."""
        self._alive.remove(segment)
        with contextlib.suppress(ValueError):
            self._unread.remove(segment)
        self._dirty.pop(segment, None)
        self.size -= segment.size
        if (fd := segment.remove()) >= 0:
            self._garbage.append(fd)

    def _drop_idle(self) -> None:
        """Delete the segment that is written if nothing in it is of use."""
        active = self._active
        if active is not None and not active.waiting and not active.taken:
            self._active = None
            self._remove(active)

    def _move(self, taken: Taken) -> None:
        segment = self._to_write(taken.batch.size)
        before = segment.size
        segment.adopt(taken)
        self._grew(segment, before)

    def _recover(self) -> None:
        for path in _numbered(self.directory.iterdir()):
            self._next = int(path.stem) + 1
            segment = Segment.recover(path)
            if segment is None:  # of a later version: not ours to judge
                continue
            self._lost += segment.damaged
            self.unknown += segment.lost
            if segment.waiting:
                self._alive.append(segment)
                self._unread.append(segment)
                self.size += segment.size
            else:
                with contextlib.suppress(OSError):
                    path.unlink()

    def __repr__(self) -> str:
        return f"<DiskLog {self.waiting} waiting | {len(self._taken)} taken | {self.size} B>"


def _numbered(paths: Iterable[Path]) -> list[Path]:
    """Files of ours, in order."""
    ours = [path for path in paths if path.suffix == SUFFIX and path.stem.isdecimal()]
    return sorted(ours, key=lambda path: int(path.stem))
