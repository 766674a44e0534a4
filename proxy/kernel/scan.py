"""Small things that are looked for in every head, and a form of heads that compiled code has.

Uncompiled, llhttp reads every head (`http/h1.py`) and gives lists, so that no Lines are made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

Pair = tuple[bytes, bytes]


class Lines:
    """The field lines of one head."""

    data: bytes
    count: int
    fields: dict[bytes, bytes]  # the special ones
    seen: int  # their bits, `headers.bits`
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


_MOST_DIGITS = 19  # below 2**64 in every reader


def decimal(value: bytes) -> int | None:
    """The number that 1 to 19 digits and nothing else say; None if they do not."""
    return int(value) if value.isdigit() and len(value) <= _MOST_DIGITS else None


_PLAIN = r"A-Za-z0-9_~!$&'()*+,;=:@\-"  # pchar without "." and "%", RFC 3986 §3.3
# Whether a path is in normal form and usual: "/", or segments that begin with neither a dot nor a
# slash and hold nothing to do, and perhaps a slash behind them: 0.2 µs for 14 characters.
# Possessive, so that nothing is tried twice: 0.3 instead of 0.4 µs for 67.
is_ordinary: Callable[[str], object] = re.compile(rf"(?:/[{_PLAIN}][{_PLAIN}.]*+)++/?|/").fullmatch
