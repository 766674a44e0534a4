"""What heads are made of: in compiled code the bytes that came and offsets in them, here a list.

Uncompiled, llhttp reads every head (`http/h1.py`), so that no Lines are made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

Pair = tuple[bytes, bytes]

SCANS = False  # whether heads are scanned, or all of them left to llhttp


class Lines:
    """The field lines of one head, and what its first line says."""

    count: int
    seen: int  # bits of the special names, `headers.bits`
    method: str
    version: str
    path: str  # as in RequestHead; "" = the target is unusual
    query: str
    tail: str
    target: bytes
    reason: bytes
    status: int
    dated: bool  # has a Date

    def pairs(self) -> list[Pair]:
        """Those that are passed on, in order."""
        raise NotImplementedError

    def lowered(self) -> list[Pair]:
        """The same, names in lower case and values without whitespace around."""
        raise NotImplementedError

    def each(self, name: bytes) -> list[bytes]:
        """The values of those that are passed on, without whitespace around; by lower-case name."""
        raise NotImplementedError

    def special(self, name: bytes) -> bytes | None:
        """The value of a special one."""
        raise NotImplementedError

    def remove(self, names: Collection[bytes]) -> None:
        """Take away those with one of these lower-case names."""
        raise NotImplementedError

    def drop_underscores(self) -> None:
        """Take away those whose names have an underscore."""
        raise NotImplementedError


class Head:
    """The fields of a head: here always a dict of the special ones, and no Lines."""

    __slots__ = ("field", "fields", "lines")

    fields: dict[bytes, bytes]  # to be read: `hold` sets it
    lines: Lines | None
    # `field(name)`: one special field, or None. Without a frame of its own: 900 instructions less,
    # eight times a request (make bench-check).
    field: Callable[[bytes], bytes | None]

    def hold(self, fields: dict[bytes, bytes]) -> None:
        """These are the special fields."""
        self.fields = fields
        self.field = fields.get

    def some(self, bits: int) -> dict[bytes, bytes]:
        """The special fields with one of these bits, and perhaps others."""
        return self.fields

    def unscanned(self) -> list[Pair]:
        """Lines as a list, from when on the list counts."""
        raise NotImplementedError


def scan_request(data: bytes) -> Lines | None:
    """The head in `data`, which ends with its blank line; None: llhttp has to read it."""
    return None


def scan_response(data: bytes) -> Lines | None:
    """As scan_request."""
    return None
