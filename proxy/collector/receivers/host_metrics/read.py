"""What /proc says of CPU, memory and network, as readings with the names of the conventions.

Files are read as they are, no library between; a file that is missing or says something else gives
no readings. Processes are receive_host_metrics_process's.

Source: proc(5); OpenTelemetry semantic conventions 1.44, system metrics.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from proxy.otlp.metric_bytes import Metric

TICKS = os.sysconf("SC_CLK_TCK")  # a second, in /proc/stat
_KIB = 1024

CPU_TIME = Metric("system.cpu.time", "sum", "Seconds each logical CPU spent on each mode.", "s")
CPU_COUNT = Metric("system.cpu.logical.count", "updown", "Logical CPUs.", "{cpu}")
MEMORY_USAGE = Metric("system.memory.usage", "updown", "Memory in use by state.", "By")
MEMORY_LIMIT = Metric("system.memory.limit", "updown", "Memory that there is.", "By")
MEMORY_SHARE = Metric("system.memory.utilization", "gauge", "Share of memory by state.", "1")
MEMORY_AVAILABLE = Metric(
    "system.linux.memory.available", "updown", "Memory for new work, without swapping.", "By"
)
NETWORK_IO = Metric("system.network.io", "sum", "Bytes sent and received.", "By")
NETWORK_PACKETS = Metric(
    "system.network.packet.count", "sum", "Packets sent and received.", "{packet}"
)
NETWORK_DROPPED = Metric(
    "system.network.packet.dropped", "sum", "Packets dropped without an error.", "{packet}"
)
NETWORK_ERRORS = Metric("system.network.errors", "sum", "Errors of the network.", "{error}")
CONNECTIONS = Metric(
    "system.network.connection.count", "updown", "Connections by state.", "{connection}"
)

# Column of /proc/stat -> cpu.mode; `user` has the time of guests in it already.
_MODES = ("user", "nice", "system", "idle", "iowait", "interrupt", "interrupt", "steal")
_STATES = {  # include/net/tcp_states.h -> network.connection.state
    "01": "established",
    "02": "syn_sent",
    "03": "syn_received",
    "04": "fin_wait_1",
    "05": "fin_wait_2",
    "06": "time_wait",
    "07": "closed",
    "08": "close_wait",
    "09": "last_ack",
    "0A": "listen",
    "0B": "closing",
    "0C": "syn_received",
}

Attributes = tuple[tuple[str, str | int], ...]


class Reading(NamedTuple):
    metric: Metric
    attributes: Attributes
    value: float


def text_of(path: Path) -> str:
    """The content of a file of /proc, "" if there is none for us."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def boot_time(proc: Path) -> int:
    """Unix ns, 0 = not known."""
    for line in text_of(proc / "stat").splitlines():
        if line.startswith("btime "):
            return int(line[6:]) * 1_000_000_000
    return 0


def cpu(proc: Path, each: bool) -> Iterator[Reading]:
    """`each` CPU on its own, or all together."""
    lines = [line.split() for line in text_of(proc / "stat").splitlines() if line[:3] == "cpu"]
    single = [words for words in lines if words[0] != "cpu"]
    if single:
        yield Reading(CPU_COUNT, (), len(single))
    for words in single if each else lines[:1]:
        number: Attributes = (("cpu.logical_number", int(words[0][3:])),) if each else ()
        modes: Counter[str] = Counter()
        for mode, ticks in zip(_MODES, words[1:], strict=False):
            modes[mode] += int(ticks)
        for mode, total in modes.items():
            yield Reading(CPU_TIME, (("cpu.mode", mode), *number), total / TICKS)


def memory(proc: Path) -> Iterator[Reading]:
    """States add up to the whole; `cached` has in it what the kernel can reclaim of its own."""
    said = {}
    for line in text_of(proc / "meminfo").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            said[name] = int(words[0]) * _KIB
    total = said.get("MemTotal", 0)
    if not total:
        return
    states = {
        "free": said.get("MemFree", 0),
        "buffers": said.get("Buffers", 0),
        "cached": said.get("Cached", 0) + said.get("SReclaimable", 0),
    }
    states["used"] = max(0, total - sum(states.values()))
    yield Reading(MEMORY_LIMIT, (), total)
    if "MemAvailable" in said:
        yield Reading(MEMORY_AVAILABLE, (), said["MemAvailable"])
    for state, size in states.items():
        attributes = (("system.memory.state", state),)
        yield Reading(MEMORY_USAGE, attributes, size)
        yield Reading(MEMORY_SHARE, attributes, size / total)


def network(net: Path) -> Iterator[Reading]:
    """`net` is /proc/net of a network namespace."""
    for line in text_of(net / "dev").splitlines()[2:]:
        name, colon, rest = line.partition(":")
        columns = rest.split()
        if colon and len(columns) >= 16 and all(column.isdigit() for column in columns):
            numbers = [int(column) for column in columns]
            yield from _interface(name.strip(), "receive", numbers[:4])
            yield from _interface(name.strip(), "transmit", numbers[8:12])
    for transport in ("tcp", "udp"):
        yield from _connections(net, transport)


def _interface(name: str, direction: str, columns: list[int]) -> Iterator[Reading]:
    there = ("network.io.direction", direction)
    attributes = (("network.interface.name", name), there)
    size, packets, errors, dropped = columns
    yield Reading(NETWORK_IO, attributes, size)
    # The conventions name the interface otherwise in this one.
    yield Reading(NETWORK_PACKETS, (("system.device", name), there), packets)
    yield Reading(NETWORK_ERRORS, attributes, errors)
    yield Reading(NETWORK_DROPPED, attributes, dropped)


def _connections(net: Path, transport: str) -> Iterator[Reading]:
    states: Counter[str] = Counter()
    for name in (transport, f"{transport}6"):
        for line in text_of(net / name).splitlines()[1:]:
            words = line.split(None, 4)
            if len(words) == 5:
                states[words[3]] += 1
    if transport == "udp":  # it has no states
        yield Reading(CONNECTIONS, (("network.transport", "udp"),), sum(states.values()))
        return
    for state, count in states.items():
        attributes = (
            ("network.transport", transport),
            ("network.connection.state", _STATES.get(state, state)),
        )
        yield Reading(CONNECTIONS, attributes, count)
