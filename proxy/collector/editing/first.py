"""Which repetitions of a regular expression can end in more places than one.

In `[0-9]+:[0-9]+` each run ends where its digits end, since no digit is a colon: to match, or to
find that it does not, takes as long as the runs are together. In `.*:.*` each may end at every
colon, which multiplies. Sets of characters are numbers with a bit for each of ASCII, and two for
all others; where in doubt, a set is too large.
"""

from __future__ import annotations

from typing import Any

MANY = 16  # from here on a limit is none
_FOLDED = 1 << 128  # the letters beyond ASCII that are i, k or s where case does not matter
_STRANGE = 1 << 129  # all else beyond ASCII
_OTHERS = _FOLDED | _STRANGE
_ALL = (1 << 130) - 1
_LOOPS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")

_DIGITS = sum(1 << code for code in range(48, 58))
_WORDS = _DIGITS | sum(1 << c | 1 << (c + 32) for c in range(65, 91)) | 1 << 95
_SPACES = sum(1 << code for code in (9, 10, 11, 12, 13, 28, 29, 30, 31, 32))
_CATEGORIES = {"DIGIT": _DIGITS, "WORD": _WORDS, "SPACE": _SPACES}
_BEYOND = {"DIGIT": _STRANGE, "WORD": _OTHERS, "SPACE": _STRANGE}


def ambiguous(items: Any, after: int = 0) -> int:
    """How many there are; `after` is what may come behind the items.

    Raises ValueError for a repetition within one, unless the inner one ends in one place only.
    """
    found = 0
    for index, (operation, argument) in enumerate(items):
        name = str(operation)
        rest = _follow(items, index + 1, after)
        if name in _LOOPS:
            found += _repeated(argument, rest)
        elif name == "SUBPATTERN":
            found += ambiguous(argument[3], rest)
        elif name == "BRANCH":
            found += sum(ambiguous(part, rest) for part in argument[1])
        elif name in ("ASSERT", "ASSERT_NOT"):
            found += ambiguous(argument[1], _ALL)
        elif name == "ATOMIC_GROUP":
            found += ambiguous(argument, _ALL)
    return found


def _repeated(argument: Any, rest: int) -> int:
    _, most, body = argument
    begins = _follow(body, 0, 0)
    if most <= MANY:
        return int(most) * ambiguous(body, begins | rest if most > 1 else rest)
    if _has_loop(body) and (_heads([body])[1] or ambiguous(body, begins | rest)):
        raise ValueError("a repetition within a repetition can take for ever to match")
    single = len(body) == 1 and str(body[0][0]) in ("LITERAL", "NOT_LITERAL", "IN", "ANY")
    if single and not begins & rest:
        return 0
    return 1 + ambiguous(body, begins | rest)


def _has_loop(body: Any) -> bool:
    """Whether there is an unlimited repetition in it."""
    for operation, argument in body:
        name = str(operation)
        if name in _LOOPS and (argument[1] > MANY or _has_loop(argument[2])):
            return True
        parts = argument[1] if name == "BRANCH" else [argument[3]] if name == "SUBPATTERN" else []
        if any(_has_loop(part) for part in parts):
            return True
    return False


def _follow(items: Any, start: int, after: int) -> int:
    """The characters that can be the next one before items[start:] and what comes after."""
    found = 0
    for operation, argument in items[start:]:
        mask, may_be_empty = _head(str(operation), argument)
        found |= mask
        if not may_be_empty:
            return found
    return found | after


def _head(name: str, argument: Any) -> tuple[int, bool]:
    """What an item begins with, and whether it may match nothing."""
    if name in ("LITERAL", "NOT_LITERAL", "IN", "ANY"):
        return _set(name, argument), False
    if name == "AT":
        return 0, "END" not in str(argument)
    if name == "SUBPATTERN":
        return _heads([argument[3]])
    if name == "BRANCH":
        return _heads(argument[1])
    if name in _LOOPS:
        mask, may_be_empty = _heads([argument[2]])
        return mask, may_be_empty or argument[0] == 0
    return _ALL, True


def _heads(parts: Any) -> tuple[int, bool]:
    mask, may_be_empty = 0, False
    for part in parts:
        mask |= _follow(part, 0, 0)
        may_be_empty |= all(_head(str(op), arg)[1] for op, arg in part)
    return mask, may_be_empty


def _set(name: str, argument: Any) -> int:
    if name == "LITERAL":
        return _both_cases(argument)
    if name == "NOT_LITERAL":
        return _ALL & ~_bit(argument) | _OTHERS
    if name == "ANY":
        return _ALL
    negated = bool(argument) and str(argument[0][0]) == "NEGATE"
    if negated:
        inside = 0
        for operation, value in argument[1:]:
            inside |= _member(str(operation), value, exact=True)
        return _ALL & ~inside | _OTHERS
    mask = 0
    for operation, value in argument:
        mask |= _member(str(operation), value, exact=False)
    return mask


def _member(name: str, value: Any, *, exact: bool) -> int:
    """One part of a set; `exact`: nothing that may not be in it."""
    if name == "LITERAL":
        return _bit(value) & ~_OTHERS if exact else _both_cases(value)
    if name == "RANGE":
        low, high = value
        codes = range(low, min(high, 127) + 1)
        mask = sum(1 << code for code in codes) if exact else 0
        for code in () if exact else codes:
            mask |= _both_cases(code)
        return mask if exact or high < 128 else mask | _OTHERS
    category = str(value).removeprefix("CATEGORY_")
    known = _CATEGORIES.get(category.removeprefix("NOT_"), 0)
    if category.startswith("NOT_"):
        return (_ALL & ~_OTHERS) & ~known if exact else _ALL & ~known
    return known if exact else known | _BEYOND.get(category, _OTHERS)


def _bit(code: int) -> int:
    return 1 << code if code < 128 else _OTHERS


def _both_cases(code: int) -> int:
    """Whether case matters is not known here. Letters beyond ASCII fold to i, k and s."""
    if code >= 128:
        return _OTHERS | sum(1 << ord(letter) for letter in "iIkKsS")
    letter = chr(code)
    return 1 << code | 1 << ord(letter.swapcase()) | (_FOLDED if letter in "iIkKsS" else 0)
