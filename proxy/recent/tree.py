"""Tree: the spans of one trace in the order in which they are drawn, and its critical path.

Spans come from anywhere: ids may be doubled, in a circle, or lead nowhere. What hangs on no root
is a root itself, and nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from proxy.recent.model import Span


@dataclass(slots=True)
class Node:
    """One span in its place. `critical`: (from, to) in Unix ns, where the trace waited for it."""

    span: Span
    depth: int = 0
    children: list[Node] = field(default_factory=list)
    critical: list[tuple[int, int]] = field(default_factory=list)


def grown(spans: Sequence[Span]) -> list[Node]:
    """Depth first, siblings by start; `spans` have different ids."""
    nodes = {span.span_id: Node(span) for span in spans}
    roots: list[Node] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        node, parent = nodes[span.span_id], nodes.get(span.parent_id)
        (roots if parent is None or parent is node else parent.children).append(node)
    ordered = list(_walk(roots))
    if len(ordered) < len(nodes):  # circles, of which one is as good a beginning as another
        seen = {id(node) for node in ordered}
        for node in nodes.values():
            if id(node) not in seen:
                for other in _walk([node], seen):
                    ordered.append(other)
    _mark(roots)
    return ordered


def _walk(roots: Sequence[Node], seen: set[int] | None = None) -> Iterator[Node]:
    seen = set() if seen is None else seen
    stack = [(node, 0) for node in reversed(roots)]
    while stack:
        node, depth = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        node.depth = depth
        yield node
        stack.extend((child, depth + 1) for child in reversed(node.children))


def _mark(roots: Sequence[Node]) -> None:
    """The critical path from the root that ends last: what, if quicker, had ended it sooner.

    From the end backwards: of the children that had ended by then, the last to end is what was
    waited for (as Jaeger's UI finds it); what no child covers is the span's own.
    """
    if not roots:
        return
    last = max(roots, key=lambda node: node.span.end)
    stack = [(last, last.span.start, last.span.end)]
    while stack:
        node, begin, cursor = stack.pop()
        for child in sorted(node.children, key=lambda child: child.span.end, reverse=True):
            start, end = max(child.span.start, begin), min(child.span.end, node.span.end)
            if end > cursor or start >= end:
                continue
            if end < cursor:
                node.critical.append((end, cursor))
            stack.append((child, start, end))
            cursor = start
        if begin < cursor:
            node.critical.append((begin, cursor))
        node.critical.reverse()
