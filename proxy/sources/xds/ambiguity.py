"""Whether an endless repetition may match one text in many ways, for which Python takes time that
is exponential in the length of the text.

The expression is taken as its places, one for each character that it says, and the steps from
place to place (Glushkov's automaton). All of an endless repetition leads back to where it began. So
the ways multiply where two of them part and meet again by the same text: two copies walk side by
side, by characters that both can take. `x{2,5}` is taken as `x+`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

ENDLESS = 1000  # repetitions; RE2 allows so many at the most
WORK = 200_000  # steps that are looked at

# What characters are told apart: ASCII, and of the others a digit, a letter, a space, and the rest
_SIGNS = [chr(n) for n in range(128)] + ["٣", "é", "\u2003", "—"]
_ALL = (1 << len(_SIGNS)) - 1
_FOREIGN = _ALL ^ ((1 << 128) - 1)


class TooMuch(Exception):
    """It cannot be said in reasonable time."""


def _matched_by(pattern: str) -> int:
    return sum(1 << n for n, sign in enumerate(_SIGNS) if re.match(pattern, sign))


_CLASSES = {
    f"CATEGORY_{of}{name}": _matched_by(text) ^ (_ALL if of else 0)
    for name, text in (("DIGIT", r"\d"), ("SPACE", r"\s"), ("WORD", r"\w"))
    for of in ("", "NOT_")
}


def _some(low: int, high: int, any_case: bool) -> int:
    """At least the signs that a range of characters takes."""
    if high > 127:
        return _ALL if any_case else _FOREIGN | _some(low, 127, False) if low < 128 else _FOREIGN
    found = ((1 << (high + 1)) - 1) ^ ((1 << low) - 1)
    for letter in map(chr, range(low, high + 1)) if any_case else ():
        found |= 1 << ord(letter.lower()) | 1 << ord(letter.upper())
        found |= _FOREIGN if letter in "iksIKS" else 0  # such as the sign for kelvin
    return found


def _sure(low: int, high: int) -> int:
    """At most these signs."""
    high = min(high, 127)
    return ((1 << (high + 1)) - 1) ^ ((1 << low) - 1) if low <= high else 0


def _signs(name: str, of: Any, any_case: bool) -> int:
    """At least those that this character may be."""
    if name == "LITERAL":
        return _some(of, of, any_case)
    if name == "NOT_LITERAL":
        return _ALL ^ _sure(of, of)
    return _of_set(of, any_case) if name == "IN" else _ALL


def _of_set(items: Any, any_case: bool) -> int:
    some = sure = 0
    for op, of in items:
        if str(op) == "CATEGORY":
            some |= _CLASSES[str(of)]
            sure |= _CLASSES[str(of)]
        elif str(op) != "NEGATE":
            low, high = of if str(op) == "RANGE" else (of, of)
            some |= _some(low, high, any_case)
            sure |= _sure(low, high)
    return _ALL ^ sure if str(items[0][0]) == "NEGATE" else some


@dataclass(slots=True)
class Part:
    """The places that a part of an expression begins and ends with."""

    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    may_be_empty: bool = True


class Places:
    """Of one endless repetition. `any_case`: it may not tell letters apart by case."""

    def __init__(self, any_case: bool) -> None:
        self._any_case = any_case
        self._taken: list[int] = []  # by place: the signs that it takes
        self._steps: list[list[int]] = []  # by place: where it goes on; twice = by two ways
        self._is_empty_twice = False  # a part of it, by two ways
        self._work = 0

    def is_ambiguous(self, op: Any, of: Any) -> bool:
        """TooMuch where that is not known."""
        self._item(str(op), of)
        if self._is_empty_twice:
            return True
        apart: set[tuple[int, int]] = set()
        for steps in set(map(tuple, self._steps)):
            if len(set(steps)) < len(steps):
                return True
            apart.update((a, b) for a, b in self._both(steps, steps) if a < b)
        return self._meet(apart)

    def _meet(self, apart: set[tuple[int, int]]) -> bool:
        waiting = list(apart)
        while waiting:
            one, other = waiting.pop()
            for a, b in self._both(self._steps[one], self._steps[other]):
                if a == b:
                    return True
                pair = (min(a, b), max(a, b))
                if pair not in apart:
                    apart.add(pair)
                    waiting.append(pair)
        return False

    def _both(self, some: Iterable[int], others: Iterable[int]) -> Iterator[tuple[int, int]]:
        for a in some:
            for b in others:
                self._count(1)
                if self._taken[a] & self._taken[b]:
                    yield a, b

    def _count(self, steps: int) -> None:
        self._work += steps
        if self._work > WORK:
            raise TooMuch

    def _item(self, name: str, of: Any) -> Part:
        self._count(1)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            return self._repeated(*of)
        if name == "SUBPATTERN":
            return self._sequence(of[3])
        if name == "BRANCH":
            return self._either([self._sequence(part) for part in of[1]])
        if name == "AT":
            return Part()
        self._taken.append(_signs(name, of, self._any_case))
        self._steps.append([])
        place = [len(self._steps) - 1]
        return Part(place, place, False)

    def _sequence(self, items: Any) -> Part:
        part = Part()
        for op, of in items:
            part = self._then(part, self._item(str(op), of))
        return part

    def _then(self, one: Part, other: Part) -> Part:
        self._lead(one, other)
        return Part(
            one.first + other.first if one.may_be_empty else one.first,
            one.last + other.last if other.may_be_empty else other.last,
            one.may_be_empty and other.may_be_empty,
        )

    def _lead(self, one: Part, other: Part) -> None:
        self._count(len(one.last) * len(other.first))
        for place in one.last:
            self._steps[place] += other.first

    def _repeated(self, least: int, most: int, body: Any) -> Part:
        if least == most and most < ENDLESS:
            part = Part()
            for _ in range(most):
                part = self._then(part, self._sequence(body))
            return part
        part = self._sequence(body)
        if most > 1:
            self._lead(part, part)
        if most > 1 and least and part.may_be_empty:  # the first time may take nothing
            part = self._then(self._sequence(body), part)
        return Part(part.first, part.last, part.may_be_empty or not least)

    def _either(self, parts: list[Part]) -> Part:
        empty = [part for part in parts if part.may_be_empty]
        self._is_empty_twice = self._is_empty_twice or len(empty) > 1
        return Part(
            [place for part in parts for place in part.first],
            [place for part in parts for place in part.last],
            bool(empty),
        )
