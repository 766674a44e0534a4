"""What each key means, in words for editors: the comments of the model, and what many share.

A comment stands beside its key, behind the last line of a longer one, or on lines of its own above.
A key without any is a table that says what it is, or one of those that mean the same wherever they
are.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any, get_args, get_origin

import msgspec

from proxy.config.convert import without_none
from proxy.config.words.text import read

_FIELD = re.compile(r"    (\w+): ")
_COMMENT = re.compile(r"[^#\"']*(?:(?:\"[^\"\n]*\"|'[^'\n]*')[^#\"']*)*#\s?(.+)")

SHARED = read("""
timeout
    how long one request may take
headers
    sent with each request; their values are never shown
compression
    of each request
name
    what it is called in metrics and messages
type
    which of the tables beside it says the rest
""")


@cache
def comments_of(table: type) -> dict[str, str]:
    """Key -> the comment about it in the model, those of the tables that it extends included."""
    found: dict[str, str] = {}
    for base in reversed(table.__mro__):
        if issubclass(base, msgspec.Struct) and base is not msgspec.Struct:
            try:
                found.update(_comments(inspect.getsource(base)))
            except OSError:  # made by a function
                continue
    return found


def about(name: str, kind: Any) -> str:
    """What a key means that has no comment of its own."""
    return SHARED.get(name) or _title(kind)


def _comments(source: str) -> dict[str, str]:
    found: dict[str, str] = {}
    above: list[str] = []
    field = ""
    for line in source.splitlines():
        if start := _FIELD.match(line):
            field = start[1]
            if above:
                found[field] = " ".join(above)
        elif line.startswith("    #"):
            above.append(line.strip(" #"))
            continue
        elif not line.startswith(("     ", "    )")):
            field = ""  # a method, or a blank line
        above = []
        if field and (comment := _COMMENT.match(line)):
            found[field] = f"{found.get(field, '')} {comment[1]}".strip()
    return found


def _title(kind: Any) -> str:
    """The first sentence about a table, or about those in a list or table of them."""
    kind = without_none(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return inspect.cleandoc(kind.__doc__ or "")
    inner = [arg for arg in get_args(kind) if get_origin(kind) in (list, dict)]
    return _title(inner[-1]) if inner else ""
