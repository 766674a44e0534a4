"""Shelf: the files of one folder: which there are, which is written, and which make room.

N.batches holds what came, about a 64th of the limit; when the oldest of them has to go, what is in
it of failed and slow traces goes to N.kept. A quarter of the limit is for those. So the same is
never in two files, and after the end of the process at any moment N.kept is given up where
N.batches is still there. For one thread, which may have to wait for the disk; raises OSError.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from proxy.collector.queues.disk.lock import Lock
from proxy.collector.recent_disk import segment
from proxy.collector.recent_disk.segment import INDEX, Open, Sealed
from proxy.kernel.spanscan import Judge
from proxy.recent.ring import Stored

BATCHES, KEPT = ".batches", ".kept"
FILES = 64  # of them, about
LEAST, MOST = 256 * 1024, 16 * 1024 * 1024  # bytes of one
MOST_KEPT = 1000  # files of failed and slow traces
_NAME = re.compile(r"(\d{10})\.(?:batches|kept)")
_REMAINS = re.compile(r"\d{10}\.(?:batches|kept)(?:\.partial|\.index|\.partial\.index)")


class Shelf:
    """`run` is this process's number. `damaged` and `foreign` tell of what was found."""

    def __init__(self, folder: Path, limit: int, run: int) -> None:
        """Raises Busy where another process is at it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = Lock(folder)
        self._folder = folder
        self._run = run
        self._judge = Judge()
        self._open: Open | None = None
        self._batches: dict[int, Sealed] = {}
        self._kept: dict[int, Sealed] = {}
        self._next = 1
        self.limit = limit
        self.damaged = 0
        self.foreign: list[str] = []
        self.gone = 0  # numbers up to that one, of this run, may be gone
        try:
            self._recover()
            self.trim()
        except BaseException:
            self._lock.release()
            raise

    @property
    def size(self) -> int:
        """Bytes of all files."""
        sealed = (*self._batches.values(), *self._kept.values())
        return sum(file.weight for file in sealed) + (self._open.size if self._open else 0)

    def files(self) -> Sequence[Sealed]:
        """All that can be read, the latest first."""
        found = [*self._batches.values(), *self._kept.values()]
        if self._open is not None:
            found.append(self._open.sealed())
        return sorted(found, key=lambda file: file.index.last, reverse=True)

    def append(self, batches: Collection[Stored]) -> None:
        """All of them or none."""
        if self._open is None:
            self._open = Open(self._path(self._next, BATCHES), self._run, self._judge)
            self._next += 1
        self._open.append(batches)

    def trim(self) -> None:
        """Begin another file where this one is full, and let the oldest go."""
        if self._open is not None and self._open.size >= self._each:
            self.seal()
        size = sum(file.weight for file in self._batches.values())
        size += self._open.size if self._open is not None else 0
        while self._batches and size > self.limit - self.limit // 4:
            number = min(self._batches)
            size -= self._batches[number].weight
            self._reduce(number)
        self._trim_kept()

    def find(self, ids: Collection[bytes]) -> list[tuple[Stored, int]]:
        """What there is of these traces, and by which run it was written."""
        found = []
        wanted = dict.fromkeys(ids)
        for file in self.files():
            is_open = self._open is not None and file.path == self._open.path
            index = self._open.index if self._open is not None and is_open else file.ids()
            for stored in file.take(index, ids):
                if (only := stored.only(wanted)) is not None:
                    found.append((only, index.run))
        return found

    def seal(self) -> None:
        """Write no more into the file that is written."""
        if self._open is not None:
            number = int(self._open.path.name.partition(".")[0])
            self._batches[number] = self._open.seal()
            self._open = None

    def _trim_kept(self) -> None:
        size = sum(file.weight for file in self._kept.values())
        while self._kept and (size > self.limit // 4 or len(self._kept) > MOST_KEPT):
            gone = self._kept.pop(min(self._kept))
            size -= gone.weight
            if gone.index.run == self._run:
                self.gone = max(self.gone, gone.index.number)
            gone.remove()

    def close(self) -> None:
        try:
            self.seal()
        finally:
            self._lock.release()

    @property
    def _each(self) -> int:
        return max(LEAST, min(MOST, self.limit // FILES))

    def _reduce(self, number: int) -> None:
        """To what is kept of it, which may be nothing."""
        file = self._batches.pop(number)
        after = self._batches.get(number + 1)
        worth = dict.fromkeys([*file.index.worth, *(after.index.worth if after else ())])
        kept = self._worth(file, worth) if worth else []
        with suppress(OSError):  # a full disk, on which room has to be made in any case
            if kept:
                path = self._path(number, KEPT)
                self._kept[number] = segment.write(path, file.index.run, Judge(), kept)
        file.remove()

    def _worth(self, file: Sealed, worth: dict[bytes, None]) -> list[Stored]:
        index = file.ids()
        return [
            only for stored in file.take(index, worth) if (only := stored.only(worth)) is not None
        ]

    def _recover(self) -> None:
        """What earlier processes left."""
        names = sorted(entry.name for entry in self._folder.iterdir() if entry.is_file())
        for name in names:
            if _NAME.fullmatch(name):
                self._adopt(self._folder / name)
            elif _REMAINS.fullmatch(name) and not self._belongs(name):
                (self._folder / name).unlink(missing_ok=True)

    def _belongs(self, name: str) -> bool:
        return name.endswith(INDEX) and (self._folder / name.removesuffix(INDEX)).exists()

    def _adopt(self, path: Path) -> None:
        number = int(path.name.partition(".")[0])
        self._next = max(self._next, number + 1)
        is_kept = path.suffix == KEPT
        if is_kept and number in self._batches:  # the process ended between writing and deleting
            path.unlink()
            segment.beside(path).unlink(missing_ok=True)
            return
        try:
            found, damaged = segment.recovered(path, Judge() if is_kept else self._judge)
        except PermissionError:
            found, damaged = None, 0
        self.damaged += damaged
        if found is None:
            self.foreign.append(path.name)
        else:
            (self._kept if is_kept else self._batches)[number] = found

    def _path(self, number: int, suffix: str) -> Path:
        return self._folder / f"{number:010d}{suffix}"
