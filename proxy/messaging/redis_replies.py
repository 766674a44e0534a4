"""What replies of Redis or Valkey say about streams. It asks nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def told(pairs: Sequence[Any]) -> dict[bytes, Any]:
    """What XINFO says: names and values by turns."""
    return dict(zip(pairs[::2], pairs[1::2], strict=False))


def order(entry: str) -> tuple[int, ...]:
    """Ids of entries as they follow each other."""
    return tuple(map(int, entry.split("-")))


def lag_of(groups: Any, wanted: str) -> int | None:
    said = _group_of(groups, wanted)
    return int(said.get(b"lag") or 0) + int(said.get(b"pending") or 0) if said else None


def last_of(groups: Any, wanted: str) -> str | None:
    """The entry after which the group goes on, whoever took it."""
    last = _group_of(groups, wanted).get(b"last-delivered-id")
    return last.decode("ascii", "replace") if isinstance(last, bytes) else None


def _group_of(groups: Any, wanted: str) -> dict[bytes, Any]:
    """What XINFO GROUPS says of that one; {} where it is not there."""
    for group in groups if isinstance(groups, list) else ():
        said = told(group)
        if said.get(b"name") == wanted.encode():
            return said
    return {}
