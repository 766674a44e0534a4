"""Counters of a process that is replaced go on; what it held is gone with it."""

from __future__ import annotations

from proxy.hub.carried import Carried
from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Series

COUNTED = Instrument("counted", Kind.COUNTER, "", "")
HELD = Instrument("held", Kind.GAUGE, "", "")
LABELS = (("exporter", "a"),)


def test_counters_go_on_and_gauges_begin_anew() -> None:
    series = Carried()
    series.apply([Series(COUNTED, LABELS, 7), Series(HELD, LABELS, 3)])
    series.retire()
    assert list(series) == [Series(COUNTED, LABELS, 7)]
    series.apply([Series(COUNTED, LABELS, 2), Series(COUNTED, (), 1), Series(HELD, LABELS, 1)])
    assert list(series) == [
        Series(COUNTED, LABELS, 9),
        Series(COUNTED, (), 1),
        Series(HELD, LABELS, 1),
    ]
    series.retire()
    series.retire()
    assert sorted(s.value for s in series) == [1, 9]  # type: ignore[type-var]
