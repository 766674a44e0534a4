"""From text to a tree of expressions and statements; the grammar is docs/collector/processors.md.

It knows no paths and no functions: whether they exist depends on what the expression is about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.collector.expression.cursor import MAX_DEPTH, Cursor
from proxy.collector.expression.tokens import ExpressionError, Token, tokens

_COMPARE = ("==", "!=", "<", "<=", ">", ">=", "in", "matches")
_WORDS = frozenset(("and", "or", "not", "in", "matches", "where", "true", "false", "nil"))
MAX_INT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Node:
    at: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Items(Node):
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class PathNode(Node):
    name: str  # "name", "resource.attributes"
    key: str | None  # of attributes["key"]


@dataclass(frozen=True, slots=True)
class Call(Node):
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    operator: str  # "-", "not"
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Several(Node):
    operator: str  # "and", "or"
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A change: `set` (target = value), `rename` (target to other), `delete` (target)."""

    verb: str
    target: PathNode
    value: Node | None = None
    other: PathNode | None = None
    where: Node | None = None


def parse_expression(text: str) -> Node:
    """Raises ExpressionError."""
    parser = _Parser(tokens(text))
    node = parser.expression()
    parser.end()
    return node


def parse_statement(text: str) -> Statement:
    """Raises ExpressionError."""
    parser = _Parser(tokens(text))
    statement = parser.statement()
    parser.end()
    return statement


class _Parser(Cursor):
    def statement(self) -> Statement:
        first, second = self._token, self._following
        verb = first.text if first.kind == "name" and second.kind == "name" else "set"
        if verb not in ("set", "rename", "delete"):
            raise ExpressionError(f"{verb!r}: a statement sets, renames or deletes", first.at)
        value = other = None
        if verb != "set" or second.kind == "name":
            self._next += 1
        target = self._path()
        if verb == "set":
            self._expect("=")
            value = self.expression()
        elif verb == "rename":
            self._expect("to")
            other = self._path()
        where = self.expression() if self._take("where") else None
        return Statement(verb, target, value, other, where)

    def expression(self) -> Node:
        return self._several("or", lambda: self._several("and", self._negation))

    def _several(self, operator: str, part: Callable[[], Node]) -> Node:
        at = self._token.at
        operands = [part()]
        while self._take(operator):
            operands.append(part())
        return operands[0] if len(operands) == 1 else Several(at, operator, tuple(operands))

    def _negation(self) -> Node:
        at = self._token.at
        if not self._take("not"):
            return self._comparison()
        self._deeper()
        node = Unary(at, "not", self._negation())
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        left = self._sum()
        at = self._token.at
        negated = bool(self._take("not"))
        operator = self._take("in") if negated else self._take(*_COMPARE)
        if not operator:
            if negated:
                raise ExpressionError("'in' is expected after 'not'", self._token.at)
            return left
        node = Binary(at, operator, left, self._sum())
        if self._token.kind == "symbol" and self._token.text in _COMPARE:
            raise ExpressionError("comparisons are joined by 'and'", self._token.at)
        return Unary(at, "not", node) if negated else node

    def _sum(self) -> Node:
        node = self._product()
        for _ in range(MAX_DEPTH):
            at = self._token.at
            operator = self._take("+", "-")
            if not operator:
                return node
            node = Binary(at, operator, node, self._product())
        raise ExpressionError(f"more than {MAX_DEPTH} terms", self._token.at)

    def _product(self) -> Node:
        node = self._factor()
        for _ in range(MAX_DEPTH):
            at = self._token.at
            operator = self._take("*", "/", "%")
            if not operator:
                return node
            node = Binary(at, operator, node, self._factor())
        raise ExpressionError(f"more than {MAX_DEPTH} factors", self._token.at)

    def _factor(self) -> Node:
        at = self._token.at
        self._deeper()
        node = Unary(at, "-", self._factor()) if self._take("-") else self._primary()
        self._depth -= 1
        return node

    def _primary(self) -> Node:
        token = self._token
        if token.kind == "string":
            self._next += 1
            return Literal(token.at, token.text)
        if token.kind in ("int", "float"):
            self._next += 1
            return Literal(token.at, _number(token))
        if self._take("("):
            node = self.expression()
            self._expect(")")
            return node
        if self._take("["):
            return Items(token.at, self._list("]"))
        word = self._take("true", "false", "nil")
        if word:
            return Literal(token.at, {"true": True, "false": False, "nil": None}[word])
        if token.kind != "name":
            found = token.text or "the end"
            raise ExpressionError(f"a value is expected, not {found!r}", token.at)
        following = self._following
        if following.kind == "symbol" and following.text == "(":
            self._next += 2
            return Call(token.at, token.text, self._list(")"))
        return self._path()

    def _list(self, closing: str) -> tuple[Node, ...]:
        nodes: list[Node] = []
        if self._take(closing):
            return ()
        while True:
            nodes.append(self.expression())
            if self._take(closing):
                return tuple(nodes)
            self._expect(",")

    def _path(self) -> PathNode:
        at = self._token.at
        names = [self._name()]
        while self._take("."):
            names.append(self._name())
        key = None
        if self._take("["):
            if self._token.kind != "string":
                raise ExpressionError('a key is expected: ["key"]', self._token.at)
            key = self._token.text
            self._next += 1
            self._expect("]")
        return PathNode(at, ".".join(names), key)

    def _name(self) -> str:
        token = self._token
        if token.kind != "name" or token.text in _WORDS:
            found = token.text or "the end"
            raise ExpressionError(f"a name is expected, not {found!r}", token.at)
        self._next += 1
        return token.text


def _number(token: Token) -> int | float:
    if token.kind == "float":
        return float(token.text)
    number = int(token.text) if len(token.text) < 20 else MAX_INT + 1
    if number > MAX_INT:
        raise ExpressionError("a number of more than 64 bits", token.at)
    return number
