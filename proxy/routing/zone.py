"""The routes of one host, in a form where a path finds its route without a search.

Owns the order among paths: exact (one dict lookup), templates and prefixes (a tree of segments,
one dict lookup for each), regular expressions (one after the other, the only part whose cost
grows with the number of routes). Among routes with the same path, more conditions come first,
then the order of the file. It must not know hosts.

A segment that is written out is tried before a capture; if it leads nowhere, or to routes whose
conditions fail, the walk goes back to the capture. So at most all nodes that fit are visited.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.routing.conditions import Conditions, Fields
from proxy.routing.pattern import REST, Pattern, is_capture

Captures = dict[str, str]
Found = tuple[int, Captures]

NOTHING: Captures = {}  # shared by all that captured nothing; not to be changed


class Leaf:
    """One route at the end of its path; `conditions` is None where there are none."""

    __slots__ = ("_offset", "_places", "conditions", "found", "index", "is_static", "pattern")

    def __init__(self, index: int, pattern: Pattern, conditions: Conditions) -> None:
        self.index = index
        self.pattern = pattern
        self.conditions = conditions if len(conditions) else None
        self.found = (index, NOTHING)
        self.is_static = not pattern.captures
        self._places = [
            (s[1:-1], depth) for depth, s in enumerate(pattern.segments, 1) if is_capture(s)
        ]
        self._offset = len(pattern.path)  # of what a prefix leaves

    def order(self) -> tuple[int, int]:
        return (-len(self.conditions) if self.conditions is not None else 0, self.index)

    def accepts(self, method: str, query: str, head: Fields) -> bool:
        return self.conditions is None or self.conditions.hold(method, query, head)

    def take(self, path: str, segments: list[str]) -> Found:
        """What `match` answers for `path`, which this leaf's pattern fits."""
        if self.is_static:
            return self.found
        if not self._places:
            return (self.index, {REST: path[self._offset :]})
        captures: Captures = {}
        for name, depth in self._places:
            captures[name] = segments[depth]
        if self.pattern.kind == "prefix":
            rest = segments[len(self.pattern.segments) + 1 :]
            captures[REST] = "/" + "/".join(rest) if rest else ""
        return (self.index, captures)


class Node:
    """A place in the tree of segments."""

    __slots__ = ("capture", "children", "ends", "prefixes")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.capture: Node | None = None
        self.ends: list[Leaf] = []  # templates that are complete here
        self.prefixes: list[Leaf] = []


class Zone:
    """All routes of one host."""

    __slots__ = ("_exact", "_has_tree", "_regexes", "_root")

    def __init__(self) -> None:
        self._exact: dict[str, list[Leaf]] = {}
        self._root = Node()
        self._has_tree = False
        self._regexes: list[Leaf] = []

    def parts(self) -> list[object]:
        """What it is made of, roughly: whoever frees it may do so piece by piece."""
        return [*self._root.children.values(), *self._exact.values(), *self._regexes]

    def find(self, method: str, path: str, query: str, head: Fields) -> Found | None:
        """The first route that fits and accepts."""
        exact = self._exact.get(path)
        if exact is not None:
            for leaf in exact:
                if leaf.accepts(method, query, head):
                    return leaf.found
        if self._has_tree:
            segments = path.split("/")
            straight = _straight(self._root, segments)
            if straight is not None and straight.accepts(method, query, head):
                return straight.take(path, segments)
            for leaf in _fitting(self._root, segments):
                if leaf.accepts(method, query, head):
                    return leaf.take(path, segments)
        for leaf in self._regexes:
            captures = _search(leaf, path)
            if captures is not None and leaf.accepts(method, query, head):
                return (leaf.index, captures)
        return None

    def candidates(self, path: str) -> list[Leaf]:
        """All routes whose path fits, in the order in which `find` asks them."""
        return [
            *self._exact.get(path, ()),
            *_fitting(self._root, path.split("/")),
            *(leaf for leaf in self._regexes if _search(leaf, path) is not None),
        ]

    def add(self, leaf: Leaf) -> None:
        """One more route; they must come in `Leaf.order`."""
        kind = leaf.pattern.kind
        if kind == "exact":
            self._exact.setdefault(leaf.pattern.path, []).append(leaf)
        elif kind == "regex":
            self._regexes.append(leaf)
        else:
            self._has_tree = True
            node = _grow(self._root, leaf.pattern.segments)
            (node.prefixes if kind == "prefix" else node.ends).append(leaf)


def _grow(node: Node, segments: tuple[str, ...]) -> Node:
    """The node for `segments` below `node`, made where there is none yet."""
    for segment in segments:
        if is_capture(segment):
            if node.capture is None:
                node.capture = Node()
            node = node.capture
        else:
            child = node.children.get(segment)
            if child is None:
                child = node.children[segment] = Node()
            node = child
    return node


def _straight(root: Node, segments: list[str]) -> Leaf | None:
    """The first leaf that fits, where no segment leaves a choice; else None.

    Most paths need no more, and a walk without choices costs half of `_fitting`: 0.5 µs.
    """
    if segments[0]:
        return None
    node = root
    best = root.prefixes
    for segment in segments[1:]:
        child = node.children.get(segment)
        if node.capture is not None and segment:
            if child is not None:
                return None
            child = node.capture
        if child is None:
            break
        node = child
        if node.prefixes:
            best = node.prefixes
    else:
        best = node.ends or best
    return best[0] if best else None


def _fitting(root: Node, segments: list[str]) -> Iterator[Leaf]:
    """The leaves that fit: templates as the walk meets them, then prefixes, the longest first."""
    if segments[0]:
        return  # "*", the target of OPTIONS, is no path
    end = len(segments)
    node: Node | None = root
    depth = 1
    untried: list[tuple[Node, int]] = []
    prefixes: list[tuple[int, Node]] = []
    while node is not None:
        if node.prefixes:
            prefixes.append((depth, node))
        following = None
        if depth == end:
            yield from node.ends
        else:
            segment = segments[depth]
            following = node.children.get(segment)
            if node.capture is not None and segment:
                if following is None:
                    following = node.capture
                else:
                    untried.append((node.capture, depth + 1))
        depth += 1
        if following is None and untried:
            following, depth = untried.pop()
        node = following
    prefixes.sort(key=_depth, reverse=True)  # stable: in one depth the order of the walk stays
    for _, node in prefixes:
        yield from node.prefixes


def _depth(prefix: tuple[int, Node]) -> int:
    return prefix[0]


def _search(leaf: Leaf, path: str) -> Captures | None:
    assert leaf.pattern.regex is not None
    match = leaf.pattern.regex.fullmatch(path)
    if match is None:
        return None
    return match.groupdict("") if leaf.pattern.captures else NOTHING
