"""From text to a tree of OTTL: statements and conditions, by the grammar of its LANGUAGE.md.

The tree is that of our own language (`expression.parse`) with a few nodes more: keys, maps, words
and named arguments. It knows no paths and no functions.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.collector.expression.cursor import MAX_DEPTH, Cursor
from proxy.collector.expression.parse import (
    MAX_INT,
    Binary,
    Call,
    Items,
    Literal,
    Node,
    PathNode,
    Several,
    Unary,
)
from proxy.collector.expression.tokens import ExpressionError, Token
from proxy.collector.ottl.tokens import tokens

_COMPARE = ("==", "!=", "<", "<=", ">", ">=")
_LITERALS = {"true": True, "false": False, "nil": None}
_RESERVED = frozenset(("and", "or", "not", "where", *_LITERALS))


@dataclass(frozen=True, slots=True)
class Bytes(Node):
    """0x00ff"""

    value: bytes


@dataclass(frozen=True, slots=True)
class Keyed(Node):
    """attributes["k"], attributes["tags"][0], Split(name, " ")[1]"""

    of: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Table(Node):
    """{"k": 1}"""

    pairs: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Word(Node):
    """SPAN_KIND_SERVER, or a function that is an argument: SHA256."""

    text: str


@dataclass(frozen=True, slots=True)
class Named(Node):
    """limit = 3, among arguments."""

    name: str
    value: Node


@dataclass(frozen=True, slots=True)
class Edit:
    """A statement: set(name, "x") where true."""

    call: Call
    where: Node | None


def parse_statement(text: str) -> Edit:
    """Raises ExpressionError."""
    parser = _Parser(tokens(text))
    edit = parser.edit()
    parser.end()
    return edit


def parse_condition(text: str) -> Node:
    """Raises ExpressionError."""
    parser = _Parser(tokens(text))
    node = parser.boolean()
    parser.end()
    return node


class _Parser(Cursor):
    def edit(self) -> Edit:
        token = self._token
        following = self._following
        if token.kind != "name" or following.text != "(" or not token.text[:1].islower():
            remedy = 'write set(attributes["key"], "value") where …'
            raise ExpressionError("a statement calls an editor", token.at, remedy)
        self._next += 2
        call = Call(token.at, token.text, self._arguments())
        return Edit(call, self.boolean() if self._take("where") else None)

    def boolean(self) -> Node:
        """Alternatives; each part must be able to be true or false."""
        node = self._several("or")
        if self._token.text == "=":
            raise ExpressionError("'=' sets nothing here", self._token.at, "compare with ==")
        _must_be_boolean(node)
        return node

    def _several(self, operator: str) -> Node:
        at = self._token.at
        part = self._negation if operator == "and" else lambda: self._several("and")
        operands = [part()]
        while self._take(operator):
            operands.append(part())
        if len(operands) == 1:
            return operands[0]
        for operand in operands:
            _must_be_boolean(operand)
        return Several(at, operator, tuple(operands))

    def _negation(self) -> Node:
        at = self._token.at
        if not self._take("not"):
            return self._comparison()
        self._deeper()
        node = self._negation()
        _must_be_boolean(node)
        self._depth -= 1
        return Unary(at, "not", node)

    def _comparison(self) -> Node:
        left = self._terms(("+", "-"))
        at = self._token.at
        operator = self._take(*_COMPARE)
        if not operator:
            return left
        node = Binary(at, operator, left, self._terms(("+", "-")))
        if self._token.kind == "symbol" and self._token.text in _COMPARE:
            raise ExpressionError("comparisons are joined by and", self._token.at)
        return node

    def _terms(self, operators: tuple[str, str]) -> Node:
        """Sums of products; they are as deep as they are long."""
        sums = operators == ("+", "-")
        node = self._terms(("*", "/")) if sums else self._primary()
        for _ in range(MAX_DEPTH):
            at = self._token.at
            operator = self._take(*operators)
            if not operator:
                return node
            node = Binary(at, operator, node, self._terms(("*", "/")) if sums else self._primary())
        raise ExpressionError(f"more than {MAX_DEPTH} terms", self._token.at)

    def _primary(self) -> Node:
        self._deeper()
        node = self._plain() or self._composed() or self._named()
        self._depth -= 1
        return node

    def _plain(self) -> Node | None:
        """A literal."""
        token = self._token
        if token.kind == "string":
            self._next += 1
            return Literal(token.at, token.text)
        if token.kind == "name" and token.text in _LITERALS:
            self._next += 1
            return Literal(token.at, _LITERALS[token.text])
        if token.kind == "bytes":
            self._next += 1
            return Bytes(token.at, _bytes(token))
        sign = self._take("-", "+")
        number = self._token
        if number.kind in ("int", "float"):
            self._next += 1
            return Literal(token.at, _number(number, sign))
        if sign:
            raise ExpressionError(f"{sign!r} needs a number behind it", token.at, "write 0 - …")
        return None

    def _composed(self) -> Node | None:
        at = self._token.at
        if self._take("("):
            node = self._several("or")
            self._expect(")")
            return node
        if self._take("["):
            return Items(at, self._list("]"))
        if not self._take("{"):
            return None
        pairs = []
        while not self._take("}"):
            key = self._token
            if key.kind != "string":
                raise ExpressionError("a key of a map is a string", key.at, 'write {"key": …}')
            self._next += 1
            self._expect(":")
            pairs.append((key.text, self._several("or")))
            if not self._take(",") and self._token.text != "}":
                self._expect("}")
        return Table(at, tuple(pairs))

    def _named(self) -> Node:
        token = self._token
        if token.kind != "name" or token.text in _RESERVED:
            raise ExpressionError(f"a value is expected, not {token.text or 'the end'!r}", token.at)
        self._next += 1
        if self._take("("):
            return self._keys(Call(token.at, token.text, self._arguments()))
        if token.text[0].isupper():
            return Word(token.at, token.text)
        names = [token.text]
        while self._take("."):
            part = self._token
            if part.kind != "name":
                raise ExpressionError("a name is expected behind '.'", part.at)
            self._next += 1
            names.append(part.text)
        return self._keys(PathNode(token.at, ".".join(names), None))

    def _keys(self, node: Node) -> Node:
        for _ in range(MAX_DEPTH):
            if not self._take("["):
                return node
            key = self._several("or")
            self._expect("]")
            node = Keyed(key.at, node, key)
        raise ExpressionError(f"more than {MAX_DEPTH} keys", self._token.at)

    def _list(self, closing: str) -> tuple[Node, ...]:
        nodes: list[Node] = []
        if self._take(closing):
            return ()
        while True:
            nodes.append(self._several("or"))
            if self._take(closing):
                return tuple(nodes)
            self._expect(",")

    def _arguments(self) -> tuple[Node, ...]:
        nodes: list[Node] = []
        if self._take(")"):
            return ()
        while True:
            token, after = self._token, self._following
            if token.kind == "name" and after.text == "=" and after.kind == "symbol":
                self._next += 2
                nodes.append(Named(token.at, token.text, self._several("or")))
            else:
                nodes.append(self._several("or"))
            if self._take(")"):
                return tuple(nodes)
            self._expect(",")


def _must_be_boolean(node: Node) -> None:
    match node:
        case Several() | Call() | Unary() | Keyed(of=Call()) | Literal(value=bool()):
            return
        case Binary() if node.operator in _COMPARE:
            return
    raise ExpressionError("this is no condition", node.at, "write … == true, or … != nil")


def _bytes(token: Token) -> bytes:
    digits = token.text[2:]
    if len(digits) % 2:
        raise ExpressionError("bytes have two digits each", token.at, f"write 0x0{digits}")
    return bytes.fromhex(digits)


def _number(token: Token, sign: str) -> int | float:
    negative = -1 if sign == "-" else 1
    if token.kind == "float":
        return negative * float(token.text)
    number = int(token.text) if len(token.text) < 20 else MAX_INT + 1
    if number > MAX_INT:
        raise ExpressionError("a number of more than 64 bits", token.at)
    return negative * number
