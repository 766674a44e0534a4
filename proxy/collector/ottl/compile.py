"""From the tree of OTTL to closures over a View, for one context.

Reading raises ExpressionError with the position and what to write; running raises OttlError for
an item that a statement cannot be carried out on, and never takes long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.collector.expression.parse import (
    Binary,
    Call,
    Items,
    Literal,
    Node,
    PathNode,
    Several,
    Unary,
)
from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl import values
from proxy.collector.ottl.arguments import Arguments, Function, bound
from proxy.collector.ottl.editors import EDITORS
from proxy.collector.ottl.fields import ENUMS
from proxy.collector.ottl.kinds import KINDS
from proxy.collector.ottl.parse import (
    Bytes,
    Edit,
    Keyed,
    Named,
    Table,
    Word,
    parse_condition,
    parse_statement,
)
from proxy.collector.ottl.parsing import PARSING
from proxy.collector.ottl.paths import Getter, Place, View, place
from proxy.collector.ottl.refused import REFUSED
from proxy.collector.ottl.texts import TEXTS
from proxy.collector.ottl.times import TIMES
from proxy.collector.ottl.values import OttlError, Value
from proxy.config.report import suggestion

Condition = Callable[[View], bool]
Change = Callable[[View], bool]  # whether anything was changed

CONVERTERS: dict[str, Function] = {**TEXTS, **KINDS, **TIMES, **PARSING}


def compile_condition(source: str | Node, context: str) -> Condition:
    node = parse_condition(source) if isinstance(source, str) else source
    return _Compiler(context).boolean(node)


def compile_statement(source: str | Edit, context: str) -> Change:
    edit = parse_statement(source) if isinstance(source, str) else source
    compiler = _Compiler(context)
    change: Change = compiler.call(edit.call, EDITORS, "editor")
    if edit.where is None:
        return change
    where = compiler.boolean(edit.where)
    return lambda view: where(view) and change(view)


class _Compiler:
    def __init__(self, context: str) -> None:
        self._context = context

    def boolean(self, node: Node) -> Condition:
        value = self.value(node)
        if isinstance(node, Literal | Several | Unary | Binary):
            return value

        def condition(view: View) -> bool:
            found = value(view)
            if not isinstance(found, bool):
                raise OttlError(f"a condition is true or false, not {values.kind(found)}")
            return found

        return condition

    def value(self, node: Node) -> Getter:
        match node:
            case Literal() | Bytes():
                plain = node.value
                return lambda view: plain
            case Word():
                number = self._enum(node)
                return lambda view: number
            case PathNode() | Keyed():
                return self._keyed(node)
            case Call():
                made: Getter = self.call(node, CONVERTERS, "converter")
                return made
            case Several() | Unary() | Binary():
                return self._operation(node)
        return self._composed(node)

    def call(self, call: Call, functions: dict[str, Function], what: str) -> Any:
        function = functions.get(call.name)
        if function is None:
            raise _unknown(call, functions, what)
        if function.contexts and self._context not in function.contexts:
            where = " or ".join(function.contexts)
            message = f"{call.name!r} is not for a {self._context}"
            raise ExpressionError(message, call.at, f"only for a {where}: give that context")
        nodes = bound(call, function)
        arguments = Arguments(call, nodes, self.value, self._place, _named, self._context)
        return function.make(arguments)

    def _enum(self, node: Word) -> int:
        if node.text in ENUMS:
            return ENUMS[node.text]
        remedy = suggestion(node.text, ENUMS)
        if node.text in CONVERTERS:
            remedy = f"write {node.text}(…)"
        raise ExpressionError(f"{node.text!r} is not known", node.at, remedy)

    def _place(self, node: Node) -> Place:
        """A path, with its keys."""
        keys: list[Node] = []
        while isinstance(node, Keyed):
            keys.insert(0, node.key)
            node = node.of
        if not isinstance(node, PathNode):
            raise ExpressionError("a path is expected here", node.at, "such as span.attributes")
        return place(self._context, node.name, [self.value(key) for key in keys], node.at)

    def _keyed(self, node: PathNode | Keyed) -> Getter:
        inner: Node = node
        keys: list[Node] = []
        while isinstance(inner, Keyed):
            keys.insert(0, inner.key)
            inner = inner.of
        if not isinstance(inner, Call):
            return self._place(node).get
        of, getters = self.value(inner), [self.value(key) for key in keys]

        def read(view: View) -> Value:
            found = of(view)
            for getter in getters:
                found = _element(found, getter(view))
            return found

        return read

    def _composed(self, node: Node) -> Getter:
        if isinstance(node, Items):
            parts = [self.value(part) for part in node.nodes]
            return lambda view: [part(view) for part in parts]
        if isinstance(node, Table):
            pairs = [(key, self.value(part)) for key, part in node.pairs]
            return lambda view: {key: part(view) for key, part in pairs}
        assert isinstance(node, Named)
        raise ExpressionError("a name is no value", node.at)

    def _operation(self, node: Several | Unary | Binary) -> Getter:
        if isinstance(node, Binary):
            return self._binary(node)
        if isinstance(node, Unary):
            condition = self.boolean(node.operand)
            return lambda view: not condition(view)
        parts = [self.boolean(part) for part in node.operands]
        if node.operator == "and":
            return lambda view: all(part(view) for part in parts)
        return lambda view: any(part(view) for part in parts)

    def _binary(self, node: Binary) -> Getter:
        left, right = self.value(node.left), self.value(node.right)
        operator = node.operator
        if operator in ("==", "!=", "<", "<=", ">", ">="):
            self._check_enums(node)
        if operator in ("==", "!="):
            compare = values.equal if operator == "==" else values.unequal
            return lambda view: compare(left(view), right(view))
        if operator in ("<", "<=", ">", ">="):
            order = values.ordered(operator)
            return lambda view: order(left(view), right(view))
        calculate = values.calculated(operator)
        return lambda view: calculate(left(view), right(view))

    def _check_enums(self, node: Binary) -> None:
        """A number that is compared with a text is never equal: tell what its names are."""
        for path, other in ((node.left, node.right), (node.right, node.left)):
            text = other.value if isinstance(other, Literal) else None
            if not isinstance(path, PathNode) or not isinstance(text, str):
                continue
            enum = self._place(path).enum
            if enum:
                word = f"{enum}{text.upper().removeprefix(enum)}"
                write = f"write {word}" if word in ENUMS else f"write {enum}…"
                raise ExpressionError(f"{path.name} is a number", other.at, write)


def _element(value: Value, key: Value) -> Value:
    if isinstance(value, dict) and isinstance(key, str):
        if key not in value:
            raise OttlError(f"the map has no {key[:60]!r}")
        return value[key]
    if isinstance(value, list) and isinstance(key, int) and not isinstance(key, bool):
        if not 0 <= key < len(value):
            raise OttlError(f"a list of {len(value)} has no element {key}")
        return value[key]
    raise OttlError(f"{values.kind(value)} has no element {values.text(key)[:60]!r}")


def _named(name: str, at: int) -> Callable[[Value], Value]:
    """A converter that was named as an argument."""
    function = CONVERTERS.get(name)
    if function is None or function.plain is None or function.required != 1:
        raise ExpressionError(f"{name!r} cannot be used here", at, "such as SHA256")
    return function.plain


def _unknown(call: Call, functions: dict[str, Function], what: str) -> ExpressionError:
    name = call.name
    if name in REFUSED:
        return ExpressionError(f"{name!r} is not supported", call.at, REFUSED[name])
    if what == "editor" and name in CONVERTERS:
        return ExpressionError(f"{name!r} is a converter", call.at, f"write set(…, {name}(…))")
    if what == "converter" and name in EDITORS:
        return ExpressionError(f"{name!r} is an editor", call.at, "it is a statement of its own")
    return ExpressionError(f"there is no {what} {name!r}", call.at, suggestion(name, functions))
