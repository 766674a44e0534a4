"""Which context a statement is about, told by the paths and functions in it.

It is the lowest one that is named: `span.name` and `resource.attributes` together are about spans.
A name without a context belongs to the signal's usual one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proxy.collector.expression.parse import Binary, Call, Items, Node, PathNode, Several, Unary
from proxy.collector.ottl.compile import CONVERTERS
from proxy.collector.ottl.editors import EDITORS
from proxy.collector.ottl.fields import METRIC
from proxy.collector.ottl.parse import Keyed, Named, Table
from proxy.collector.ottl.paths import PREFIXES

LADDERS: dict[str, tuple[str, ...]] = {
    "traces": ("resource", "scope", "span", "spanevent"),
    "metrics": ("resource", "scope", "metric", "datapoint"),
    "logs": ("resource", "scope", "log"),
}
USUAL = {"traces": "span", "metrics": "datapoint", "logs": "log"}


def context_of(signal: str, trees: Iterable[Node]) -> str:
    """Never fails: what does not fit is told when the statement is compiled."""
    ladder = LADDERS[signal]
    named = {context for tree in trees for node in _nodes(tree) for context in _hints(signal, node)}
    found = [context for context in ladder if context in named]
    return found[-1] if found else USUAL[signal]


def _hints(signal: str, node: Node) -> Iterator[str]:
    if isinstance(node, PathNode):
        first, _, rest = node.name.partition(".")
        if first in PREFIXES and (rest or first not in METRIC):
            yield PREFIXES[first]
        elif first != "cache":
            yield "metric" if signal == "metrics" and node.name in METRIC else USUAL[signal]
    elif isinstance(node, Call):
        function = CONVERTERS.get(node.name) or EDITORS.get(node.name)
        if function is not None and function.contexts:
            yield function.contexts[0]


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Call():
            return node.arguments
        case Items():
            return node.nodes
        case Keyed():
            return (node.of, node.key)
        case Binary():
            return (node.left, node.right)
        case Unary():
            return (node.operand,)
        case Several():
            return node.operands
        case Table():
            return tuple(value for _, value in node.pairs)
        case Named():
            return (node.value,)
    return ()
