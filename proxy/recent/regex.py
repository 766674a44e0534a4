"""Regex: regular expressions in time that is linear in the text, for texts that strangers have
written.

`re` goes back and tries again: `(a+)+b` on thirty letters takes it minutes. Here a pattern becomes
a set of states that are followed all at once; which sets there are is found out as texts need them.
The grammar is what RE2 and `re` share of the usual: literals, `.`, classes, groups, `|`, `* + ?`
and `{m,n}`, `^` and `$` at the ends, `\\d \\w \\s`, and `(?i)` at the beginning. No references, no
looking around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MOST_PATTERN = 512  # characters
MOST_STATES = 1000
MOST_SETS = 500  # that are remembered
MOST_DEPTH = 50  # of groups
MOST_TIMES = 100  # of {m,n}
MOST_TEXT = 1024  # characters that are looked at

Fits = Callable[[str], bool]

_CLASSES: dict[str, Fits] = {
    "d": str.isdigit,
    "w": lambda char: char.isalnum() or char == "_",
    "s": str.isspace,
}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a"}


@dataclass(slots=True)
class _State:
    """Goes to `to` by a character that fits; without one, to all of `free` at once."""

    fits: Fits | None = None
    to: int = -1
    free: tuple[int, ...] = ()


class Regex:
    """A pattern that must fit the whole text. ValueError for what is none, or is too large."""

    __slots__ = ("_begin", "_folds", "_sets", "_states", "_steps")

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MOST_PATTERN:
            raise ValueError(f"the pattern is longer than {MOST_PATTERN} characters")
        self._folds = pattern.startswith("(?i)")
        parser = _Parser(pattern.casefold() if self._folds else pattern, 4 if self._folds else 0)
        self._states = parser.states
        self._begin = self._closed(parser.parse())
        self._sets: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def fits(self, text: str) -> bool:
        """Whether it fits the first MOST_TEXT characters, from the first to the last."""
        text = text[:MOST_TEXT]
        now = self._begin
        for char in text.casefold() if self._folds else text:
            now = self._after(now, char)
            if not now:
                return False
        return 0 in now  # the end

    def _after(self, now: frozenset[int], char: str) -> frozenset[int]:
        key = (now, char)
        found = self._sets.get(key)
        if found is None:
            if len(self._sets) >= MOST_SETS:
                self._sets.clear()
            there = {
                state.to
                for state in map(self._states.__getitem__, now)
                if state.fits is not None and state.fits(char)
            }
            found = self._sets[key] = self._closed(*there)
        return found

    def _closed(self, *states: int) -> frozenset[int]:
        """With all that can be reached without a character."""
        found, waiting = set(states), list(states)
        while waiting:
            for other in self._states[waiting.pop()].free:
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return frozenset(found)


_Part = Callable[[int], int]  # makes states that lead to the one given; the first of them


class _Parser:
    """Recursive descent; each part is a function, so that it can be made more than once."""

    def __init__(self, pattern: str, at: int) -> None:
        self.states = [_State()]  # 0 is the end
        self._pattern = pattern
        self._at = at
        self._depth = 0
        self._made = 0

    def parse(self) -> int:
        part = self._either()
        if self._at < len(self._pattern):
            raise self._wrong("nothing is open here")
        return part(0)

    def _wrong(self, why: str) -> ValueError:
        return ValueError(f"in the pattern, at character {self._at + 1}: {why}")

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise self._wrong("it ends too early")
        self._at += 1
        return char

    def _add(self, state: _State) -> int:
        if len(self.states) >= MOST_STATES:
            raise ValueError("the pattern is too large")
        self.states.append(state)
        return len(self.states) - 1

    def _either(self) -> _Part:
        parts = [self._row()]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._row())
        if len(parts) == 1:
            return parts[0]
        return lambda to: self._add(_State(free=tuple(part(to) for part in parts)))

    def _row(self) -> _Part:
        parts: list[_Part] = []
        while (char := self._peek()) and char not in "|)":
            parts.append(self._repeated(self._one()))

        def made(to: int) -> int:
            for part in reversed(parts):
                to = part(to)
            return to

        return made

    def _one(self) -> _Part:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._single(self._set())
        if char == ".":
            return self._single(lambda other: other != "\n")
        if char == "\\":
            return self._single(self._escaped())
        if char in "^$":
            return self._anchor(char)
        if char in "*+?{":
            raise self._wrong(f"nothing to repeat before {char!r}")
        return self._single(char.__eq__)

    def _anchor(self, char: str) -> _Part:
        """It has to fit the whole text anyway."""
        place = 0 if char == "^" else len(self._pattern) - 1
        before = self._pattern[: self._at - 1]
        if self._at - 1 == place or (char == "^" and before == "(?i)"):
            return lambda to: to
        raise self._wrong("^ and $ stand at the ends only")

    def _single(self, fits: Fits) -> _Part:
        return lambda to: self._add(_State(fits, to))

    def _group(self) -> _Part:
        if self._peek() == "?":
            if self._pattern[self._at : self._at + 2] != "?:":
                raise self._wrong("of the groups with (? there is only (?:")
            self._at += 2
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise self._wrong(f"more than {MOST_DEPTH} groups in each other")
        part = self._either()
        self._depth -= 1
        if self._next() != ")":
            raise self._wrong("the group is not closed")
        return part

    def _repeated(self, part: _Part) -> _Part:
        while (char := self._peek()) and char in "*+?{":
            self._at += 1
            least, most = self._times(char)
            if self._peek() == "?":
                self._at += 1  # the shortest first: the same, where only the whole counts
            part = self._copies(part, least, most)
        return part

    def _times(self, char: str) -> tuple[int, int | None]:
        if char != "{":
            return (1 if char == "+" else 0), (1 if char == "?" else None)
        inner, closed, _ = self._pattern[self._at :].partition("}")
        least, comma, most = inner.partition(",")
        if not closed or not _is_number(least) or not (_is_number(most) or not most):
            raise self._wrong("write {2}, {2,} or {2,5}")
        self._at += len(inner) + 1
        low = int(least)
        high = int(most) if most else None if comma else low
        if max(low, high or 0) > MOST_TIMES or (high is not None and high < low):
            raise self._wrong(f"{{{inner}}} is no number of times up to {MOST_TIMES}")
        return low, high

    def _copies(self, part: _Part, least: int, most: int | None) -> _Part:
        def made(to: int) -> int:
            if most is None:
                loop = self._add(_State())
                self.states[loop].free = (part(loop), to)
                to = loop
            else:
                end = to
                for _ in range(most - least):
                    to = self._add(_State(free=(part(to), end)))
            for _ in range(least):
                self._made += 1
                if self._made > MOST_STATES:  # of what is empty there may be many without a state
                    raise ValueError("the pattern is too large")
                to = part(to)
            return to

        return made

    def _escaped(self) -> Fits:
        char = self._next()
        if char.lower() in _CLASSES:
            fits = _CLASSES[char.lower()]
            return fits if char.islower() else lambda other: not fits(other)
        if char.isalnum():
            if char not in _CONTROLS:
                raise self._wrong(f"\\{char} has no meaning here")
            char = _CONTROLS[char]
        return char.__eq__

    def _set(self) -> Fits:
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[Fits] = []
        while not ranges or self._peek() != "]":
            ranges.append(self._range())
        self._at += 1
        return lambda char: any(fits(char) for fits in ranges) != negated

    def _range(self) -> Fits:
        low = self._next()
        if low == "\\":
            return self._escaped()
        if self._peek() != "-" or self._pattern[self._at + 1 : self._at + 2] in ("]", ""):
            return low.__eq__
        self._at += 1
        high = self._next()
        if high == "\\" or high < low:
            raise self._wrong(f"{low}-{high} is no range")
        return lambda char: low <= char <= high


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 4
