"""Control groups of version 2 that commands run in, one for each command, below the own one.

    CGROUP/spangate-NETNS-PID     held locked by who made it, for as long as that lives

A program attached to one lives as long as it does. So a command goes on being redirected if who
started it is killed, and what such a one leaves is an unlocked group, which is removed as soon as
nobody is in it. Being below the own group, the limits of that hold for the command too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from dataclasses import dataclass
from typing import NamedTuple

from proxy.bpf.places import mounted_here, network

PREFIX = "spangate-"


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One that is ours: its place, and it itself, open and locked."""

    path: str
    fd: int

    def enter(self) -> None:
        """Have this process in it, and with it what it starts."""
        with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write("0")

    def remove(self) -> bool:
        """Whether it is gone, and with it what is attached; False where somebody is still in it."""
        try:
            os.rmdir(self.path)
        except OSError:
            return False
        finally:
            os.close(self.fd)
        return True


def own_place(memberships: str) -> str:
    """The path of a process in version 2, from a /proc/PID/cgroup; "" if it is in none."""
    for line in memberships.splitlines():
        if line.startswith("0::/"):
            return line[4:]
    return ""


def root() -> str | None:
    """Where version 2 is mounted."""
    places = mounted_here("cgroup2")
    return places[0] if places else None


def parent() -> str | None:
    """The group of this process."""
    top = root()
    if top is None:
        return None
    with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
        return os.path.join(top, own_place(file.read()))


def make() -> Cgroup:
    """A new one below our own. OSError, also where no version 2 is mounted."""
    above = parent()
    if above is None:
        raise OSError("cgroups of version 2 are not mounted")
    path = os.path.join(above, f"{PREFIX}{network()}-{os.getpid()}")
    with contextlib.suppress(FileExistsError):  # of a process that had this number, and was killed
        os.mkdir(path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return Cgroup(path, fd)


class Left(NamedTuple):
    """Those that are there afterwards."""

    busy: list[str]  # somebody's, or somebody is in it
    stuck: dict[str, str]  # those that cannot be removed though nobody is, with the reason


def sweep() -> Left:
    """Remove what killed ones have left in this network namespace; others are others' to tidy."""
    left = Left([], {})
    for path in there():
        try:
            if not _swept(path):
                left.busy.append(path)
        except OSError as error:
            left.stuck[path] = error.strerror or str(error)
    return left


def there() -> list[str]:
    """All those of this network namespace."""
    begin = f"{PREFIX}{network()}-"
    return [
        os.path.join(folder, name)
        for folder, names, _ in os.walk(root() or "/nonexistent")
        for name in names
        if name.startswith(begin)
    ]


def _swept(path: str) -> bool:
    """Whether it is gone; if not, somebody has it or is in it. OSError where that is not why."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return True  # it has gone by itself
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rmdir(path)
    except BlockingIOError:  # somebody's
        return False
    except FileNotFoundError:  # another one has been quicker
        return True
    except OSError as error:
        if error.errno == errno.EBUSY or _is_populated(path):
            return False
        raise
    finally:
        os.close(fd)
    return True


def _is_populated(path: str) -> bool:
    """Whether anybody is in it. A file system that is read-only says that first, and not this."""
    with open(os.path.join(path, "cgroup.events"), encoding="ascii") as file:
        return "populated 1" in file.read()
