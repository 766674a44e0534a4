"""Lock: one directory belongs to one queue of one process, and is named after its exporter.

The kernel lets go of it when the process ends, however it ends, so that nothing has to be cleaned
up after a kill. Who holds it is written in the file, for people and for `Busy.ours`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from urllib.parse import quote
from zlib import crc32

from proxy.web.ports import is_followed

_NAME = "lock"
LONGEST_NAME = 200  # bytes; file systems take 255
_SELF = f"{os.getpid()} {secrets.token_hex(8)}"  # process ids come again, in containers at once


class Busy(Exception):
    """The directory is in use; `ours`: by this very process, as it is while a reload hands over, or
    by a gateway that hands over to this one."""

    def __init__(self, directory: Path, holder: str) -> None:
        super().__init__(f"{directory} is in use by process {holder.partition(' ')[0] or '?'}")
        pid = holder.partition(" ")[0]
        self.ours = holder == _SELF or (pid.isdigit() and is_followed(int(pid)))


class Lock:
    """Held from making until `release`. Raises Busy or OSError."""

    __slots__ = ("_fd",)

    def __init__(self, directory: Path) -> None:
        self._fd = os.open(directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(directory)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _take(self, directory: Path) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(directory, os.pread(self._fd, 100, 0).decode("ascii", "replace")) from None
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, _SELF.encode(), 0)
        except OSError:
            return  # a full disk; only the name of the holder is missing


def directory_name(id: str) -> str:
    """The directory of an exporter below `storage`: its id, with "/" as %2F."""
    name = quote(id, safe="")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{crc32(id.encode()):08x}"
