"""The field lines of a head as offsets into the bytes that came: a form of compiled code alone.

Uncompiled, llhttp reads every head (`http/h1.py`) and gives lists, so that none of these is made.
"""

from __future__ import annotations

from collections.abc import Collection

Pair = tuple[bytes, bytes]


class Lines:
    """The field lines of one head."""

    data: bytes
    count: int
    fields: dict[bytes, bytes]  # the special ones
    seen: int  # their bits, `headers.bits`
    method: str
    version: str
    target: bytes
    reason: bytes
    status: int
    dated: bool  # has a Date

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


def know_methods(names: tuple[str, ...]) -> None:
    """The methods whose requests have an ordinary target."""


def scan_request(data: bytes) -> Lines | None:
    """The head in `data`, which ends with its blank line; None: llhttp has to read it."""
    return None


def scan_response(data: bytes) -> Lines | None:
    """As scan_request."""
    return None
