"""Regular expressions that a file may hold: those that cannot be made to run for ever.

Python's engine tries every way to match, so that `(a+)+$` takes years for thirty letters, and
the text that it meets is written by strangers. Refused are repetitions and alternatives within
unlimited repetitions, and within limited ones where that makes too many ways. What is left is
polynomial in the length of the text, which callers cap, and of a degree that is bounded (`first`).
"""

from __future__ import annotations

import re
from re import _parser  # type: ignore[attr-defined]  # the only way to see what was written
from typing import Any

from proxy.collector.editing.first import MANY, ambiguous

MAX_PATTERN = 512  # characters
# Unlimited repetitions that can end in several places: each multiplies the worst case.
MAX_LOOPS = 4
MAX_WAYS = 100_000  # in which a limited repetition can match
MAX_SUBJECT = 1024  # characters of a text that are looked at

_LOOPS = ("MAX_REPEAT", "MIN_REPEAT")
_REFUSED = {"GROUPREF": "a back reference", "GROUPREF_EXISTS": "a conditional group"}


def compile_pattern(text: str) -> re.Pattern[str]:
    """The compiled pattern; ValueError says what is wrong with it."""
    if len(text) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    try:
        compiled = re.compile(text)
        tree = _parser.parse(text)
        _weigh(tree)
        loops = ambiguous(tree)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if loops > MAX_LOOPS:
        raise ValueError(f"{loops} unlimited repetitions in one pattern; {MAX_LOOPS} are allowed")
    return compiled


def loops_in(compiled: re.Pattern[str]) -> tuple[int, int]:
    """(unlimited repetitions, those of them that can end in several places)."""
    tree = _parser.parse(compiled.pattern)
    return _weigh(tree)[0], ambiguous(tree)


def _weigh(tree: Any) -> tuple[int, int]:
    """(unlimited repetitions, ways of everything else to match)."""
    loops, ways = 0, 1
    before = ""  # the body of an unlimited repetition just before
    for operation, argument in tree:
        name = str(operation)
        body = f"{argument[2]}" if name in _LOOPS and argument[1] > MANY else ""
        if body and body == before:
            raise ValueError("the same repetition twice can take for ever to match")
        before = body
        if name in _REFUSED:
            raise ValueError(f"{_REFUSED[name]} can take for ever to match")
        if name in _LOOPS:
            more, times = _repeated(*argument)
        else:
            inside = [_weigh(part) for part in _parts(argument)]
            more, times = sum(found[0] for found in inside), 1
            for _, found in inside:
                times *= found
            times *= len(inside) if name == "BRANCH" else 1
        loops, ways = loops + more, ways * times
    return loops, ways


def _repeated(least: int, most: int, body: Any) -> tuple[int, int]:
    loops, ways = _weigh(body)
    if most > MANY:
        if ways > 1:
            raise ValueError("repeated alternatives can take for ever; use a set: [ab]*")
        # {n} is no choice, only long
        return loops + int(least != most), 1
    times = (int(most) - int(least) + 1) * ways ** int(most)
    if times > MAX_WAYS:
        raise ValueError("a repetition within a repetition can take for ever to match")
    return loops * int(most), times


def _parts(argument: Any) -> list[Any]:
    """What is itself a pattern, in the argument of an operation."""
    if isinstance(argument, _parser.SubPattern):
        return [argument]
    if isinstance(argument, list | tuple):
        return [part for item in argument for part in _parts(item)]
    return []
