"""A file that is read while somebody writes it: wait until it keeps still.

Many editors and tools empty a file before they write it, or take it away and put another one in
its place. Whoever asks for a reload in that instant must not be given half of it: the first half
of a configuration is often one that can be used.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVar

from proxy.errors import ConfigError, Problem

T = TypeVar("T")

STILL = 0.1  # seconds without a change after which it counts as written
PATIENCE = 2.0  # seconds that it may take

Mark = tuple[int, int, int, int]
Marks = dict[str, Mark | None]  # by the file's name


async def whole(file: str, read: Callable[[], T]) -> T:
    """What `read` makes of the file, in a thread, once nobody writes to it; ConfigError if somebody
    does so meanwhile."""
    written = await settled(file)
    made = await asyncio.to_thread(read)
    if mark(file) != written:
        remedy = "reload when it is written"
        raise ConfigError([Problem("file", "it changed while it was read", remedy, 0, file)])
    return made


def mark(file: str) -> Mark | None:
    """What changes whenever the file does; None while there is no such file."""
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


async def settled(file: str, still: float = STILL, patience: float = PATIENCE) -> Mark | None:
    """Its mark once it has kept still, or after `patience` as it is; at once if it is not young."""
    end = time.monotonic() + patience
    now = mark(file)
    while (now is None or _is_young(now, still)) and time.monotonic() < end:
        before = now
        await asyncio.sleep(still)
        now = mark(file)
        if now is not None and now == before and now[2]:
            break
    return now


def _is_young(mark: Mark, still: float) -> bool:
    """Written just now, or empty, which it will hardly stay."""
    return not mark[2] or abs(time.time_ns() - mark[3]) < still * 1e9
