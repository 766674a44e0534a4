"""Where things are that the kernel shows as files, and which network namespace this is."""

from __future__ import annotations

import os
import re

MOUNTS = "/proc/self/mountinfo"
_ESCAPED = re.compile(r"\\([0-7]{3})")  # blanks in names of mount points, proc(5)


def mounted(mounts: str, kind: str) -> list[str]:
    """Where file systems of that kind are mounted, from a /proc/PID/mountinfo."""
    found = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if after.split(" ", 1)[0] == kind and len(fields) > 4:
            found.append(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), fields[4]))
    return found


def mounted_here(kind: str) -> list[str]:
    """The same for this process."""
    with open(MOUNTS, encoding="utf-8", errors="replace") as file:
        return mounted(file.read(), kind)


def network() -> int:
    """The number of this thread's network namespace."""
    return os.stat("/proc/thread-self/ns/net").st_ino
