"""The longest turn of each process's event loop, measured from within and without the product.

How. A turn is what happens between two calls of epoll_pwait. A small library (turns.c), loaded
before the processes by LD_PRELOAD, stands before that call, takes the time of each turn of the
main thread, and keeps the longest in a page that is shared with us. So it is exact, costs two
microseconds a turn, asks the product for nothing, and counts what blocks (a write to a slow disk)
as well as what computes. Time that the thread was ready and had to wait for a processor is the
neighbours' fault; the kernel counts it (second number of /proc/PID/schedstat) and it is taken off.

Why not otherwise. A probe with tiny requests sees queues and its own delays beside the turn (it is
run as well, for what another client waits: `probe.py`). A thread that watches a heartbeat waits
for the interpreter's lock. Wrapping callbacks in Python cannot reach those of uvloop. `perf trace`
needs tracepoints that virtual machines often do not have. The product's own gauge
`spangate.loop.lag` is read beside it, where there is one.
"""

from __future__ import annotations

import mmap
import struct
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import proc

SOURCE = Path(__file__).with_name("turns.c")
TURNS, LONGEST, WALL = 0, 24, 32  # offsets in the page; between them what is under way


@dataclass(frozen=True, slots=True)
class Longest:
    """Seconds. `own` is without the time in which others had the processor."""

    own: float
    wall: float
    turns: int


class Turns:
    """The pages of all processes that were started with `environment`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "turns"
        self._directory.mkdir()
        self._library = directory / "turns.so"
        subprocess.run(
            ["cc", "-O2", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE), "-ldl"],
            check=True,
        )
        self._pages: dict[int, mmap.mmap] = {}

    def environment(self, slow: Path | None = None) -> dict[str, str]:
        """Of the processes to be measured; writes below `slow` will take their time."""
        found = {"LD_PRELOAD": str(self._library), "SPANGATE_TURNS": str(self._directory)}
        return {**found, "SPANGATE_SLOW": str(slow)} if slow else found

    def reset(self, pid: int) -> None:
        """Forget the longest turn so far."""
        page = self._page(pid)
        for offset in (TURNS, LONGEST, WALL):
            struct.pack_into("Q", page, offset, 0)

    def read(self, pid: int) -> Longest:
        """The longest turn since the last reset; one that is not over yet counts as well."""
        turns, begun, delay, own, wall = struct.unpack_from("5Q", self._page(pid))
        running = time.monotonic_ns() - begun if begun else 0
        waited = _delay(pid) - delay if begun else 0
        return Longest(max(own, running - waited) / 1e9, max(wall, running) / 1e9, turns)

    def settle(self, pids: Iterable[int], seconds: float) -> None:
        """Wait until the turns that are under way now are over, `seconds` at most."""
        deadline = time.monotonic() + seconds
        for pid in pids:
            first, _ = struct.unpack_from("2Q", self._page(pid))
            while time.monotonic() < deadline:
                turns, begun = struct.unpack_from("2Q", self._page(pid))
                if not begun or turns != first:
                    break
                time.sleep(0.01)

    def _page(self, pid: int) -> mmap.mmap:
        if pid not in self._pages:
            with (self._directory / str(pid)).open("r+b") as file:
                self._pages[pid] = mmap.mmap(file.fileno(), 4096)
        return self._pages[pid]


def _delay(pid: int) -> int:
    """Nanoseconds that its main thread has waited for a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])


def kinds(root: int) -> dict[str, int]:
    """The processes of a gateway by kind: hub, collector if it is one of its own, workers."""
    found = {"hub": root}
    for pid in proc.tree(root)[1:]:
        words = proc.command(pid)
        if "proxy.server" in words:
            number = sum(name.startswith("worker") for name in found)
            found["worker" if not number else f"worker {number}"] = pid
        elif any("collect" in word for word in words[1:]):
            found["collector"] = pid
    return found
