"""TraceQL: Tempo's language, as much of it as chooses traces by their spans.

`{ conditions }`, several of them joined by && and ||, then `| select(…)` and `| count() > n`. What
compares spans with each other (`>>`), calculates, or makes metrics is refused, by name and place.

Source: grafana/tempo docs "TraceQL", pkg/traceql/lexer.go for what a name is made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from proxy.recent.comparers import Literal
from proxy.recent.conditions import Both, Compare, Either, Field, Not, Tree, Truth
from proxy.recent.regex import Regex
from proxy.recent.selection import Sets, Some
from proxy.recent.traceql_words import Token, number, tokens, unquoted, wrong

MOST_LENGTH = 4096
MOST_DEPTH = 40
MOST_CONDITIONS = 100

_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=", "=~", "!~")
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_STRUCTURAL = (">>", "<<", ">", "<", "~", "!>>", "!<<", "!>", "!<", "!~", "&>>", "&<<")
_WORDS: dict[str, Literal] = {"true": True, "false": False, "nil": None}
_ENUMS = {
    "status": ("error", "ok", "unset"),
    "kind": ("unspecified", "internal", "server", "client", "producer", "consumer"),
}
_INTRINSIC = {
    "name": "name", "status": "status", "statusMessage": "statusMessage", "kind": "kind",
    "duration": "duration", "nestedSetParent": "nestedSetParent", "span:name": "name",
    "span:status": "status", "span:statusMessage": "statusMessage", "span:kind": "kind",
    "span:duration": "duration", "span:id": "id", "span:parentID": "parentID",
    "trace:id": "traceID",
}  # fmt: skip
_OF_TRACE = {
    "traceDuration": "duration", "rootName": "rootName", "rootServiceName": "rootService",
    "trace:duration": "duration", "trace:rootName": "rootName",
    "trace:rootService": "rootService",
}  # fmt: skip
INTRINSICS = tuple(sorted((*_INTRINSIC, *_OF_TRACE)))
_SCOPES = {"": "any", "span": "span", "resource": "resource"}

_T = TypeVar("_T")


@dataclass(slots=True)
class Asking:
    """What a text of TraceQL asks for."""

    wanted: Some | Sets
    select: list[Field] = field(default_factory=list)  # to be shown too
    counts: list[tuple[str, int]] = field(default_factory=list)  # of the spans that fit


def parse(text: str) -> Asking:
    """ValueError, with the place, for what is no TraceQL or more of it than is known here."""
    if len(text) > MOST_LENGTH:
        raise ValueError(f"the TraceQL is longer than {MOST_LENGTH} characters")
    return _Parser(tokens(text)).parse()


def field_of(name: str) -> Field:
    """Such as `span.http.route`, `.a`, `resource."a b"`, `name`, `trace:rootName`; ValueError."""
    found = _field(name)
    if found is None:
        raise ValueError(f"{name[:80]!r} is no attribute with its scope, and no intrinsic")
    return found


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0
        self._conditions = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> str:
        """The next one, if it is an operator or a name among those; else ""."""
        token = self._token
        if token.kind in ("op", "name") and token.text in texts:
            self._next += 1
            return token.text
        return ""

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected(f"{text} is missing")

    def _unexpected(self, why: str) -> ValueError:
        token = self._token
        told = f"before {token.text[:20]!r}" if token.kind else "at the end"
        return wrong(token.at, f"{why} {told}")

    def parse(self) -> Asking:
        asking = Asking(self._sets())
        while self._take("|"):
            self._stage(asking)
        if self._take("with"):  # hints, which are for Tempo's blocks
            self._expect("(")
            while not self._take(")"):
                if not self._token.kind:
                    raise self._unexpected(") is missing")
                self._next += 1
        token = self._token
        if token.kind == "op" and token.text in _STRUCTURAL:
            raise wrong(token.at, f"{token.text} between spans is not supported")
        if token.kind:
            raise self._unexpected("&&, || or | is missing")
        return asking

    def _deeper(self, parse: Callable[[], _T]) -> _T:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise wrong(self._token.at, f"more than {MOST_DEPTH} brackets in each other")
        found = parse()
        self._depth -= 1
        return found

    def _sets(self) -> Some | Sets:
        """`||` binds less than `&&`."""
        parts = [self._all_sets()]
        while self._take("||"):
            parts.append(self._all_sets())
        return parts[0] if len(parts) == 1 else Sets(tuple(parts), is_all=False)

    def _all_sets(self) -> Some | Sets:
        parts = [self._set()]
        while self._take("&&"):
            parts.append(self._set())
        return parts[0] if len(parts) == 1 else Sets(tuple(parts), is_all=True)

    def _set(self) -> Some | Sets:
        if self._take("("):
            found = self._deeper(self._sets)
            self._expect(")")
            return found
        self._expect("{")
        if self._take("}"):
            return Some(Truth())
        tree = self._deeper(self._either)
        self._expect("}")
        return Some(tree)

    def _either(self) -> Tree:
        parts = [self._both()]
        while self._take("||"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> Tree:
        parts = [self._single()]
        while self._take("&&"):
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _single(self) -> Tree:
        if self._take("!"):
            return Not(self._deeper(self._single))
        if self._take("("):
            tree = self._deeper(self._either)
            self._expect(")")
            return tree
        return self._compare()

    def _compare(self) -> Tree:
        self._conditions += 1
        if self._conditions > MOST_CONDITIONS:
            raise wrong(self._token.at, f"more than {MOST_CONDITIONS} conditions")
        at = self._token.at
        left = self._operand()
        token = self._token
        op = self._take(*_COMPARISONS)
        if not op:
            return self._alone(left, at)
        right = self._operand()
        if isinstance(left, Field) == isinstance(right, Field):
            raise wrong(at, "an attribute can be compared with a value only")
        if isinstance(left, Field):
            return _checked(left, op, right, token.at)
        assert isinstance(right, Field)
        return _checked(right, _FLIPPED.get(op, op), left, token.at)

    def _alone(self, left: Field | _Value, at: int) -> Tree:
        if isinstance(left, Field):
            if left.scope in ("intrinsic", "trace"):
                raise self._unexpected("an operator is missing")
            return Compare(left, "=", True)
        if isinstance(left.value, bool):
            return Truth(left.value)
        raise wrong(at, "a value alone is no condition")

    def _operand(self) -> Field | _Value:
        token = self._token
        self._next += bool(token.kind)
        if token.kind == "text":
            return _Value(unquoted(token))
        if token.kind == "number":
            return _Value(number(token))
        if token.kind != "name":
            self._next -= bool(token.kind)
            raise self._unexpected("an attribute or a value is missing")
        if found := _field(token.text):
            return found
        if token.text in _WORDS:
            return _Value(_WORDS[token.text])
        if any(token.text in words for words in _ENUMS.values()):
            return _Value(token.text, is_word=True)
        raise wrong(
            token.at,
            f"{token.text[:40]!r} is not known; attributes have a scope: .{token.text[:40]}",
        )

    def _stage(self, asking: Asking) -> None:
        token = self._token
        if self._take("select"):
            self._expect("(")
            while True:
                asking.select.append(self._selected())
                if not self._take(","):
                    break
            self._expect(")")
        elif self._take("coalesce"):
            self._expect("(")
            self._expect(")")
        elif self._take("count"):
            self._expect("(")
            self._expect(")")
            asking.counts.append(self._counted())
        else:
            raise wrong(token.at, f"{token.text[:40]!r} is not supported; select() and count() are")

    def _selected(self) -> Field:
        found = self._operand()
        if not isinstance(found, Field):
            raise self._unexpected("an attribute is missing")
        return found

    def _counted(self) -> tuple[str, int]:
        op = self._take("=", "!=", "<", "<=", ">", ">=")
        token = self._token
        if not op or token.kind != "number" or not token.text.isdigit() or len(token.text) > 9:
            raise self._unexpected("a comparison with a whole number is missing")
        self._next += 1
        return op, int(token.text)


class _Value(NamedTuple):
    value: Literal
    is_word: bool = False  # of a status or a kind


def _checked(left: Field, op: str, right: Field | _Value, at: int) -> Compare:
    """Whether these can be compared so."""
    assert isinstance(right, _Value)
    value = right.value
    if right.is_word and (left.scope != "intrinsic" or value not in _ENUMS.get(left.name, ())):
        raise wrong(at, f"{value} is no value of that")
    if op in ("=~", "!~"):
        if not isinstance(value, str) or right.is_word:
            raise wrong(at, f"{op} needs a text")
        try:
            Regex(value)
        except ValueError as error:
            raise wrong(at, str(error)) from None
    if (value is None or isinstance(value, bool)) and op not in ("=", "!="):
        raise wrong(at, f"{op} needs a text or a number")
    return Compare(left, op, value)


def _field(name: str) -> Field | None:
    if name in _INTRINSIC:
        return Field("intrinsic", _INTRINSIC[name])
    if name in _OF_TRACE:
        return Field("trace", _OF_TRACE[name])
    scope, dot, rest = name.partition(".")
    if not dot or scope not in _SCOPES or not rest:
        return None
    if len(rest) > 1 and rest[0] == rest[-1] == '"':
        rest = re.sub(r"\\(.)", r"\1", rest[1:-1])
    return Field(_SCOPES[scope], rest)
