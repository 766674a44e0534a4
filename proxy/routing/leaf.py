"""One route at the end of its path, and what its pattern captures there."""

from __future__ import annotations

from proxy.routing.demands import Conditions
from proxy.routing.pattern import REST, Pattern, is_capture

Captures = dict[str, str]
Found = tuple[int, Captures]

NOTHING: Captures = {}  # shared by all that captured nothing; not to be changed


class Leaf:
    """One route at the end of its path; `conditions` is None where there are none."""

    __slots__ = ("_is_static", "_offset", "_places", "conditions", "index", "pattern", "rank")

    def __init__(self, index: int, pattern: Pattern, conditions: Conditions, rank: int = 0) -> None:
        self.index = index
        self.rank = rank  # 0 = where its path and its conditions put it
        self.pattern = pattern
        self.conditions = conditions if len(conditions) else None
        self._is_static = not pattern.captures
        self._places = tuple(
            [(s.strip("{}"), depth) for depth, s in enumerate(pattern.segments, 1) if is_capture(s)]
        )
        self._offset = len(pattern.path)  # of what a prefix leaves

    def order(self) -> tuple[int, int]:
        if self.rank:
            return (self.rank, self.index)
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
        """Whether `path` is one for this leaf's regular expression, or begins as it must."""
        regex = self.pattern.regex
        if self.pattern.kind == "start":
            return path.startswith(self.pattern.start)
        return regex is not None and regex.fullmatch(path) is not None
