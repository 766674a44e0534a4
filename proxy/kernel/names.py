"""Which field names are special: a table of compiled code alone (`http/h1.py` has its own)."""

from __future__ import annotations

from collections.abc import Collection


def know_names(
    names: tuple[bytes, ...],
    request: Collection[bytes],
    response: Collection[bytes],
    noticed: Collection[bytes],
    repeated: Collection[bytes],
) -> None:
    """`names`: all special names, in lower case, whose places give kinds and bits; which of them
    are special in requests and in responses, which are passed on and noticed in those, and which
    have the same value again and again."""
