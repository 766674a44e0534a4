"""All ways to write the name of a field that some server takes for the same: "_" is "-" to many
(CGI, WSGI: RFC 3875 §4.1.18), wherever it stands."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

_MOST = 8  # dashes of which each is written both ways; behind them all are written one way


def spellings(names: Iterable[bytes]) -> frozenset[bytes]:
    """Each of `names`, in lower case, as it may be written."""
    return frozenset(way for name in names for way in _ways(name.lower()))


def _ways(name: bytes) -> Iterable[bytes]:
    parts = name.replace(b"_", b"-").split(b"-", _MOST)
    lasts = {parts[-1], parts[-1].replace(b"-", b"_")}
    for marks in product((b"-", b"_"), repeat=len(parts) - 1):
        begin = b"".join(part + mark for part, mark in zip(parts, marks, strict=False))
        yield from (begin + last for last in lasts)
