"""Comparers: one operator and one value as a function of what a span has.

Values are as `spanscan.pick` gives them, texts in UTF-8, or decoded; a span that has none, or one
of another type, fits nothing but a question for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.recent.regex import Regex

MOST_KNOWN = 1000  # texts of which it is remembered whether a pattern fits

Literal = str | int | float | bool | None


def comparer(op: str, wanted: Literal) -> Callable[[Any], bool]:
    if wanted is None:
        return (lambda value: value is None) if op == "=" else (lambda value: value is not None)
    if op in ("=~", "!~"):
        return _by_pattern(Regex(str(wanted)), op == "=~")
    if op in ("is", "has"):
        return _by_text(op, str(wanted))
    if isinstance(wanted, bool):
        return lambda value: isinstance(value, bool) and _compared(op, value, wanted)
    if isinstance(wanted, str):
        raw = wanted.encode("utf-8", "replace")
        return lambda value: (
            _compared(op, value, raw)
            if isinstance(value, bytes)
            else isinstance(value, str) and _compared(op, value, wanted)
        )
    return lambda value: (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and _compared(op, value, wanted)
    )


def _compared(op: str, value: Any, wanted: Any) -> bool:
    if op in ("=", "!="):
        return bool((value == wanted) == (op == "="))
    if op in ("<", "<="):
        return bool(value < wanted or (op == "<=" and value == wanted))
    return bool(value > wanted or (op == ">=" and value == wanted))


def _by_pattern(regex: Regex, positive: bool) -> Callable[[Any], bool]:
    known: dict[bytes | str, bool] = {}  # the same few names come again and again

    def fits(value: Any) -> bool:
        if not isinstance(value, bytes | str):
            return False
        found = known.get(value)
        if found is None:
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            found = regex.fits(text) == positive
            if len(known) < MOST_KNOWN:
                known[value] = found
        return found

    return fits


def _by_text(op: str, wanted: str) -> Callable[[Any], bool]:
    lower = wanted.lower()

    def fits(value: Any) -> bool:
        if value is None:
            return False
        told = as_text(value)
        return told == wanted if op == "is" else lower in told.lower()

    return fits


def as_text(value: Any) -> str:
    """A value as tags have it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
