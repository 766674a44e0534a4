"""Conditions: what spans must be like, as a tree, and whether one is, told by its bytes.

Each peer's API has a language of its own for what is looked for; all of them become these trees.
Attributes are picked out of the bytes by their keys, so no span is decoded.

What is asked of whole traces (their duration, their root) is not known while spans go by. So a span
gives a mask: a bit for each way in which those questions may be answered, set if the span fits
then. Masks of a trace's spans are joined, and in the end the answers choose a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.kernel import spanscan

if TYPE_CHECKING:
    from proxy.kernel.spanscan import Row
from proxy.otlp.wire import WireError, fields
from proxy.recent.comparers import Literal, comparer
from proxy.recent.model import KINDS, STATUSES, Value

MOST_TRACE_WISE = 3  # different questions about the trace as a whole: 8 bits

_ATTRIBUTES, _STATUS = 9, 15  # fields of a span


@dataclass(frozen=True, slots=True)
class Field:
    """Where a value is. `scope`: "span", "resource", "any" (span, then resource), "intrinsic" or
    "trace"; names of "intrinsic" are in `INTRINSICS`; of "trace" they are
    duration, rootName and rootService."""

    scope: str
    name: str


@dataclass(frozen=True, slots=True)
class Compare:
    """`op`: one of = != < <= > >= =~ !~; "is" compares texts of whatever the value is, "has" looks
    for a text in it, whatever its case. None is compared by = and != alone."""

    field: Field
    op: str
    value: Literal


@dataclass(frozen=True, slots=True)
class Not:
    inner: Tree


@dataclass(frozen=True, slots=True)
class Both:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    value: bool = True


@dataclass(frozen=True, slots=True)
class Holds:
    """Some of these bytes are in the span."""

    needles: tuple[bytes, ...]


Tree = Compare | Not | Both | Either | Truth | Holds

INTRINSICS = ("name", "status", "statusMessage", "kind", "duration", "id", "parentID", "traceID",
              "nestedSetParent")  # fmt: skip


class Subject:
    """The span that is judged."""

    __slots__ = ("buf", "picked", "resource", "row")

    def __init__(self) -> None:
        self.resource: Mapping[str, Value] = {}
        self.buf = b""
        self.row: Row = (b"", b"", b"", b"", 0, 0, 0, 0, 0, 0)
        self.picked: Sequence[object] | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """What is known of a trace in the end; ns."""

    duration: int
    root_name: str
    root_service: str


_Test = Callable[[Subject], int]  # a mask
_Get = Callable[[Subject], Any]


class Reader:
    """Values of spans, where they lie; the keys of all that is asked are looked for at once."""

    __slots__ = ("_keys", "_subject")

    def __init__(self) -> None:
        self._keys: dict[bytes, int] = {}
        self._subject = Subject()

    def at(self, resource: Mapping[str, Value], buf: bytes, row: Row) -> Subject:
        """That span; until the next one is asked for."""
        subject = self._subject
        subject.resource, subject.buf, subject.row, subject.picked = resource, buf, row, None
        return subject

    def getter(self, field: Field) -> _Get:
        name = field.name
        if field.scope == "intrinsic":
            return _INTRINSIC[name]
        if field.scope == "resource":
            return lambda subject: subject.resource.get(name)
        place = self._keys.setdefault(name.encode("utf-8", "replace"), len(self._keys))
        if field.scope == "span":
            return lambda subject: self._picked(subject)[place]

        def get(subject: Subject) -> Any:
            value = self._picked(subject)[place]
            return subject.resource.get(name) if value is None else value

        return get

    def _picked(self, subject: Subject) -> Sequence[object]:
        if subject.picked is None:
            row = subject.row
            subject.picked = spanscan.pick(subject.buf, row[8], row[9], _ATTRIBUTES, self._keys)
        return subject.picked


class Reading:
    """One value of each span; of the resource's where it has none, if the scope is "any"."""

    __slots__ = ("_get", "_reader", "field")

    def __init__(self, field: Field) -> None:
        self.field = field
        self._reader = Reader()
        self._get = self._reader.getter(field)

    def of(self, resource: Mapping[str, Value], buf: bytes, row: Row) -> Value:
        """Texts are decoded; None where there is none."""
        value = self._get(self._reader.at(resource, buf, row))
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class Condition:
    """A tree, made ready. ValueError for a pattern that is none, or too many questions."""

    __slots__ = ("_full", "_questions", "_reader", "_test", "_trace_wise", "width")

    def __init__(self, tree: Tree) -> None:
        self._trace_wise = _trace_wise(tree)
        if len(self._trace_wise) > MOST_TRACE_WISE:
            raise ValueError(f"more than {MOST_TRACE_WISE} conditions on whole traces")
        self._questions = [comparer(one.op, one.value) for one in self._trace_wise]
        self.width = 1 << len(self._trace_wise)
        self._full = (1 << self.width) - 1
        self._reader = Reader()
        self._test = self._made(tree)

    def mask(self, resource: Mapping[str, Value], buf: bytes, row: Row) -> int:
        """Of `width` bits."""
        return self._test(self._reader.at(resource, buf, row))

    def bit(self, whole: Whole) -> int:
        """Which one of a mask counts for that trace, as a mask."""
        number = 0
        for place, compare in enumerate(self._trace_wise):
            value = _of_whole(whole, compare.field.name)
            number |= self._questions[place](value) << place
        return 1 << number

    def _made(self, tree: Tree) -> _Test:
        if isinstance(tree, Compare):
            return self._compare(tree)
        if isinstance(tree, Truth):
            mask = self._full if tree.value else 0
            return lambda subject: mask
        if isinstance(tree, Holds):
            return self._holds(tree.needles)
        if isinstance(tree, Not):
            inner, full = self._made(tree.inner), self._full
            return lambda subject: full & ~inner(subject)
        return self._joined([self._made(part) for part in tree.parts], isinstance(tree, Both))

    def _joined(self, tests: list[_Test], is_both: bool) -> _Test:
        full = self._full

        def both(subject: Subject) -> int:
            mask = full
            for test in tests:
                mask &= test(subject)
                if not mask:
                    break
            return mask

        def either(subject: Subject) -> int:
            mask = 0
            for test in tests:
                mask |= test(subject)
                if mask == full:
                    break
            return mask

        return both if is_both else either

    def _holds(self, needles: tuple[bytes, ...]) -> _Test:
        full = self._full

        def test(subject: Subject) -> int:
            buf, begin, end = subject.buf, subject.row[8], subject.row[9]
            return full if any(buf.find(needle, begin, end) >= 0 for needle in needles) else 0

        return test

    def _compare(self, compare: Compare) -> _Test:
        if compare.field.scope == "trace":
            place = self._trace_wise.index(compare)
            mask = sum(1 << number for number in range(self.width) if number >> place & 1)
            return lambda subject: mask
        full, get = self._full, self._reader.getter(compare.field)
        fits = comparer(compare.op, compare.value)
        return lambda subject: full if fits(get(subject)) else 0


def _trace_wise(tree: Tree) -> list[Compare]:
    """What is asked of whole traces, each once."""
    if isinstance(tree, Compare):
        return [tree] if tree.field.scope == "trace" else []
    inner = [tree.inner] if isinstance(tree, Not) else getattr(tree, "parts", ())
    found = [compare for part in inner for compare in _trace_wise(part)]
    return list(dict.fromkeys(found))


def _of_whole(whole: Whole, name: str) -> Any:
    if name == "duration":
        return whole.duration
    return whole.root_name if name == "rootName" else whole.root_service


def status_message(subject: Subject) -> bytes:
    """Status.message = 2, where it lies."""
    buf, found = subject.buf, b""
    try:
        for number, wire, _, begin, end in fields(buf, subject.row[8], subject.row[9]):
            if number == _STATUS and wire == 2:
                for inner, kind, _, start, stop in fields(buf, begin, end):
                    if inner == 2 and kind == 2:
                        found = buf[start:stop]
    except WireError:
        pass
    return found


_INTRINSIC: dict[str, _Get] = {
    "name": lambda subject: subject.row[3],
    "status": lambda subject: _named(STATUSES, subject.row[7]),
    "statusMessage": status_message,
    "kind": lambda subject: _named(KINDS, subject.row[4]) or "unspecified",
    "duration": lambda subject: subject.row[6] - subject.row[5],
    "id": lambda subject: subject.row[1].hex(),
    "parentID": lambda subject: subject.row[2].hex(),
    "traceID": lambda subject: subject.row[0].hex(),
    "nestedSetParent": lambda subject: 1 if subject.row[2] else -1,
}


def _named(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else ""
