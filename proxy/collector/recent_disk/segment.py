"""Segment: one file of recent telemetry, and its index beside it.

It is written at its end by one process, sealed when it is full, and only read from then on. Every
call may raise OSError. What cannot be read as a record is passed over and counted.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.collector.recent_disk import index as indexes
from proxy.collector.recent_disk import record
from proxy.collector.recent_disk.index import Index, Indexer
from proxy.kernel.spanscan import Judge
from proxy.recent.ring import Stored

INDEX = ".index"
AT_ONCE = 1024 * 1024  # bytes that are read at once: less than a ms of the page cache
_MANY = 500  # buffers of one writev; Linux takes 1024


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file that is full. `index` has no ids: those are beside the file."""

    path: Path
    index: Index
    weight: int  # bytes, with its index

    def read(self, at: int) -> tuple[list[Stored], int]:
        """Batches from there on, about AT_ONCE bytes of them, and where to go on; 0 = nowhere."""
        return read(self.path, at or record.BEGIN, self.index.size)

    def ids(self) -> Index:
        """The whole index; made anew where it is lost."""
        return load(self.path) or self.index

    def take(self, index: Index, ids: Collection[bytes]) -> Iterator[Stored]:
        """The batches that may hold something of these traces."""
        with open(self.path, "rb", buffering=0) as file:
            for at in index.offsets(ids):
                if (stored := _one(file.fileno(), at)) is not None:
                    yield stored

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        beside(self.path).unlink(missing_ok=True)


class Open:
    """The file that is written."""

    __slots__ = ("_fd", "_indexer", "path", "size")

    def __init__(self, path: Path, run: int, judge: Judge) -> None:
        self.path = path
        self._indexer = Indexer(run, judge)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.size = 0
        try:
            self._write([record.beginning(run)])
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(self._fd)
            raise
        self._indexer.index.size = self.size

    @property
    def index(self) -> Index:
        """Of what was written until now."""
        return self._indexer.whole()

    def append(self, batches: Collection[Stored]) -> None:
        """All of them or, with OSError, none."""
        buffers = [part for stored in batches for part in record.encode(stored)]
        at = self.size
        self._write(buffers)
        for place, stored in enumerate(batches):
            end = at + len(buffers[2 * place]) + len(buffers[2 * place + 1])
            self._indexer.note(stored, at, end)
            at = end

    def seal(self) -> Sealed:
        """Nothing more is written; the index goes beside the file."""
        self.close()
        return _sealed(self.path, self.index)

    def sealed(self) -> Sealed:
        """As it is, to be read; its index grows."""
        return Sealed(self.path, self._indexer.index, self.size)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, buffers: list[bytes]) -> None:
        end = self.size
        try:
            for at in range(0, len(buffers), _MANY):
                lot = buffers[at : at + _MANY]
                wanted = sum(map(len, lot))
                if os.pwritev(self._fd, lot, end) != wanted:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                end += wanted
        except OSError:
            # What was begun lies beyond `size` and is written over if it cannot be cut off.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
            raise
        self.size = end


def read(path: Path, at: int, size: int) -> tuple[list[Stored], int]:
    """Batches of that file from `at` on, of which `size` bytes are to be read."""
    with open(path, "rb", buffering=0) as file:
        data = os.pread(file.fileno(), min(AT_ONCE, size - at), at)
        header = record.decode(data)
        if header is not None and header.size > len(data):  # one that is longer
            data = os.pread(file.fileno(), min(header.size, size - at), at)
    found: list[Stored] = []
    end = 0
    for _, stored, after in record.records(data):
        end = after
        if stored is not None:
            found.append(stored)
    return found, at + end if end and at + end < size else 0


def load(path: Path) -> Index | None:
    """What is beside that file, if it fits."""
    try:
        index = indexes.decode(beside(path).read_bytes())
    except OSError:
        return None
    return index if index is not None and index.size == path.stat().st_size else None


def recovered(path: Path, judge: Judge) -> tuple[Sealed | None, int]:
    """What an earlier process left, and how often in it something was of no use.

    None for a file that is none of ours.
    """
    if (index := load(path)) is not None:
        return _known(path, index), 0
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        run = record.run_of(os.pread(file.fileno(), record.BEGIN, 0))
        if run is None:
            return None, 0
        indexer, at, damaged = Indexer(run, judge), record.BEGIN, 0
        while at < size:
            end, bad = _survey(file.fileno(), at, size, indexer)
            damaged += bad
            if not end:
                break
            at += end
    indexer.index.size = size
    return _sealed(path, indexer.whole()), damaged + (at < size)


def write(path: Path, run: int, judge: Judge, batches: Collection[Stored]) -> Sealed:
    """A file with these batches, which is there as a whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    file = Open(partial, run, judge)
    try:
        file.append(batches)
        file.close()
        sealed = _sealed(path, file.index)
        partial.rename(path)
    except OSError:
        file.close()
        partial.unlink(missing_ok=True)
        raise
    return sealed


def beside(path: Path) -> Path:
    """Where its index is."""
    return path.with_name(path.name + INDEX)


def _survey(fd: int, at: int, size: int, indexer: Indexer) -> tuple[int, int]:
    """Note the records of a piece: how much of it was read, and how often that failed."""
    data = os.pread(fd, AT_ONCE, at)
    header = record.decode(data)
    if header is not None and header.size > len(data):
        data = os.pread(fd, header.size, at)
    end = damaged = 0
    for begin, stored, end in record.records(data):
        if stored is not None:
            indexer.note(stored, at + begin, at + end)
        else:
            damaged += 1
    return end, damaged


def _one(fd: int, at: int) -> Stored | None:
    header = record.decode(os.pread(fd, record.SIZE, at))
    if header is None:
        return None
    return record.opened(header, os.pread(fd, header.length, at + record.SIZE))


def _sealed(path: Path, index: Index) -> Sealed:
    """Written beside it; a file without an index is one that costs more to be opened."""
    with contextlib.suppress(OSError):
        beside(path).write_bytes(indexes.encode(index))
    return _known(path, index)


def _known(path: Path, index: Index) -> Sealed:
    return Sealed(path, index.without_ids(), index.size + len(index.ids))
