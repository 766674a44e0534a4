"""Servers by a file that is watched: looked at every second, and read when it has changed.

Looking works wherever the file lies, with renames, symbolic links and network file systems. All
of it happens in a thread: a disk that hangs holds up nobody else.
"""

from __future__ import annotations

import asyncio
import os
import time

from proxy.config.discover_file import LARGEST, parse_servers
from proxy.config.regular import open_regular
from proxy.hub.discovery.source import Tell

EVERY = 1.0  # seconds between two looks
YOUNG = 2.0  # seconds: a file this new may change again without a new time stamp

Stamp = tuple[int, int, int, int]


class FileSource:
    """Watches the file at `path`, looking `every` so many seconds."""

    def __init__(self, path: str, every: float = EVERY) -> None:
        self._path = path
        self._every = every

    async def watch(self, tell: Tell) -> None:
        """See Source. A file that cannot be used changes nothing and is told."""
        seen: Stamp | None = None
        while True:
            try:
                stamp, servers = await asyncio.to_thread(look, self._path, seen)
            except OSError as error:
                seen = None
                tell.failed(f"{self._path} cannot be read: {error.strerror or error}")
            except ValueError as error:
                seen = None
                tell.failed(f"{self._path}: {error}")
            else:
                seen = stamp
                if servers is not None:
                    tell.found(servers)
            await asyncio.sleep(self._every)


def look(path: str, seen: Stamp | None) -> tuple[Stamp | None, dict[str, int] | None]:
    """The file's stamp and servers, None = it is as it was `seen`. OSError, ValueError."""
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)
        if stamp == seen:
            return stamp, None
        servers = parse_servers(file.read(LARGEST + 1))
    young = abs(time.time() - status.st_mtime) < YOUNG
    return (None if young else stamp), servers
