"""What Linux tells about a process: resident memory, CPU time, open files."""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """One process now."""

    resident: int  # bytes
    cpu: float  # seconds, user and system, since the process started
    files: int  # open descriptors
    most_files: int  # how many may be open; 0 = any number


def usage(pid: int) -> Usage | None:
    """Of process `pid`; None when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            resident = int(file.read().split()[1]) * _PAGE
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command's name may hold spaces and parentheses (proc_pid_stat(5)).
            fields = file.read().rpartition(b")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / _TICK
        return Usage(resident, cpu, _open_files(pid), _most_files(pid))
    except (OSError, IndexError):
        return None


def _open_files(pid: int) -> int:
    # Since Linux 6.2 the size of this directory is the number of entries; before, it is 0.
    path = f"/proc/{pid}/fd"
    return os.stat(path).st_size or len(os.listdir(path))


def _most_files(pid: int) -> int:
    soft, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else soft
