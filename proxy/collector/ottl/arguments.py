"""Arguments of functions: by place or by name, calculated for each item or read once.

A table of functions says which arguments each takes: "target pattern [format]".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.collector.expression.parse import Call, Items, Literal, Node
from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl.parse import Named, Word
from proxy.collector.ottl.paths import Getter, Place, View
from proxy.collector.ottl.patterns import Pattern
from proxy.collector.ottl.values import OttlError, Value


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one call, by their names. `value` and `place` compile a node."""

    call: Call
    nodes: dict[str, Node]
    value: Callable[[Node], Getter]
    place: Callable[[Node], Place]
    apply: Callable[[str, int], Callable[[Value], Value]]  # a converter's name -> what it does
    context: str

    def has(self, name: str) -> bool:
        return name in self.nodes

    def getter(self, name: str) -> Getter:
        return self.value(self.nodes[name])

    def optional(self, name: str, default: Value) -> Getter:
        if name in self.nodes:
            return self.value(self.nodes[name])
        return lambda view: default

    def at(self, name: str) -> int:
        return self.nodes[name].at if name in self.nodes else self.call.at

    def literal(self, name: str, cls: type, default: Any = None) -> Any:
        """What stands there, not calculated."""
        node = self.nodes.get(name)
        if node is None:
            return default
        if not isinstance(node, Literal) or type(node.value) is not cls:
            kinds = {str: "a text", int: "a whole number", bool: "true or false"}
            raise ExpressionError(f"`{name}` is {kinds[cls]}, not calculated", node.at)
        return node.value

    def texts(self, name: str) -> list[str]:
        """A list of texts, not calculated."""
        node = self.nodes.get(name)
        items = node.nodes if isinstance(node, Items) else ()
        found = [i.value for i in items if isinstance(i, Literal) and isinstance(i.value, str)]
        if node is not None and (not isinstance(node, Items) or len(found) != len(items)):
            raise ExpressionError(f"`{name}` is a list of texts", node.at, 'write ["a", "b"]')
        return found

    def one_of(self, name: str, *known: str) -> str:
        """A word, not calculated."""
        found: str = self.literal(name, str, known[0])
        if found not in known:
            remedy = f"one of {', '.join(known)}"
            raise ExpressionError(f"`{name}` cannot be {found!r}", self.at(name), remedy)
        return found

    def pattern(self, name: str) -> Pattern:
        source = self.literal(name, str)
        try:
            return Pattern(source)
        except ValueError as error:
            raise ExpressionError(str(error), self.at(name)) from None

    def function(self, name: str) -> Callable[[Value], Value] | None:
        """A converter that is named: SHA256."""
        node = self.nodes.get(name)
        if node is None:
            return None
        if not isinstance(node, Word):
            raise ExpressionError(f"`{name}` is a function's name", node.at, "such as SHA256")
        return self.apply(node.text, node.at)


Make = Callable[[Arguments], Any]


@dataclass(frozen=True, slots=True)
class Function:
    """`parameters` in their order, of which the first `required` must be given."""

    parameters: tuple[str, ...]
    required: int
    make: Make
    contexts: tuple[str, ...] = ()  # () = all of them
    plain: Callable[..., Value] | None = None  # of values alone


def function(signature: str, make: Make, contexts: tuple[str, ...] = ()) -> Function:
    """`signature` names what it takes: "target limit [marker]"."""
    words = signature.split()
    parameters = tuple(word.strip("[]") for word in words)
    return Function(parameters, sum("[" not in word for word in words), make, contexts)


def plain(signature: str, apply: Callable[..., Value]) -> Function:
    """A function of values; what is left out is left to its own defaults."""
    made = function(signature, lambda arguments: _called(arguments, made, apply))
    return Function(made.parameters, made.required, made.make, (), apply)


def _called(arguments: Arguments, made: Function, apply: Callable[..., Value]) -> Getter:
    given = {name: arguments.getter(name) for name in made.parameters if arguments.has(name)}
    getters = list(given.values())
    if len(getters) == 1 and made.parameters and made.parameters[0] in given:
        only = getters[0]
        return lambda view: apply(only(view))
    if tuple(given) == made.parameters[: len(given)]:
        return lambda view: apply(*[getter(view) for getter in getters])
    return lambda view: apply(**{name: getter(view) for name, getter in given.items()})


def bound(call: Call, function: Function) -> dict[str, Node]:
    """Name -> node; raises ExpressionError for what is missing, too much or unknown."""
    nodes: dict[str, Node] = {}
    usage = f"write {call.name}({', '.join(function.parameters)})"
    for index, node in enumerate(call.arguments):
        if isinstance(node, Named):
            name, node = node.name, node.value
            if name not in function.parameters:
                raise ExpressionError(f"{call.name!r} has no `{name}`", node.at, usage)
        elif index >= len(function.parameters):
            raise ExpressionError(f"{call.name!r} takes fewer arguments", node.at, usage)
        else:
            name = function.parameters[index]
        if name in nodes:
            raise ExpressionError(f"`{name}` is given twice", node.at, usage)
        nodes[name] = node
    for name in function.parameters[: function.required]:
        if name not in nodes:
            raise ExpressionError(f"{call.name!r} needs `{name}`", call.at, usage)
    return nodes


def failing(message: str) -> Getter:
    def fail(view: View) -> Value:
        raise OttlError(message)

    return fail
