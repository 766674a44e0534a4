"""Files that grow until they are put away: one path, its backups, and what is written whole.

It knows bytes only, and neither telemetry nor asyncio: everything here blocks, and is called in a
thread. A write that fails half-way is undone, so that no reader ever finds half a message. Nor is
anything appended to half a message that somebody else has left, a process that was killed perhaps:
half a line is ended, and stays for those who read along; where a reader could not find the next
message, the half is cut off; a file that begins with nothing of ours is put away as it is.
"""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from proxy.collector.exporters.file.tail import whole

log = logging.getLogger("spangate")


@dataclass(frozen=True, slots=True)
class Rules:
    """Bytes, seconds and numbers of files; 0 = no limit."""

    max_size: int = 0
    interval: float = 0.0
    max_backups: int = 0
    max_age: float = 0.0


class RotatingFile:
    """One path. Open from the first write; `now` is Unix time in seconds."""

    def __init__(
        self, path: Path, rules: Rules, *, append: bool, fsync: bool, layout: str = "json"
    ) -> None:
        """`layout`: what messages look like, see tail.py."""
        self._path = path
        self._rules = rules
        self._layout = layout
        self._lead = b""  # before the next write
        self._flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._truncate = 0 if append else os.O_TRUNC
        self._fsync = fsync
        self._file = -1
        self._size = 0
        self._begun = 0.0

    def write(self, content: bytes, now: float) -> None:
        """All of it or, raising OSError, nothing of it."""
        self._look(now)
        if self._is_due(len(content), now):
            self._rotate(now)
            self._look(now)
        try:
            self._put(self._lead + content)
            self._lead = b""
        except OSError:
            with suppress(OSError):  # a pipe cannot be cut
                os.ftruncate(self._file, self._size)
            self.close()  # the disk may come back as another one
            raise

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _look(self, now: float) -> None:
        """Have the file open that is called by our name now: others may rename or empty it."""
        if self._file >= 0:
            state = os.fstat(self._file)
            if _same(self._path, state):
                self._size = state.st_size
                return
            self.close()
        self._lead = b""
        if not self._truncate:
            self._mend(now)
        self._file = os.open(self._path, self._flags | self._truncate, 0o640)
        self._truncate = 0  # once: what we wrote ourselves stays
        state = os.fstat(self._file)
        self._size = state.st_size
        # An old file's age counts from its last write: when it was begun is not recorded anywhere.
        self._begun = state.st_mtime if self._size else now

    def _mend(self, now: float) -> None:
        """Have what is there end with a whole message."""
        try:
            state = self._path.stat()
            if not stat.S_ISREG(state.st_mode) or not state.st_size:
                return  # to open a pipe would wait for who writes it
            with self._path.open("rb") as file:
                end = whole(file, state.st_size, self._layout)
        except (FileNotFoundError, PermissionError):  # there is none, or it is not for us to read
            return
        half = state.st_size - end
        if not half:
            return
        if self._layout == "json":
            self._lead = b"\n"
            log.warning(
                "%s: ends with %d bytes of a line that was cut off",
                self._path,
                half,
                extra={"key": "file.half_line"},
            )
        elif end:
            os.truncate(self._path, end)
            log.warning(
                "%s: removed %d bytes of a message that was cut off",
                self._path,
                half,
                extra={"key": "file.half_message"},
            )
        else:
            target = self._backup_name(now)
            os.rename(self._path, target)
            log.warning(
                "%s: begins with nothing of ours, put away as %s",
                self._path,
                target,
                extra={"key": "file.put_away"},
            )

    def _put(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(self._file, view) :]
        if self._fsync:
            os.fsync(self._file)

    def _is_due(self, more: int, now: float) -> bool:
        rules = self._rules
        if not self._size:
            return False
        if rules.max_size and self._size + more > rules.max_size:
            return True
        return bool(rules.interval) and now - self._begun >= rules.interval

    def _rotate(self, now: float) -> None:
        self.close()
        target = self._backup_name(now)
        os.rename(self._path, target)
        self._clean(now)

    def _backup_name(self, now: float) -> Path:
        """name-2026-11-22T21-13-38.123.ext, as the Collector names them; a number if taken."""
        stem, suffix = _apart(self._path)
        time = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3]
        number = 0
        while True:
            more = f"-{number}" if number else ""
            target = self._path.with_name(f"{stem}-{time}{more}{suffix}")
            if not target.exists():
                return target
            number += 1

    def backups(self) -> list[Path]:
        """Files that were put away, the oldest first."""
        stem, suffix = _apart(self._path)
        found = [
            path
            for path in self._path.parent.iterdir()
            if path.name.startswith(f"{stem}-")
            and path.name.endswith(suffix)
            and _is_time(path.name[len(stem) + 1 : len(path.name) - len(suffix)])
        ]
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def _clean(self, now: float) -> None:
        rules = self._rules
        left = self.backups()
        gone = left[: -rules.max_backups] if rules.max_backups else []
        if rules.max_age:
            gone += [p for p in left if p not in gone and now - p.stat().st_mtime > rules.max_age]
        for path in gone:
            path.unlink(missing_ok=True)


def _same(path: Path, state: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), state)
    except OSError:
        return False


def _apart(path: Path) -> tuple[str, str]:
    """("otel", ".jsonl.zst") of otel.jsonl.zst"""
    stem, dot, rest = path.name.partition(".")
    return (stem, dot + rest) if stem else (path.name, "")


def _is_time(text: str) -> bool:
    """2026-11-22T21-13-38.123, perhaps with a number behind; other people's files are not ours."""
    try:
        datetime.strptime(text[:23], "%Y-%m-%dT%H-%M-%S.%f")
    except ValueError:
        return False
    return len(text) == 23 or (text[23] == "-" and text[24:].isdigit())
