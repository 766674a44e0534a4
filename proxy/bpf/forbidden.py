"""Why this process cannot look up where commands' connections wanted to go, and what to do."""

from __future__ import annotations

import errno
import os
import re

REASONS = (errno.EACCES, errno.EPERM, errno.ENOSYS)


def told(error: OSError, path: str, uid: int) -> str:
    """In words; `path` is that of the map, which commands have made, and `uid` who this is."""
    if error.errno != errno.EACCES:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return denied(file.read())
    try:
        if why := barred(os.path.dirname(os.path.dirname(path)), uid):
            return why
        is_own = os.stat(path).st_uid == uid
    except OSError:
        is_own = False
    if is_own:
        return f"{path} is this user's, and a security module (SELinux, AppArmor) forbids it"
    return f"start them by spangate mesh run --sidecar-user {uid}"


def barred(bpffs: str, uid: int) -> str:
    """That the user may not enter the folder, as systemd mounts it; "" = may. No group counts."""
    found = os.stat(bpffs)
    entry = 0o100 if found.st_uid == uid else 0o001
    if uid == 0 or found.st_mode & entry:
        return ""
    return f"user {uid} may not enter {bpffs}: chmod o+x {bpffs}"


def denied(status: str) -> str:
    """bpf() itself is, whoever asks; `status` is /proc/self/status."""
    if re.search(r"^Seccomp:\s*[12]$", status, re.MULTILINE):
        return (
            "a seccomp profile denies bpf() to this process: give it CAP_BPF, for which those of"
            " containers allow it (--cap-add BPF), or a profile that has bpf"
        )
    return (
        "the kernel denies bpf() to this process: give it CAP_BPF, which it needs before Linux"
        " 5.19, unless a lockdown or a security module is why"
    )
