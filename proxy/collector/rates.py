"""Rates: how many items a second went through a flow, over the last ten seconds or so."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.collector.counters import Flow

INTERVAL = 10.0  # seconds between two samples


class Rates:
    """Two samples of each flow; asking compares with the older one. Time is an argument."""

    __slots__ = ("_newer", "_now", "_older")

    def __init__(self) -> None:
        self._older: dict[int, tuple[float, int]] = {}
        self._newer: dict[int, tuple[float, int]] = {}
        self._now = 0.0

    def sample(self, flows: Iterable[Flow], now: float) -> None:
        """Once in INTERVAL, with all flows that exist; they are never freed before Rates is."""
        self._older = self._newer
        self._newer = {id(flow): (now, flow.accepted) for flow in flows}
        self._now = now

    def at(self, now: float) -> Rates:
        """The same, asked at that time."""
        self._now = now
        return self

    def of(self, flow: Flow) -> float:
        begun, before = self._older.get(id(flow)) or self._newer.get(id(flow)) or (self._now, 0)
        elapsed = self._now - begun
        return round((flow.accepted - before) / elapsed, 1) if elapsed > 0 else 0.0
