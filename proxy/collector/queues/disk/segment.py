"""Segment: one file of the queue on disk: written at its end, read in order, then deleted.

Owns a file and what is known of its records; which segment is written or read is the log's
matter. A record that is finished is marked in place, one byte, so that records may finish in any
order and none that was delivered is sent again. Every call may raise OSError; `append` then has
left no trace.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from proxy.collector.batch import SIGNALS, Batch, Signal
from proxy.collector.queues.disk import record
from proxy.collector.queues.disk.record import FILE_HEADER, Header

_CHUNK = 1024 * 1024  # bytes read at once in the search for the next record
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)  # Linux
_FLAGS = os.O_RDWR | os.O_CLOEXEC


class Cold(Exception):
    """What should be read is not in the page cache: to be read elsewhere first (`warm`)."""

    def __init__(self, path: Path, at: int, length: int) -> None:
        super().__init__(str(path))
        self.path = path
        self.at = at
        self.length = length

    def warm(self) -> None:
        """Have the kernel read it; for a thread. Uses nothing that the loop may change."""
        with contextlib.suppress(OSError), open(self.path, "rb", buffering=0) as file:
            left = self.length
            while left > 0 and (got := os.pread(file.fileno(), min(left, _CHUNK), self.at)):
                self.at += len(got)
                left -= len(got)


class Taken:
    """A record that was read and is not done; it may have to move to another segment."""

    __slots__ = ("at", "batch", "segment")

    def __init__(self, segment: Segment | None, at: int, batch: Batch) -> None:
        self.segment = segment  # None: it is no longer on disk
        self.at = at
        self.batch = batch


class Segment:
    """`size` bytes of the file are ours; `unread` items by signal, in `waiting` records."""

    __slots__ = ("_fd", "_next", "damaged", "lost", "path", "size", "taken", "unread", "waiting")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.waiting = 0
        self.taken = 0
        self.unread: dict[Signal, int] = dict.fromkeys(SIGNALS, 0)
        self.lost = 0  # unreadable stretches, contents unknown
        self.damaged: list[tuple[Signal, int]] = []  # records cut off, found by `recover`
        self._fd = -1
        self._next = len(FILE_HEADER)  # where the reader is

    @classmethod
    def create(cls, path: Path) -> Segment:
        segment = cls(path)
        segment._fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            segment._write(FILE_HEADER, b"")
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            segment.close()
            raise
        return segment

    @classmethod
    def recover(cls, path: Path) -> Segment | None:
        """What an earlier process left; None for a file that is none of this format."""
        segment = cls(path)
        segment.size = os.fstat(segment.fd).st_size
        begin = os.pread(segment.fd, len(FILE_HEADER), 0)
        named = begin.startswith(FILE_HEADER[:-1])
        at = len(FILE_HEADER) if named else 0
        while at < segment.size:
            at = segment._survey(at)
        segment.close()
        known = begin == FILE_HEADER or not named or segment.waiting or segment.damaged
        return segment if known else None

    @property
    def fd(self) -> int:
        if self._fd < 0:
            self._fd = os.open(self.path, _FLAGS)
        return self._fd

    def append(self, batch: Batch) -> None:
        self._write(record.encode(batch), batch.payload)
        self.waiting += 1
        self.unread[batch.signal] += batch.items

    def adopt(self, taken: Taken) -> None:
        """Write a record that was taken from a segment which has to go."""
        at = self.size
        self._write(record.encode(taken.batch), taken.batch.payload)
        taken.segment, taken.at = self, at
        self.taken += 1

    def take(self, *, wait: bool = False) -> tuple[Taken, bool] | None:
        """The next record that waits, and whether it is whole; None at the end.

        Raises Cold, with nothing changed, if it had to wait for the disk and `wait` is False.
        """
        while self._next < self.size:
            at = self._next
            header = record.decode(self._read(at, record.SIZE, wait))
            if header is None or self._end(at, header) > self.size:
                self._next = self._search(at + 1)
                continue
            if not self._is_due(header):
                self._next = self._end(at, header)
                continue
            payload = self._read(at + record.SIZE, header.length, wait)
            self._next = self._end(at, header)
            self.waiting -= 1
            self.taken += 1
            self.unread[header.signal] -= header.items
            whole = record.is_whole(header, payload)
            return Taken(self, at, Batch(header.signal, payload, header.items)), whole
        return None

    def is_passed(self) -> bool:
        """Whether the reader is at the end."""
        return self._next >= self.size

    def mark(self, taken: Taken) -> None:
        """The record is done, for every reader to come."""
        os.pwrite(self.fd, bytes((record.DONE,)), taken.at + record.STATE_AT)

    def give_up(self) -> list[tuple[Signal, int]]:
        """Items of every signal that were never read; they are forgotten."""
        left = [(signal, items) for signal, items in self.unread.items() if items]
        self.unread = dict.fromkeys(SIGNALS, 0)
        self.waiting = 0
        self._next = self.size
        return left

    def remove(self) -> int:
        """Delete the file; returns a descriptor, or -1, whose closing frees the space.

        Freeing 16 MiB took 3 ms on ext4, unlinking alone 0.06.
        """
        fd = -1
        with contextlib.suppress(OSError):
            fd = self.fd
        self._fd = -1
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            if fd >= 0:
                os.close(fd)
            raise
        return fd

    def close(self) -> None:
        """It is opened again when needed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, header: bytes, payload: bytes) -> None:
        wanted = len(header) + len(payload)
        try:
            written = os.pwritev(self.fd, (header, payload), self.size)
            if written != wanted:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            # What was begun lies beyond `size` and is written over if it cannot be cut off.
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, self.size)
            raise
        self.size += wanted

    def _read(self, at: int, length: int, wait: bool) -> bytes:
        """`length` bytes, fewer at the end of the file."""
        if wait or not _NOWAIT:
            return os.pread(self.fd, length, at)
        buffer = bytearray(length)
        try:
            got = os.preadv(self.fd, [buffer], at, _NOWAIT)
        except BlockingIOError:
            got = -1
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:  # tmpfs, which never waits
                raise
            return os.pread(self.fd, length, at)
        if got != length and at + length <= self.size:
            raise Cold(self.path, at, length)
        return bytes(memoryview(buffer)[:got])

    def _is_due(self, header: Header) -> bool:
        """Not what was done, nor what somebody has put into the file meanwhile."""
        return not header.done and self.waiting > 0 and header.items <= self.unread[header.signal]

    def _end(self, at: int, header: Header) -> int:
        return at + record.SIZE + header.length

    def _survey(self, at: int) -> int:
        """Count the record at `at`; returns where to go on."""
        header = record.decode(os.pread(self.fd, record.SIZE, at))
        if header is None:
            self.lost += 1
            return self._search(at + 1)
        if self._end(at, header) > self.size:
            if not header.done:
                self.damaged.append((header.signal, header.items))
            return self._search(at + 1)
        if not header.done:
            self.waiting += 1
            self.unread[header.signal] += header.items
        return self._end(at, header)

    def _search(self, start: int) -> int:
        """Where the next header begins, or the end."""
        while start < self.size:
            chunk = os.pread(self.fd, _CHUNK, start)
            if (found := record.find(chunk)) >= 0:
                return start + found
            if len(chunk) < record.SIZE:
                break
            start += len(chunk) - record.SIZE + 1  # a header may lie across the border
        return self.size

    def __repr__(self) -> str:
        return f"<Segment {self.path.name}: {self.waiting} waiting | {self.taken} taken>"
