"""Files with credentials, changed at once or not at all, and by one command at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def held(path: str) -> Iterator[None]:
    """Nobody else who asks for it changes a file of that folder meanwhile."""
    folder = os.open(os.path.dirname(os.path.realpath(path)), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def text_of(path: str) -> str:
    """What is in it, "" if it is not there. OSError, UnicodeDecodeError."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def replace(path: str, text: str) -> None:
    """Have `text` in it. A new file is its owner's alone; another one keeps its owner and mode."""
    place = os.path.realpath(path)  # what a link leads to, not the link
    number, new = tempfile.mkstemp(dir=os.path.dirname(place), prefix=".spangate-")  # mode 0600
    try:
        with open(number, "w", encoding="utf-8", newline="") as file:
            with suppress(FileNotFoundError):
                known = os.stat(place)
                os.fchmod(file.fileno(), known.st_mode & 0o777)
                with suppress(PermissionError):  # of another user's file
                    os.fchown(file.fileno(), known.st_uid, known.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, place)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(new)
        raise
