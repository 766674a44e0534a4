"""`redirect = "ebpf"`: programs attached to a cgroup, and the map by which a sidecar learns of
destinations. No rule of the host is touched, nor anybody outside that cgroup.

What lasts is held by the kernel alone: the programs by the cgroup, the map by a name in a bpffs.
Who runs a command holds the folder of that name locked together with others who do, so that the
last one takes it away; the lock of one that is killed is free.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import struct
from collections.abc import Iterator
from typing import NamedTuple

from proxy.bpf import destination, syscall
from proxy.mesh import addresses, bpf_programs, cgroups
from proxy.mesh.cgroups import Cgroup
from proxy.mesh.host import lacking_capabilities
from proxy.mesh.rules import Redirect

_MOST = 32768  # destinations not yet looked up; more ports than that nobody has for connections
_NEEDED = {
    "CAP_BPF": "to load programs",
    "CAP_NET_ADMIN": "to attach them",
}


class CannotLoad(Exception):
    """eBPF is not to be had here; `problems` says what is missing, and why."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Removed(NamedTuple):
    """What became of what killed ones have left."""

    removed: list[str]
    running: int  # commands that are still redirected
    problems: list[str]  # what could not be removed, and why


@contextlib.contextmanager
def redirected(redirect: Redirect, reader: int | None = None) -> Iterator[Cgroup]:
    """A cgroup from which connections go to the sidecar, which may run as the user `reader`.
    It goes afterwards if nobody is in it. CannotLoad."""
    missing = lacking()
    if missing:
        raise CannotLoad(missing)
    cgroups.sweep()
    with _destinations(reader) as destinations:
        group = _group()
        try:
            for kind, program in _programs(redirect, destinations):
                syscall.attach(group.fd, program, kind)
                os.close(program)
        except (OSError, struct.error) as error:
            group.remove()
            raise CannotLoad([_why(error)]) from None
        try:
            yield group
        finally:
            group.remove()


def _group() -> Cgroup:
    try:
        return cgroups.make()
    except OSError as error:
        raise CannotLoad([f"no cgroup can be made: {error.strerror or error}"]) from None


def lacking() -> list[str]:
    """What this process or host lacks to redirect so."""
    absent = [
        f"{name} is needed {_NEEDED[name]}: run it as root, or give it that"
        for name in lacking_capabilities(list(_NEEDED))
    ]
    if absent:
        return absent
    place = cgroups.parent()
    if place is None:
        absent.append("cgroups of version 2 are not mounted (mount -t cgroup2 none /sys/fs/cgroup)")
    elif not os.access(place, os.W_OK):
        absent.append(f"no cgroup can be made in {place}: it may not be written to")
    if destination.folder() is None:
        absent.append("no bpffs is mounted (mount -t bpf bpf /sys/fs/bpf)")
    return absent or _unloadable()


def absent() -> list[str]:
    """What `check` tells: what is lacking, or that no command is redirected here."""
    if missing := lacking():
        return missing
    return (
        [] if cgroups.sweep().busy else ["no command is redirected: spangate mesh run -- COMMAND"]
    )


def remove() -> Removed:
    """Remove what killed ones have left."""
    place, there = destination.folder(), cgroups.there()
    left = cgroups.sweep()
    removed = [f"cgroup {p}" for p in there if p not in left.busy and p not in left.stuck]
    problems = [f"cgroup {path}: {why}" for path, why in left.stuck.items()]
    if not left.busy and place is not None and os.path.isdir(place):
        try:
            fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            return Removed(removed, 0, [*problems, f"{place}: {error.strerror or error}"])
        try:
            _remove_if_last(place, fd)
        finally:
            os.close(fd)
        removed += [] if os.path.isdir(place) else [f"eBPF map in {place}"]
    return Removed(removed, len(left.busy), problems)


def _unloadable() -> list[str]:
    """Why the kernel does not take the programs, tried with a map that nobody else sees."""
    nothing = Redirect("ebpf", 15006, 15001, (), (), (), (), ())
    try:
        destinations = _map()
        try:
            for _, program in _programs(nothing, destinations):
                os.close(program)
        finally:
            os.close(destinations)
    except OSError as error:
        return [_why(error)]
    return []


def _why(error: OSError | struct.error) -> str:
    if isinstance(error, struct.error):
        return "too many networks and addresses are to be left alone for one program"
    if isinstance(error, syscall.Refused):
        lines = error.log.strip().splitlines()
        return f"{error.strerror}: {lines[-1] if lines else 'it is older than 5.8, perhaps'}"
    if error.errno == errno.ENOSYS:
        return "the kernel has no bpf(): it was built without CONFIG_BPF_SYSCALL"
    if error.errno in (errno.EPERM, errno.EACCES):
        by = "a seccomp profile, a user namespace or a lockdown of the kernel"
        return f"bpf() is forbidden here, by {by}"
    if error.errno == errno.EINVAL:
        needed = "CONFIG_CGROUP_BPF, and Linux 5.8 or newer"
        return f"the kernel does not know what is asked of it, which needs {needed}"
    return f"bpf(): {error.strerror or error}"


def _programs(redirect: Redirect, destinations: int) -> Iterator[tuple[syscall.Kind, int]]:
    """Each with a file descriptor, which is the caller's to close."""
    own, to = addresses.own(), redirect.outbound
    storage = syscall.socket_storage(destination.DESTINATION.size // 4, b"spangate_socks")
    try:
        for kind, code in (
            (syscall.CONNECT4, bpf_programs.connect(redirect, own, 4, storage)),
            (syscall.CONNECT6, bpf_programs.connect(redirect, own, 6, storage)),
            (syscall.SOCK_OPS, bpf_programs.sock_ops(to, storage, destinations)),
            (syscall.PEERNAME4, bpf_programs.getpeername(to, 4, storage)),
            (syscall.PEERNAME6, bpf_programs.getpeername(to, 6, storage)),
        ):
            yield kind, syscall.load(kind, code)
    finally:
        os.close(storage)


def _map() -> int:
    # Before Linux 5.11 maps counted as locked memory, of which little is allowed. Raised for as
    # long as it takes: what is run must not inherit it.
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    endless = resource.RLIM_INFINITY
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (endless, endless))
    try:
        sizes = destination.KEY.size, destination.DESTINATION.size
        return syscall.hash_map(*sizes, _MOST, b"spangate_dest")
    finally:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))


@contextlib.contextmanager
def _destinations(reader: int | None) -> Iterator[int]:
    """The map of this network namespace, made if it is not there."""
    place = destination.folder()
    assert place is not None
    folder = _shared(place)
    fd = -1
    try:
        fd = _readable(place, reader)
        yield fd
    finally:
        if fd >= 0:
            os.close(fd)
        if not cgroups.sweep().busy:
            _remove_if_last(place, folder)
        os.close(folder)


def _readable(place: str, reader: int | None) -> int:
    path = os.path.join(place, "destinations")
    try:
        fd = _opened(path)
    except OSError as error:
        raise CannotLoad([_why(error)]) from None
    try:
        os.chmod(place, 0o711)
        if reader is not None:
            os.chown(path, reader, -1)
    except OSError as error:
        os.close(fd)
        raise CannotLoad([f"{place}: {error.strerror or error}"]) from None
    return fd


def _shared(place: str) -> int:
    """The folder, open and locked together with others, so that it stays."""
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(place, 0o711)
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_SH)
        if os.fstat(fd).st_nlink:  # not removed since it was opened
            return fd
        os.close(fd)


def _opened(path: str) -> int:
    while True:
        with contextlib.suppress(FileNotFoundError):
            return syscall.opened(path)
        fd = _map()
        try:
            syscall.pin(path, fd)
        except FileExistsError:  # another one has been quicker
            os.close(fd)
            continue
        return fd


def _remove_if_last(place: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(place, "destinations"))
        os.rmdir(place)
