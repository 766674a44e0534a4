"""The authority of `local:///DIR` on its disk: two files, and one writer at a time.

`authority.json` has all of it, keys too, and is made readable by its owner alone; it is replaced as
a whole, so that nobody ever reads half of a rotation, and stays whose it is, whoever rotates it.
`bundle.pem` is what others need to verify. Who writes holds `.lock`, which is never removed.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from proxy.mesh.ca import LONGEST, OVERLAP, Authority, founded, new_root
from proxy.mesh.local import STATE as STATE

BUNDLE = "bundle.pem"
_LOCK = ".lock"


def read(folder: str) -> Authority | None:
    """What is there; None if there is none. ValueError if it is no use, OSError."""
    place = Path(folder, STATE)
    try:
        data = place.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = msgspec.json.decode(data, type=Authority)
    except ValueError as error:
        raise ValueError(f"{place} is no authority: {error}") from None
    if not found.roots:
        raise ValueError(f"{place} has no root")
    return found


def made(folder: str, domain: str, now: float) -> Authority:
    """What is there, or a new one for `domain`; with another root if it is time for one.
    ValueError, also if it is for another trust domain; OSError."""
    found = read(folder)
    if found is not None and not found.is_due(now):
        return _of(found, domain, folder)
    with _held(folder):
        found = read(folder)  # another one may have been faster
        if found is None:
            found = founded(domain or "mesh", now)
        elif found.is_due(now):
            found = found.rotated(new_root(found.domain, now, now + OVERLAP), now)
        else:
            return _of(found, domain, folder)
        _write(folder, found, now)
    return _of(found, domain, folder)


def rotate(folder: str, now: float, overlap: float = OVERLAP) -> Authority:
    """Another root, which signs in `overlap` seconds. ValueError if there is no authority, if the
    last rotation is not over yet, or if nobody would sign in between; OSError."""
    with _held(folder):
        found = read(folder)
        if found is None:
            raise ValueError(f"there is no authority in {folder}")
        if found.roots[-1].since > now:
            raise ValueError("a new root waits already to sign")
        if overlap > OVERLAP and now + overlap > found.signer(now).until - LONGEST:
            raise ValueError("the root that signs now ends before the new one would: overlap less")
        found = found.rotated(new_root(found.domain, now, now + overlap), now)
        _write(folder, found, now)
    return found


def _of(found: Authority, domain: str, folder: str) -> Authority:
    if domain and found.domain != domain:
        raise ValueError(f"the authority in {folder} is for {found.domain!r}, not for {domain!r}")
    return found


@contextmanager
def _held(folder: str) -> Iterator[None]:
    """Alone, for as long as it takes."""
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = _lock(folder)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _lock(folder: str) -> int:
    """What is locked, open. The folder itself will not do: whoever may read that could hold it
    for ever. So it is a file for those who may write in the folder, whoever has made it."""
    place = Path(folder, _LOCK)
    with suppress(FileExistsError):
        fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        above = os.stat(folder)
        mode = 0o660 if above.st_mode & stat.S_IWGRP else 0o600
        try:
            _give(fd, above, mode)
        finally:
            os.close(fd)
    return os.open(place, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)


def _write(folder: str, authority: Authority, now: float) -> None:
    state = msgspec.json.format(msgspec.json.encode(authority), indent=1)
    replace(Path(folder, BUNDLE), authority.bundle(now), 0o644, keeps=True)
    replace(Path(folder, STATE), state, 0o600, keeps=True)


def replace(path: Path, data: bytes, mode: int, *, keeps: bool = False) -> None:
    """In one go, so that nobody ever reads half of it. `keeps`: it belongs to whom the one that is
    there belongs, which must be known to be no stranger's."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        if keeps:
            _hand_on(fd, path)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _hand_on(fd: int, path: Path) -> None:
    """To whom the one belongs that it replaces, and who may read that: an authority that root has
    rotated is still read by the sidecars' user. A link says nothing of that, being anybody's."""
    try:
        old = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISREG(old.st_mode):
        _give(fd, old, old.st_mode & 0o666)


def _give(fd: int, like: os.stat_result, mode: int) -> None:
    """To the owner and the group of `like`, as far as this process may do so."""
    for owner in (like.st_uid, -1):
        with suppress(PermissionError):
            os.fchown(fd, owner, like.st_gid)
            break
    if os.fstat(fd).st_gid != like.st_gid:
        mode &= ~stat.S_IRWXG  # that is another group
    os.fchmod(fd, mode)
