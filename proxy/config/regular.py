"""Files that are read more than once: opening one must not wait, as opening a pipe does."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


def open_regular(path: str) -> BinaryIO:
    """Open a file for reading, at once. OSError, also for a folder, a pipe or a device: opening a
    pipe waits for its writer, and whoever waits in a thread keeps the program from ending."""
    return open(path, "rb", opener=_opened)


def _opened(path: str, flags: int) -> int:
    handle = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # of a folder open() itself says what is wrong
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "it is no file, but a pipe or a device", path)
