"""What /proc says of single processes, each a resource of its own.

A process may end at any moment, and other users' files may not be ours to read: what cannot be read
is left out. Command lines are never read, since people put passwords there.

Source: proc(5); OpenTelemetry semantic conventions 1.44, process metrics.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path

from proxy.collector.receivers.host_metrics.read import TICKS, Attributes, Reading, text_of
from proxy.otlp.metric_bytes import Metric

_PAGE = os.sysconf("SC_PAGE_SIZE")

CPU_TIME = Metric("process.cpu.time", "sum", "CPU seconds by mode.", "s")
MEMORY_USAGE = Metric("process.memory.usage", "updown", "Physical memory in use.", "By")
MEMORY_VIRTUAL = Metric("process.memory.virtual", "updown", "Virtual memory.", "By")
DISK_IO = Metric("process.disk.io", "sum", "Bytes read from and written to disks.", "By")
THREADS = Metric("process.thread.count", "updown", "Threads.", "{thread}")
DESCRIPTORS = Metric(
    "process.unix.file_descriptor.count", "updown", "Open file descriptors.", "{file_descriptor}"
)
SWITCHES = Metric("process.context_switches", "sum", "Context switches.", "{context_switch}")
FAULTS = Metric("process.paging.faults", "sum", "Page faults.", "{fault}")


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `fields` are those of /proc/PID/stat from the third on."""

    pid: int
    name: str
    fields: tuple[str, ...]

    @property
    def cpu(self) -> int:
        """Ticks in both modes."""
        return int(self.fields[11]) + int(self.fields[12])

    def started(self, boot: int) -> int:
        """Unix ns; 0 = not known."""
        return boot + int(self.fields[19]) * 1_000_000_000 // TICKS if boot else 0

    def resource(self, proc: Path) -> Attributes:
        pairs: list[tuple[str, str | int]] = [
            ("process.pid", self.pid),
            ("process.parent_pid", int(self.fields[1])),
            ("process.executable.name", self.name),
        ]
        with suppress(OSError):
            pairs.append(("process.executable.path", os.readlink(proc / str(self.pid) / "exe")))
        return tuple(pairs)

    def readings(self, proc: Path) -> Iterator[Reading]:
        fields = self.fields
        yield Reading(CPU_TIME, (("cpu.mode", "user"),), int(fields[11]) / TICKS)
        yield Reading(CPU_TIME, (("cpu.mode", "system"),), int(fields[12]) / TICKS)
        yield Reading(MEMORY_USAGE, (), int(fields[21]) * _PAGE)
        yield Reading(MEMORY_VIRTUAL, (), int(fields[20]))
        yield Reading(THREADS, (), int(fields[17]))
        yield Reading(FAULTS, (("system.paging.fault.type", "minor"),), int(fields[7]))
        yield Reading(FAULTS, (("system.paging.fault.type", "major"),), int(fields[9]))
        yield from _files(proc / str(self.pid))


def processes(
    proc: Path, include: Iterable[str], exclude: Iterable[str], limit: int
) -> list[Process]:
    """The `limit` busiest whose names one of `include` finds, and none of `exclude`."""
    wanted = _matching(include, exclude)
    found = (_process(proc, int(name)) for name in os.listdir(proc) if name.isdigit())
    return nlargest(limit, (p for p in found if p and wanted(p.name)), key=lambda p: p.cpu)


def _matching(include: Iterable[str], exclude: Iterable[str]) -> Callable[[str], bool]:
    ins, outs = [re.compile(p) for p in include], [re.compile(p) for p in exclude]

    def wanted(name: str) -> bool:
        taken = not ins or any(p.search(name) for p in ins)
        return taken and not any(p.search(name) for p in outs)

    return wanted


def _process(proc: Path, pid: int) -> Process | None:
    # The name stands in brackets and may have brackets in it.
    head, _, tail = text_of(proc / str(pid) / "stat").rpartition(")")
    fields = tuple(tail.split())
    if len(fields) < 22:
        return None
    return Process(pid, head.partition("(")[2], fields)


def _files(folder: Path) -> Iterator[Reading]:
    """What is in files of their own, some of which only the owner may read."""
    io = _pairs(text_of(folder / "io"))
    for key, direction in (("read_bytes", "read"), ("write_bytes", "write")):
        if key in io:
            yield Reading(DISK_IO, (("disk.io.direction", direction),), io[key])
    status = _pairs(text_of(folder / "status"))
    for key in ("voluntary", "nonvoluntary"):
        if (number := status.get(f"{key}_ctxt_switches")) is not None:
            kind = key.replace("nonv", "inv")
            yield Reading(SWITCHES, (("process.context_switch.type", kind),), number)
    try:
        yield Reading(DESCRIPTORS, (), len(os.listdir(folder / "fd")))
    except OSError:
        return


def _pairs(text: str) -> dict[str, int]:
    """`name: number` of each line that has that form."""
    lines = [line.partition(":") for line in text.splitlines()]
    return {name: int(rest) for name, _, rest in lines if rest.strip().isdigit()}
