"""Regular expressions that a file may hold: those that cannot be made to run for ever.

Python's engine tries every way to match, so that `(a+)+$` takes years for thirty letters, and
the text that it meets is written by strangers. Refused are repetitions within repetitions, two
neighbouring unlimited ones of the same, alternatives repeated that begin alike being the same
thing in disguise; what is left is polynomial, and callers cap the text as well.
"""

from __future__ import annotations

import re
from re import _parser  # type: ignore[attr-defined]  # the only way to see what was written
from typing import Any

MAX_PATTERN = 512  # characters
MAX_LOOPS = 6  # unlimited repetitions in one pattern, each multiplies the worst case by the length
MAX_SUBJECT = 2048  # characters of a text that are looked at

_MANY = 16  # {0,16} within a repetition is bearable, {0,1000} is not
_LOOPS = ("MAX_REPEAT", "MIN_REPEAT")
_REFUSED = {"GROUPREF": "a back reference", "GROUPREF_EXISTS": "a conditional group"}


def compile_pattern(text: str) -> re.Pattern[str]:
    """The compiled pattern; ValueError says what is wrong with it."""
    if len(text) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    try:
        compiled = re.compile(text)
        loops = _loops(_parser.parse(text), False)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if loops > MAX_LOOPS:
        raise ValueError(f"{loops} unlimited repetitions in one pattern; {MAX_LOOPS} are allowed")
    return compiled


def _loops(tree: Any, inside: bool) -> int:
    """Unlimited repetitions; ValueError for one within another."""
    total = 0
    for operation, argument in tree:
        name = str(operation)
        if name in _REFUSED:
            raise ValueError(f"{_REFUSED[name]} can take for ever to match")
        if name in _LOOPS:
            most, body = argument[1], argument[2]
            loop = most > _MANY
            if loop and inside:
                raise ValueError("a repetition within a repetition can take for ever to match")
            total += loop + _loops(body, inside or loop)
            if loop and any(str(op) == "BRANCH" for op, _ in _flat(body)):
                raise ValueError("repeated alternatives can take for ever; use a set: [ab]*")
        else:
            total += sum(_loops(sub, inside) for sub in _parts(argument))
    return total


def _parts(argument: Any) -> list[Any]:
    """What is itself a pattern, in the argument of an operation."""
    if isinstance(argument, _parser.SubPattern):
        return [argument]
    if isinstance(argument, list | tuple):
        return [part for item in argument for part in _parts(item)]
    return []


def _flat(tree: Any) -> list[Any]:
    found = []
    for operation, argument in tree:
        found.append((operation, argument))
        for part in _parts(argument):
            found += _flat(part)
    return found
