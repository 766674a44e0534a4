"""How many cores this process may use: its affinity, and what control groups leave of them.

A container with a CPU limit sees all cores of its machine. With a worker for each of them it
spends its quota in the first part of each period and stands still for the rest, which is a tail
of latency as long as the period (100 ms). See cgroups(7), "cpu.max" of cgroup-v2.rst and
"cpu.cfs_quota_us" of sched-bwc.rst.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

MEMBERSHIP = "/proc/self/cgroup"
_V2 = PurePosixPath("/sys/fs/cgroup")
_V1 = ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct")


def usable_cores() -> int:
    """Of this process, now."""
    membership = _read(MEMBERSHIP) or ""
    texts = {path: text for path in files(membership) if (text := _read(path)) is not None}
    return cores(len(os.sched_getaffinity(0)), texts)


def files(membership: str) -> list[str]:
    """What says something of quotas to a process whose /proc/self/cgroup is `membership`.

    A limit of any group above counts too. In a container the tree often begins at its own group,
    whatever the path says, so the root is looked at as well; what does not exist is passed over.
    """
    found: list[str] = []
    for line in membership.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for group in _upwards(path):
            if number == "0" and not controllers:
                found.append(str(_V2 / group / "cpu.max"))
            elif "cpu" in controllers.split(","):
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                found += [str(PurePosixPath(r, group, name)) for r in _V1 for name in names]
    return found


def cores(affinity: int, texts: Mapping[str, str]) -> int:
    """At least 1; `texts` are those of `files`, by path. A part of a core counts as one."""
    return max(1, min([affinity, *map(math.ceil, _quotas(texts))]))


def _quotas(texts: Mapping[str, str]) -> Iterator[float]:
    """Each limit that there is, in cores."""
    for path, text in texts.items():
        if path.endswith("cpu.max"):
            quota, _, period = text.strip().partition(" ")
        elif path.endswith("cpu.cfs_quota_us"):
            quota, period = text, texts.get(path.replace("quota", "period"), "")
        else:
            continue
        # "max" and "-1" are no limit; the kernel's own default of a period is 100 ms
        if (time := _whole(quota)) and (of := _whole(period or "100000")):
            yield time / of


def _upwards(path: str) -> Iterator[str]:
    """ "/a/b" -> "a/b", "a", "": the groups that it is in."""
    group = PurePosixPath(path.lstrip("/"))
    yield str(group)
    yield from map(str, group.parents)


def _whole(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(64 * 1024)
    except OSError:
        return None
