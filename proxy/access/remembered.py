"""What was found out lately, so that it need not be found out again: a bounded memory.

Two dicts, a young and an old one: what is asked for is moved into the young one, and when that is
full it becomes the old one and the other is forgotten. So what is used stays, as with a list in
the order of use, for two lookups and without a list.
"""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class Remembered(Generic[V]):
    """Values by digest. `most` values are surely kept, twice as many at most; `weight` the same."""

    __slots__ = ("_left", "_most", "_old", "_weight", "_young")

    def __init__(self, most: int, weight: int) -> None:
        self._most = most
        self._weight = weight
        self._left = weight
        self._young: dict[bytes, tuple[V, int]] = {}
        self._old: dict[bytes, tuple[V, int]] = {}

    def get(self, digest: bytes) -> V | None:
        found = self._young.get(digest)
        if found is None:
            found = self._old.pop(digest, None)
            if found is None:
                return None
            self.put(digest, *found)
        return found[0]

    def put(self, digest: bytes, value: V, weight: int) -> None:
        """`weight`: about how many bytes it takes."""
        if len(self._young) >= self._most or self._left < weight:
            self._old, self._young, self._left = self._young, {}, self._weight
        self._young[digest] = (value, weight)
        self._left -= weight

    def forget(self, digest: bytes) -> None:
        """It does not count any more."""
        self._young.pop(digest, None)
        self._old.pop(digest, None)
