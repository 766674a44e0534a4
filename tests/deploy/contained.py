"""Runs a command as a container does that has a read-only root and no capabilities.

    python contained.py UID [CAPABILITY…] -- COMMAND…

A mount namespace of its own in which nothing can be written, whatever its owner; the user and
group UID, without other groups; no capabilities but those that are named, which root has and
nobody else; no way to gain any (no_new_privs); no memory that is both writable and executable, as
systemd's MemoryDenyWriteExecute has it, where the kernel can do that (6.3).
"""

from __future__ import annotations

import ctypes
import os
import sys

_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE = 24, 38, 65
_CAPABILITIES = {"NET_BIND_SERVICE": 10, "NET_ADMIN": 12}
_NEWEST = 63

_libc = ctypes.CDLL(None, use_errno=True)


def _must(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _nothing_is_writable() -> None:
    _must(_libc.unshare(_CLONE_NEWNS), "unshare")
    _must(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "private mounts")
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        places = [line.split()[4].encode().decode("unicode_escape") for line in file]
    for place in places:
        if place == "/proc" or place.startswith("/proc/"):
            continue  # a container's own may be written to, by whom it concerns
        flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY
        if _libc.mount(None, os.fsencode(place), None, flags, None) and place == "/":
            _must(-1, "a read-only root")


def main(words: list[str]) -> None:
    before, command = words[: words.index("--")], words[words.index("--") + 1 :]
    uid, kept = int(before[0]), {_CAPABILITIES[name] for name in before[1:]}
    _nothing_is_writable()
    for number in range(_NEWEST + 1):
        if number not in kept:
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # EINVAL: there is none
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _must(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
