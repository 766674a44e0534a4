"""The routes of one host, in a form where a path finds its route without a search.

Owns the order among paths: exact, templates and prefixes (a tree of segments, `kernel/walk.py`),
regular expressions (one after the other, the only part whose cost grows with the number of
routes). Among routes with the same path, more conditions come first, then the order of the file.
It must not know hosts.

Routes with an `order` come after all others, one after the other as their numbers say, however
specific they are (`ranked.py`).

A segment that is written out is tried before a capture; if it leads nowhere, or to routes whose
conditions fail, the walk goes back to the capture.
"""

from __future__ import annotations

from proxy.kernel.walk import Tree
from proxy.routing.demands import Fields
from proxy.routing.leaf import Leaf
from proxy.routing.pattern import is_capture
from proxy.routing.ranked import Ranked


class Zone:
    """All routes of one host."""

    __slots__ = ("_ranked", "_regexes", "_tree")

    def __init__(self) -> None:
        self._tree: Tree | None = None
        self._regexes: list[Leaf] = []
        self._ranked: Ranked | None = None

    def parts(self) -> list[object]:
        """What it is made of, roughly: whoever frees it may do so piece by piece."""
        parts = [] if self._tree is None else self._tree.parts()
        return [*parts, *self._regexes, *(self._ranked.parts() if self._ranked is not None else ())]

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
        if self._ranked is not None:
            return self._ranked.find(method, path, query, head)
        return None

    def candidates(self, path: str) -> list[Leaf]:
        """All routes whose path fits, in the order in which `find` asks them."""
        found = [] if self._tree is None else self._tree.all(path)
        ranked = [] if self._ranked is None else self._ranked.candidates(path)
        return [*found, *(leaf for leaf in self._regexes if leaf.fits(path)), *ranked]

    def add(self, leaf: Leaf) -> None:
        """One more route; they must come in `Leaf.order`."""
        kind = leaf.pattern.kind
        if leaf.rank:
            if self._ranked is None:
                self._ranked = Ranked()
            self._ranked.add(leaf)
            return
        if kind in ("regex", "start"):
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
