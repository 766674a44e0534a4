"""The routes of one host, in a form where a path finds its route without a search.

Owns the order among paths: exact, templates and prefixes (a tree of segments, `kernel/walk.py`),
regular expressions (one after the other, the only part whose cost grows with the number of
routes). Among routes with the same path, more conditions come first, then the order of the file.
It must not know hosts.

A segment that is written out is tried before a capture; if it leads nowhere, or to routes whose
conditions fail, the walk goes back to the capture.
"""

from __future__ import annotations

from proxy.kernel.walk import Tree
from proxy.routing.demands import Conditions, Fields
from proxy.routing.pattern import REST, Pattern, is_capture

Captures = dict[str, str]
Found = tuple[int, Captures]

NOTHING: Captures = {}  # shared by all that captured nothing; not to be changed


class Leaf:
    """One route at the end of its path; `conditions` is None where there are none."""

    __slots__ = ("_is_static", "_offset", "_places", "conditions", "index", "pattern")

    def __init__(self, index: int, pattern: Pattern, conditions: Conditions) -> None:
        self.index = index
        self.pattern = pattern
        self.conditions = conditions if len(conditions) else None
        self._is_static = not pattern.captures
        self._places = tuple(
            [(s.strip("{}"), depth) for depth, s in enumerate(pattern.segments, 1) if is_capture(s)]
        )
        self._offset = len(pattern.path)  # of what a prefix leaves

    def order(self) -> tuple[int, int]:
        return (-len(self.conditions) if self.conditions is not None else 0, self.index)

    def captures(self, path: str) -> Captures:
        """The parts of `path`, which the pattern fits, by the names that they have there."""
        if self._is_static:
            return NOTHING
        if self.pattern.regex is not None:
            match = self.pattern.regex.fullmatch(path)
            return NOTHING if match is None else match.groupdict("")
        if not self._places:
            return {REST: path[self._offset :]}
        segments = path.split("/")
        captures: Captures = {}
        for name, depth in self._places:
            captures[name] = segments[depth]
        if self.pattern.kind == "prefix":
            rest = segments[len(self.pattern.segments) + 1 :]
            captures[REST] = "/" + "/".join(rest) if rest else ""
        return captures

    def fits(self, path: str) -> bool:
        """Whether `path` is one for this leaf's regular expression."""
        regex = self.pattern.regex
        return regex is not None and regex.fullmatch(path) is not None


class Zone:
    """All routes of one host."""

    __slots__ = ("_regexes", "_tree")

    def __init__(self) -> None:
        self._tree: Tree | None = None
        self._regexes: list[Leaf] = []

    def parts(self) -> list[object]:
        """What it is made of, roughly: whoever frees it may do so piece by piece."""
        parts = [] if self._tree is None else self._tree.parts()
        return [*parts, *self._regexes]

    def find(self, method: str, path: str, query: str, head: Fields) -> Leaf | None:
        """The first route that fits and accepts."""
        tree = self._tree
        if tree is not None:
            leaves = tree.first(path)
            leaf: Leaf | None = None
            if leaves:
                leaf = leaves[0]
                if leaf.conditions is not None:
                    leaf = _accepting(leaves, method, query, head)
            if leaf is None and (leaves is None or leaves):
                others = tree.all(path)[len(leaves or ()) :]
                leaf = _accepting(others, method, query, head)
            if leaf is not None:
                return leaf
        for leaf in self._regexes:
            if leaf.fits(path) and _accepting([leaf], method, query, head) is not None:
                return leaf
        return None

    def candidates(self, path: str) -> list[Leaf]:
        """All routes whose path fits, in the order in which `find` asks them."""
        found = [] if self._tree is None else self._tree.all(path)
        return [*found, *(leaf for leaf in self._regexes if leaf.fits(path))]

    def add(self, leaf: Leaf) -> None:
        """One more route; they must come in `Leaf.order`."""
        kind = leaf.pattern.kind
        if kind == "regex":
            self._regexes.append(leaf)
            return
        if self._tree is None:
            self._tree = Tree()
        segments = [None if is_capture(s) else s for s in leaf.pattern.segments]
        self._tree.put(segments, leaf, kind == "prefix")


def _accepting(leaves: list[Leaf], method: str, query: str, head: Fields) -> Leaf | None:
    """The first of them whose conditions hold."""
    for leaf in leaves:
        if leaf.conditions is None or leaf.conditions.hold(method, query, head):
            return leaf
    return None
