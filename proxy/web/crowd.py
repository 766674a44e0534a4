"""Crowd: what all servers of a process share among their connections: its descriptors.

A server joins while it listens. Where the share is used up, the fullest server makes room.
"""

from __future__ import annotations

import resource
from typing import Protocol

SHARE = 0.5  # of the process's descriptors, for the connections of all servers that joined
BACKLOG = 1024  # what the kernel accepts for us, at most and
BACKLOG_SHARE = 0.125  # of the descriptors, since all of it may become some in one turn


class Member(Protocol):
    """A server."""

    def __len__(self) -> int:
        """Its connections."""

    def evict(self) -> bool:
        """Close one that can best be spared; False if there is none."""


_members: set[Member] = set()


def join(member: Member) -> None:
    _members.add(member)


def leave(member: Member) -> None:
    _members.discard(member)


def has_room(member: Member) -> bool:
    """Whether it may take one more connection, for which another may have been closed."""
    if sum(map(len, _members)) < _descriptors(SHARE):
        return True
    others = sorted(_members - {member}, key=len, reverse=True)
    fullest = [*others, member] if others and len(others[0]) > len(member) else [member, *others]
    return any(server.evict() for server in fullest)


def backlog() -> int:
    return min(BACKLOG, _descriptors(BACKLOG_SHARE))


def _descriptors(share: float) -> int:
    """So much of what the process may open."""
    return max(1, int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * share))
