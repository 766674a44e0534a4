"""Regular expressions: RE2's there and Python's here, which read the same text alike but for what
one of them does not have.

Refused is what Python cannot read, what RE2 does not have (Envoy refuses it as well), and what
takes Python exponential time where RE2 takes linear one: a repetition without an end that the same
text fits in many ways, such as `(a+)+` or `(a|aa)+`, see ambiguity.py. One request would hold a
worker for good.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from proxy.sources.xds.ambiguity import ENDLESS, Places, TooMuch
from proxy.sources.xds.reading import Refused

_parser: Any = import_module("re._parser")
_may_ignore_case = re.compile(r"\(\?[a-zA-Z]*i").search
LONGEST = 4096  # characters
FOREIGN = {
    "ASSERT": "(?=…)", "ASSERT_NOT": "(?!…)", "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "(?(…)…)", "ATOMIC_GROUP": "(?>…)", "POSSESSIVE_REPEAT": "a possessive +",
}  # fmt: skip


def map_regex(text: str) -> str:
    """As the file writes it."""
    if len(text) > LONGEST:
        what = f"has {len(text)} characters, more than {LONGEST}"
        raise Refused(f"RegexMatcher: {text[:50] + '…'!r} {what}")
    try:
        re.compile(text)
        parsed = _parser.parse(text)
        _check_syntax(parsed, text)
        _check_time(parsed, text)
    except (re.error, RecursionError, OverflowError) as error:
        raise Refused(f"RegexMatcher: {text!r} cannot be read here: {error}") from None
    except TooMuch:
        what = "repeats so much that it cannot be said how long a request may take"
        raise Refused(f"RegexMatcher: {text!r} {what}") from None
    return "~" + text


def _check_syntax(parsed: Any, text: str) -> None:
    for op, of in parsed:
        name = str(op)
        if name in FOREIGN:
            raise Refused(f"RegexMatcher: {text!r} has {FOREIGN[name]}, which RE2 does not have")
        for part in _inner(name, of):
            _check_syntax(part, text)


def _check_time(parsed: Any, text: str) -> None:
    for op, of in parsed:
        name = str(op)
        if name in ("MAX_REPEAT", "MIN_REPEAT") and of[1] >= ENDLESS:
            if Places(_may_ignore_case(text) is not None).is_ambiguous(op, of):
                what = "repeats a repetition or a choice that one text fits in many ways"
                raise Refused(f"RegexMatcher: {text!r} {what}: a request may take for ever")
            continue
        for part in _inner(name, of):
            _check_time(part, text)


def _inner(name: str, of: Any) -> list[Any]:
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        return [of[2]]
    if name == "BRANCH":
        return list(of[1])
    return [of[3]] if name == "SUBPATTERN" else []
