"""Users and groups of this host, by name or number."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable

_MOST = 2**32 - 2  # -1 is nobody's: it means "leave it" to setuid(2)


def user_number(text: str) -> int:
    """ValueError for a name that this host does not know."""
    number = _number(text)
    if number is not None:
        return number
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        raise ValueError(f"there is no user {text!r} here") from None


def group_number(text: str) -> int:
    """The same for a group."""
    number = _number(text)
    if number is not None:
        return number
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError):
        raise ValueError(f"there is no group {text!r} here") from None


def becoming(name: str) -> Callable[[], None]:
    """What makes this process that user's, with the groups that it has. ValueError for a name
    that this host does not know; a number without one gets the group of that number."""
    number = user_number(name)
    try:
        entry = pwd.getpwuid(number)
    except KeyError:
        return lambda: _become(number, number, [number])
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return lambda: _become(number, entry.pw_gid, groups)


def _become(uid: int, gid: int, groups: list[int]) -> None:
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    if int(text) > _MOST:
        raise ValueError(f"{text} is no number of a user or group")
    return int(text)
