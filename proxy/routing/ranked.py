"""Routes of one host that are asked in the order of their numbers, as control planes list theirs.

Where several fit, the lowest `Leaf.rank` whose conditions hold takes the request, and not the most
specific path. Paths that are written out are found without a search: by themselves, and by each
length that the beginnings of paths have here, of which there are few; captures by the tree.
Regular expressions are tried one after the other, and only those that come before what was found.
"""

from __future__ import annotations

from typing import Any

from proxy.kernel.walk import Tree
from proxy.routing.demands import Fields
from proxy.routing.leaf import Leaf
from proxy.routing.pattern import is_capture


class Ranked:
    """All of them; they must be added by rising rank."""

    __slots__ = ("_beginnings", "_exact", "_lengths", "_regexes", "_tree")

    def __init__(self) -> None:
        self._exact: dict[str, list[Leaf]] = {}  # by path
        self._beginnings: dict[str, list[Leaf]] = {}  # by what paths begin with
        self._lengths: list[int] = []  # of those
        self._tree: Tree | None = None  # what has captures
        self._regexes: list[Leaf] = []

    def add(self, leaf: Leaf) -> None:
        pattern = leaf.pattern
        if pattern.kind == "regex":
            self._regexes.append(leaf)
        elif pattern.kind == "start":
            self._begin(pattern.start, leaf)
        elif any(is_capture(segment) for segment in pattern.segments):
            if self._tree is None:
                self._tree = Tree()
            segments = [None if is_capture(s) else s for s in pattern.segments]
            self._tree.put(segments, leaf, pattern.kind == "prefix")
        elif pattern.kind == "prefix":
            if pattern.path:
                self._exact.setdefault(pattern.path, []).append(leaf)
            self._begin(pattern.path + "/" if pattern.path else "", leaf)
        else:
            self._exact.setdefault(pattern.path, []).append(leaf)

    def find(self, method: str, path: str, query: str, head: Fields) -> Leaf | None:
        """The first that fits and accepts."""
        best: Leaf | None = None
        for leaves in self._fixed(path):
            for leaf in leaves:
                if best is not None and best.rank < leaf.rank:
                    break
                if leaf.conditions is None or leaf.conditions.hold(method, query, head):
                    best = leaf
                    break
        for leaf in self._regexes:
            if best is not None and best.rank < leaf.rank:
                break
            if leaf.fits(path):
                conditions = leaf.conditions
                if conditions is None or conditions.hold(method, query, head):
                    return leaf
        return best

    def candidates(self, path: str) -> list[Leaf]:
        """All whose path fits, in the order in which they are asked."""
        found = [leaf for leaves in self._fixed(path) for leaf in leaves]
        found += [leaf for leaf in self._regexes if leaf.fits(path)]
        return sorted(found, key=_by_rank)

    def parts(self) -> list[Any]:
        """What it is made of, roughly; see `Zone.parts`."""
        tree = [] if self._tree is None else self._tree.parts()
        return [*self._exact.values(), *self._beginnings.values(), *tree, *self._regexes]

    def _fixed(self, path: str) -> list[list[Leaf]]:
        """Lists of what fits, each by rising rank; but no regular expressions."""
        found = []
        leaves = self._exact.get(path)
        if leaves is not None:
            found.append(leaves)
        size = len(path)
        for length in self._lengths:
            if length > size:
                break
            leaves = self._beginnings.get(path[:length])
            if leaves is not None:
                found.append(leaves)
        if self._tree is not None:
            found += [[leaf] for leaf in self._tree.all(path)]
        return found

    def _begin(self, text: str, leaf: Leaf) -> None:
        self._beginnings.setdefault(text, []).append(leaf)
        if len(text) not in self._lengths:
            self._lengths = sorted([*self._lengths, len(text)])


def _by_rank(leaf: Leaf) -> tuple[int, int]:
    return leaf.order()
