"""Regular expressions: RE2's there and Python's here, which read the same text alike but for what
one of them does not have.

Refused is what Python cannot read, what RE2 does not have (Envoy refuses it as well), and what
takes Python exponential time where RE2 takes linear one: a repetition without an end, all of whose
body is or may be one more of them, such as `(a+)+`. One request would hold a worker for good.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from proxy.sources.xds.reading import Refused

_parser: Any = import_module("re._parser")
_ENDLESS = 1000  # repetitions; RE2 allows so many at the most
FOREIGN = {
    "ASSERT": "(?=…)", "ASSERT_NOT": "(?!…)", "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "(?(…)…)", "ATOMIC_GROUP": "(?>…)", "POSSESSIVE_REPEAT": "a possessive +",
}  # fmt: skip


def map_regex(text: str) -> str:
    """As the file writes it."""
    try:
        re.compile(text)
        parsed = _parser.parse(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise Refused(f"RegexMatcher: {text!r} cannot be read here: {error}") from None
    _check(parsed, text)
    return "~" + text


def _check(parsed: Any, text: str) -> None:
    for op, of in parsed:
        name = str(op)
        if name in FOREIGN:
            raise Refused(f"RegexMatcher: {text!r} has {FOREIGN[name]}, which RE2 does not have")
        if _is_endless(name, of) and _repeats(of[2]):
            what = "repeats a repetition, for which a request may take for ever"
            raise Refused(f"RegexMatcher: {text!r} {what}")
        for part in _inner(name, of):
            _check(part, text)


def _is_endless(name: str, of: Any) -> bool:
    return name in ("MAX_REPEAT", "MIN_REPEAT") and of[1] >= _ENDLESS


def _repeats(body: Any) -> bool:
    """Whether all of it may be one endless repetition: whatever is beside that may be empty."""
    items = list(body)
    for place, (op, of) in enumerate(items):
        name = str(op)
        others = items[:place] + items[place + 1 :]
        if any(_least(other) for other in others):
            continue
        if _is_endless(name, of):
            return True
        if any(_repeats(part) for part in _inner(name, of)):
            return True
    return False


def _least(item: Any) -> int:
    """How many characters it takes at least."""
    name, of = str(item[0]), item[1]
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        return int(of[0] and sum(map(_least, of[2])))
    if name == "BRANCH":
        return int(min(sum(map(_least, part)) for part in of[1]))
    if name == "SUBPATTERN":
        return int(sum(map(_least, of[3])))
    return 0 if name == "AT" else 1


def _inner(name: str, of: Any) -> list[Any]:
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        return [of[2]]
    if name == "BRANCH":
        return list(of[1])
    return [of[3]] if name == "SUBPATTERN" else []
