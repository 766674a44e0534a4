"""A tree of path segments, and the walk through it that finds what fits a path.

`walk.pyx` does the same in C, without making a text of each segment. What is put into the tree is
the caller's; the tree knows segments that are written out, and captures, which fit any segment
that is not empty.

The order of what fits one path: what ends there, then prefixes, the longest first. Among either a
segment that is written out comes before a capture, and the first segments count most; then the
order in which things were put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Node:
    """A place in the tree."""

    __slots__ = ("capture", "children", "ends", "prefixes")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.capture: Node | None = None
        self.ends: list[Any] = []  # what fits paths that are complete here
        self.prefixes: list[Any] = []  # what fits all paths that lead here


class Tree:
    """Things by the paths that they fit."""

    __slots__ = ("_exact", "_root")

    def __init__(self) -> None:
        self._exact: dict[str, list[Any]] = {}  # by path, what has no capture: it is always first
        self._root = Node()

    def put(self, segments: Sequence[str | None], thing: object, is_prefix: bool) -> None:
        """One more; None = a capture. `is_prefix`: it fits all that begins with the segments."""
        if not is_prefix and None not in segments:
            path = "".join(f"/{segment}" for segment in segments)
            self._exact.setdefault(path, []).append(thing)
            return
        node = self._root
        for segment in segments:
            if segment is None:
                if node.capture is None:
                    node.capture = Node()
                node = node.capture
            else:
                child = node.children.get(segment)
                if child is None:
                    child = node.children[segment] = Node()
                node = child
        (node.prefixes if is_prefix else node.ends).append(thing)

    def parts(self) -> list[Any]:
        """What it is made of, roughly."""
        return [*self._root.children.values(), *self._exact.values()]

    def first(self, path: str) -> list[Any] | None:
        """How `all` begins, empty if nothing fits; None: it takes `all` to know.

        Most paths need no more, and a walk that does not turn back costs half of `all`: 0.5 µs.
        """
        exact = self._exact.get(path)
        if exact is not None:
            return exact
        segments = path.split("/")
        if segments[0]:
            return []  # "*", the target of OPTIONS, is no path
        node = self._root
        best = node.prefixes
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
        return best

    def all(self, path: str) -> list[Any]:
        """All that fits, in order. At most all places that fit are visited, each of them once."""
        found: list[Any] = [*self._exact.get(path, ())]
        segments = path.split("/")
        if segments[0]:
            return found
        end = len(segments)
        node: Node | None = self._root
        depth = 1
        untried: list[tuple[Node, int]] = []
        prefixes: list[tuple[int, Node]] = []
        while node is not None:
            if node.prefixes:
                prefixes.append((depth, node))
            following = None
            if depth == end:
                found += node.ends
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
            found += node.prefixes
        return found


def _depth(prefix: tuple[int, Node]) -> int:
    return prefix[0]
