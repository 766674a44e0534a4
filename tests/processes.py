"""What a process has started, directly or not, and the wait for its end. Nothing here polls."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import time
from collections.abc import Iterable
from pathlib import Path

DEADLINE = 60.0  # seconds for all of them: generous, since other tests run at once

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own has died, so that they are still found."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """Everything below `pid` that runs; one that has ended and was not waited for does not."""
    parents = dict(_running())
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def command(pid: int) -> str:
    """Its command line; "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def wait_for_end(pids: Iterable[int], deadline: float = DEADLINE) -> list[int]:
    """Wait until all have ended; returns those that have not in time."""
    running: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            running[os.pidfd_open(pid)] = pid
    poll = select.poll()
    for fd in running:
        poll.register(fd, select.POLLIN)
    end = time.monotonic() + deadline
    while running and (left := end - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            os.close(fd)
            del running[fd]
    for fd in running:
        os.close(fd)
    return list(running.values())


def _running() -> Iterable[tuple[int, int]]:
    """(pid, its parent's) of every process."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    yield int(folder.name), int(parent)
