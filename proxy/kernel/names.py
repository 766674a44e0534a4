"""Which field names are special: a table of compiled code alone (`http/h1.py` has its own)."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def know_names(
    places: Mapping[bytes, int],
    request: Collection[bytes],
    response: Collection[bytes],
    noticed: Collection[bytes],
    repeated: Collection[bytes],
    marks: Mapping[str, int],
) -> None:
    """`places`: all special names, in lower case, and of each the place of its bit, which several
    may share; which of them are special in requests and in responses, which are passed on and
    noticed in those, and which have the same value again and again. `marks`: the places of the bits
    "old", HTTP/1.0, and "underscored"."""
