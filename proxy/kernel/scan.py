"""The field lines of a head as offsets into the bytes that came: a form of compiled code alone.

Uncompiled, llhttp reads every head (`http/h1.py`) and gives lists, so that none of these is made.
"""

from __future__ import annotations

from collections.abc import Collection

Pair = tuple[bytes, bytes]


class Lines:
    """The field lines of one head."""

    __slots__ = ()

    def pairs(self) -> list[Pair]:
        """Those that are passed on, in order."""
        raise NotImplementedError

    def each(self, name: bytes) -> list[bytes]:
        """The values of those that are passed on, without whitespace around; by lower-case name."""
        raise NotImplementedError

    def remove(self, names: Collection[bytes]) -> None:
        """Take away those with one of these lower-case names."""
        raise NotImplementedError

    def drop_underscores(self) -> None:
        """Take away those whose names have an underscore."""
        raise NotImplementedError
