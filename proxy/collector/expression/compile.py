"""Expressions over telemetry: conditions and changes, compiled to closures.

Reading one raises ExpressionError, with the position, for whatever is wrong with it; running it
raises nothing and never takes long: there are no loops, texts and patterns are bounded, and what
makes no sense of a value is nil. The language is told in docs/collector/processors.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.collector.editing.patterns import MAX_SUBJECT, compile_pattern
from proxy.collector.editing.values import Value, clean, remove, text
from proxy.collector.expression import functions
from proxy.collector.expression.parse import (
    Binary,
    Call,
    Items,
    Literal,
    Node,
    PathNode,
    Several,
    Statement,
    Unary,
    parse_expression,
    parse_statement,
)
from proxy.collector.expression.paths import (
    ATTRIBUTED,
    KEY_READERS,
    READERS,
    WRITERS,
    Item,
    Reader,
    write_attribute,
)
from proxy.collector.expression.paths import Subject as Subject
from proxy.collector.expression.tokens import ExpressionError as ExpressionError

Condition = Callable[[Item], bool]
Change = Callable[[Item], bool]  # whether anything was changed

_REPLACEMENT = 256  # characters that replace_pattern puts in the place of one match


def compile_condition(source: str, subject: Subject) -> Condition:
    """Whether an item meets the condition: its value is true, not only something."""
    value = _Compiler(subject).value(parse_expression(source))
    return lambda item: value(item) is True


def compile_statement(source: str, subject: Subject) -> Change:
    """The change of one item."""
    return _Compiler(subject).statement(parse_statement(source))


class _Compiler:
    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def statement(self, statement: Statement) -> Change:
        change: Change = getattr(self, f"_{statement.verb}")(statement)
        if statement.where is None:
            return change
        where = self.value(statement.where)

        return lambda item: where(item) is True and change(item)

    def value(self, node: Node) -> Reader:
        match node:
            case Literal():
                plain = node.value
                return lambda item: plain
            case Items():
                parts = [self.value(part) for part in node.nodes]
                return lambda item: [part(item) for part in parts]
            case PathNode():
                return self._path(node)
            case Call():
                return self._call(node)
            case Several():
                return self._several(node)
            case Unary():
                return self._unary(node)
            case Binary():
                return self._binary(node)
        raise AssertionError(node)

    # statements

    def _set(self, statement: Statement) -> Change:
        target, node = statement.target, statement.value
        assert node is not None
        value = self.value(node)
        if target.name == "attributes" and target.key is not None:
            self._attribute(target)
            key = target.key

            def assign(item: Item) -> bool:
                made = value(item)
                if made is not None:
                    write_attribute(item.item, key, made)
                return made is not None

            return assign
        writer = None if target.key is not None else WRITERS[self._subject].get(target.name)
        if writer is None:
            self._path(target)  # a name that is not known at all is told so
            raise ExpressionError(f"{target.name!r} cannot be set here", target.at)

        def write(item: Item) -> bool:
            made = value(item)
            if made is not None:
                writer(item.item, made)
            return made is not None

        return write

    def _rename(self, statement: Statement) -> Change:
        assert statement.other is not None
        old, new = self._attribute(statement.target), self._attribute(statement.other)

        def rename(item: Item) -> bool:
            attributes = item.item.attributes
            if old == new or not any(pair.key == old for pair in attributes):
                return False
            remove(attributes, new)
            for pair in attributes:
                if pair.key == old:
                    pair.key = new
                    break
            return True

        return rename

    def _delete(self, statement: Statement) -> Change:
        key = self._attribute(statement.target)

        return lambda item: remove(item.item.attributes, key)

    def _attribute(self, path: PathNode) -> str:
        if path.name != "attributes" or path.key is None or self._subject not in ATTRIBUTED:
            raise ExpressionError('only attributes["key"] of the item itself', path.at)
        if not path.key:
            raise ExpressionError("an attribute needs a key", path.at)
        return path.key

    # values

    def _path(self, node: PathNode) -> Reader:
        readers, keyed = READERS[self._subject], KEY_READERS[self._subject]
        if node.key is None and node.name in readers:
            return readers[node.name]
        if node.key is not None and node.name in keyed:
            read, key = keyed[node.name], node.key
            return lambda item: read(item, key)
        if node.name in readers:
            raise ExpressionError(f"{node.name!r} has no keys", node.at)
        known = ", ".join(sorted(readers))
        raise ExpressionError(f"a {self._subject} has no {node.name!r}; known: {known}", node.at)

    def _call(self, node: Call) -> Reader:
        if node.name == "replace_pattern":
            return self._replace_pattern(node)
        if node.name not in functions.FUNCTIONS:
            known = ", ".join(sorted((*functions.FUNCTIONS, "replace_pattern")))
            raise ExpressionError(f"no function {node.name!r}; known: {known}", node.at)
        least, most, function = functions.FUNCTIONS[node.name]
        if not least <= len(node.arguments) <= most:
            wanted = str(least) if least == most else f"{least} or more"
            raise ExpressionError(f"{node.name!r} takes {wanted} arguments", node.at)
        if node.name == "hash" and len(node.arguments) == 2:
            self._algorithm(node.arguments[1])
        arguments = [self.value(argument) for argument in node.arguments]
        if len(arguments) == 1:
            only = arguments[0]
            return lambda item: function(only(item))
        return lambda item: function(*[argument(item) for argument in arguments])

    def _algorithm(self, node: Node) -> None:
        if not isinstance(node, Literal) or node.value not in ("sha1", "sha256"):
            raise ExpressionError("a hash is 'sha1' or 'sha256'", node.at)

    def _replace_pattern(self, node: Call) -> Reader:
        if len(node.arguments) != 3:
            raise ExpressionError("'replace_pattern' takes 3 arguments", node.at)
        subject, pattern, new = node.arguments
        value, replacement = self.value(subject), self.value(new)
        sub = _pattern(pattern).sub

        def replaced(item: Item) -> Value:
            given = value(item)
            if not isinstance(given, str):
                return None
            put = clean(text(replacement(item)))[:_REPLACEMENT]
            return functions.short(sub(lambda match: put, given[:MAX_SUBJECT]))

        return replaced

    def _several(self, node: Several) -> Reader:
        parts = [self.value(part) for part in node.operands]
        if node.operator == "and":
            return lambda item: all(part(item) is True for part in parts)
        return lambda item: any(part(item) is True for part in parts)

    def _unary(self, node: Unary) -> Reader:
        value = self.value(node.operand)
        if node.operator == "not":
            return lambda item: value(item) is not True
        return lambda item: functions.negated(value(item))

    def _binary(self, node: Binary) -> Reader:
        left = self.value(node.left)
        if node.operator == "matches":
            search = _pattern(node.right).search
            return lambda item: (
                isinstance(given := left(item), str) and search(given, 0, MAX_SUBJECT) is not None
            )
        right = self.value(node.right)
        match node.operator:
            case "==":
                return lambda item: functions.equal(left(item), right(item))
            case "!=":
                return lambda item: not functions.equal(left(item), right(item))
            case "in":
                return lambda item: functions.contains(left(item), right(item))
            case "<" | "<=" | ">" | ">=":
                function = functions.ordered(node.operator)
            case _:
                function = functions.calculated(node.operator)
        return lambda item: function(left(item), right(item))


def _pattern(node: Node) -> re.Pattern[str]:
    if not isinstance(node, Literal) or not isinstance(node.value, str):
        raise ExpressionError("a pattern is a string, not calculated", node.at)
    try:
        return compile_pattern(node.value)
    except ValueError as error:
        raise ExpressionError(str(error), node.at) from None
