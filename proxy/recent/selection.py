"""Selection: the traces that somebody's query language asks for.

Conditions are each fulfilled by some span of a trace; how they are joined says which traces fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxy.kernel.spanscan import Row
from proxy.recent.conditions import Condition, Tree, Whole
from proxy.recent.match import is_within
from proxy.recent.model import Value
from proxy.recent.query import Query


@dataclass(frozen=True, slots=True)
class Some:
    """A span that is like that is in the trace."""

    tree: Tree


@dataclass(frozen=True, slots=True)
class Sets:
    """All of them, or any."""

    parts: tuple[Some | Sets, ...]
    is_all: bool


class Selection:
    """A `search.Matcher`. `query` tells times, durations and failures; `wanted` the spans."""

    def __init__(self, query: Query, wanted: Some | Sets) -> None:
        self._query = query
        self._wanted = wanted
        self._places: dict[int, tuple[Condition, int]] = {}  # by id of a Some: where its bits are
        self._width = 0
        self._prepare(wanted)
        self.conditions = [condition for condition, _ in self._places.values()]
        self.looks = True

    def bits(self, resource: Mapping[str, Value], buf: bytes, row: Row) -> int:
        found = 0
        for condition, place in self._places.values():
            found |= condition.mask(resource, buf, row) << place
        return found

    def takes(self, trace_id: bytes, trace: Any) -> bool:
        return is_within(self._query, trace) and self._fits(self._wanted, trace)

    def is_matched(self, resource: Mapping[str, Value], buf: bytes, row: Row, whole: Whole) -> bool:
        """Whether some condition holds of that span, of that trace."""
        return any(
            condition.mask(resource, buf, row) & condition.bit(whole)
            for condition in self.conditions
        )

    def _prepare(self, wanted: Some | Sets) -> None:
        if isinstance(wanted, Some):
            condition = Condition(wanted.tree)
            self._places[id(wanted)] = (condition, self._width)
            self._width += condition.width
            return
        for part in wanted.parts:
            self._prepare(part)

    def _fits(self, wanted: Some | Sets, trace: Any) -> bool:
        if isinstance(wanted, Some):
            condition, place = self._places[id(wanted)]
            # Most ask nothing of the trace as a whole.
            bit = 1 if condition.width == 1 else condition.bit(whole_of(trace))
            return bool(trace.fits >> place & bit)
        joined = all if wanted.is_all else any
        return joined(self._fits(part, trace) for part in wanted.parts)


def whole_of(trace: Any) -> Whole:
    """Of a trace that `search` has gathered."""
    name = service = ""
    if trace.root is not None:
        name, service = trace.root[3][3].decode("utf-8", "replace"), trace.root[4]
    return Whole(trace.end - trace.start, name, service)
