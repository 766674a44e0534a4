"""Counters: numbers that a component keeps for itself and the admin port shows.

The graph counts what flows between components; a component counts what only it knows. One name is
one instrument for all components that use it, told apart by attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Attributes, Series

# name and text of the counter that all have who ask spans how long they took
UNTIMED = ("spangate.spans.untimed", "Spans whose duration is unknown, and was left out.")

Store = dict[tuple[Instrument, Attributes], "Counter"]


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, amount: int = 1) -> None:
        self.value += amount


class Flow:
    """How much went one way."""

    __slots__ = ("accepted", "batches", "refused")

    def __init__(self) -> None:
        self.accepted = 0  # items
        self.refused = 0  # items
        self.batches = 0


class Counters:
    """Those of one component; `common` attributes are on each of its series."""

    __slots__ = ("_common", "_counters", "_gauges")

    def __init__(self, common: Attributes = (), counters: Store | None = None) -> None:
        self._common = common
        self._counters: Store = {} if counters is None else counters
        self._gauges: dict[tuple[Instrument, Attributes], Callable[[], int]] = {}

    def counter(self, name: str, description: str, unit: str = "", **attributes: str) -> Counter:
        """The counter of that name and attributes, the same one each time.

        `name` as in OpenTelemetry, `_total` is added for Prometheus. Attributes must be few, and
        never chosen by a client.
        """
        return self._counters.setdefault(
            self._key(name, Kind.COUNTER, description, unit, attributes), Counter()
        )

    def gauge(
        self,
        name: str,
        description: str,
        read: Callable[[], int],
        unit: str = "",
        **attributes: str,
    ) -> None:
        """A value that `read` tells when it is asked for, for as long as the component lives."""
        self._gauges[self._key(name, Kind.GAUGE, description, unit, attributes)] = read

    def gauges(self) -> Iterator[Series]:
        for (instrument, attributes), read in self._gauges.items():
            yield Series(instrument, attributes, read())

    def series(self) -> Iterator[Series]:
        """Everything, for tests of a single component."""
        yield from _series(self._counters)
        yield from self.gauges()

    def _key(
        self, name: str, kind: Kind, description: str, unit: str, attributes: dict[str, str]
    ) -> tuple[Instrument, Attributes]:
        return Instrument(name, kind, unit, description), (*self._common, *attributes.items())


class Meters:
    """All counters of this process; they outlive components, so that none falls at a reload."""

    __slots__ = ("_counters", "flows")

    def __init__(self) -> None:
        self._counters: Store = {}
        # (kind, id, pipeline, signal); the kind "pipeline" is a pipeline's own way in
        self.flows: dict[tuple[str, str, str, str], Flow] = {}

    def counters(self, kind: str, id: str, pipeline: str = "") -> Counters:
        place = (("pipeline", pipeline),) if pipeline else ()
        return Counters(((kind, id), *place), self._counters)

    def flow(self, kind: str, id: str, pipeline: str, signal: str) -> Flow:
        return self.flows.setdefault((kind, id, pipeline, signal), Flow())

    def series(self) -> Iterator[Series]:
        """What components count themselves."""
        return _series(self._counters)


def _series(counters: Store) -> Iterator[Series]:
    for (instrument, attributes), counter in counters.items():
        yield Series(instrument, attributes, counter.value)
