"""Memo: the last decisions, so that spans that come late follow them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """At most `most` traces (some 300 bytes each); the one not asked for the longest goes first."""

    __slots__ = ("_known", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[bytes, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, trace_id: bytes) -> T | None:
        found = self._known.get(trace_id)
        if found is not None:
            self._known.move_to_end(trace_id)
        return found

    def put(self, trace_id: bytes, value: T) -> None:
        self._known[trace_id] = value
        if len(self._known) > self._most:
            self._known.popitem(last=False)
