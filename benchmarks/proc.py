"""Processes under measurement: starting them on a core, and what /proc says about them.

CPU time is utime + stime of the whole tree, read from /proc/PID/stat; the time of children that
have ended is in their parent's cutime + cstime and is counted as well. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
ROLES = {
    "proxy.server": "worker", "proxy.collector": "collector", "proxy.messaging": "messaging",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, summed over a process tree. `pss` shares out what several processes map."""

    rss: int
    pss: int
    peak: int  # VmHWM


def cores() -> tuple[int, int]:
    """(the proxies' core, the core of load, backend and sink); the same one if there is but one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[min(1, len(usable) - 1)]


def start(
    command: Sequence[str],
    core: int,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, pinned to `core` before it runs at all."""

    def pin() -> None:
        os.sched_setaffinity(0, {core})

    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **(env or {})},
            preexec_fn=pin,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], patience: float = 10.0) -> None:
    """TERM, and after `patience` seconds KILL for the whole session."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def stop_all_when_ended() -> None:
    """Let TERM end this process as Ctrl-C does, so that what it has started is stopped as well."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def wait_until(
    condition: Callable[[], bool], seconds: float, what: str, every: float = 0.02
) -> None:
    """Poll `condition`; TimeoutError naming `what` if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def tree(root: int) -> list[int]:
    """`root` and all its living descendants."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def cpu(root: int) -> float:
    """Seconds of CPU that the tree under `root` has used."""
    ticks = 0
    for pid in tree(root):
        if fields := _stat(pid):
            ticks += sum(int(n) for n in fields[11:15])  # utime stime cutime cstime
    return ticks / TICK


def ran(pid: int) -> float:
    """Seconds that the living threads of one process have run, to the nanosecond."""
    seconds = 0.0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):  # it has ended
            text = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text()
            seconds += int(text.split()[0]) / 1e9
    return seconds


def shares(root: int) -> dict[str, float]:
    """Seconds that each kind of our processes under `root` has run: "worker", "hub", "collector".

    A process is known by the module that its command line names; empty for another's tree.
    """
    found: dict[str, float] = {}
    for pid in tree(root):
        words = command(pid)
        role = "hub" if pid == root and {"run", "sidecar"} & set(words) else ""
        for module in ROLES.keys() & set(words):
            role = ROLES[module]
        if role:
            found[role] = found.get(role, 0.0) + ran(pid)
    return found if len(found) > 1 else {}


def memory(pids: Sequence[int]) -> Memory:
    """Resident, proportional and peak memory of `pids` together."""
    return Memory(
        rss=sum(_kib(pid, "status", "VmRSS") for pid in pids),
        pss=sum(_kib(pid, "smaps_rollup", "Pss") for pid in pids),
        peak=sum(_kib(pid, "status", "VmHWM") for pid in pids),
    )


def reset_peak(pids: Sequence[int]) -> None:
    """Let the peak of each begin again at what is resident now (Linux, proc(5) clear_refs 5)."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def command(pid: int) -> list[str]:
    """The words of its command line; [] if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def listens(port: int) -> bool:
    """Whether somebody accepts on this port of the loopback address."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return 0


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (state) on; [] if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _kib(pid: int, file: str, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    found = [line.split() for line in lines if line.startswith(key + ":")]
    return int(found[0][1]) * 1024 if found else 0
