from __future__ import annotations

import logging

import pytest

from proxy.collector.condition import Condition
from proxy.collector.counters import Counters, Flow, Meters
from proxy.collector.rates import Rates


def values(counters: Counters | Meters) -> dict[tuple[str, object], object]:
    return {(s.instrument.name, s.attributes): s.value for s in counters.series()}


def test_one_counter_for_each_name_and_attributes() -> None:
    counters = Counters((("receiver", "x"),))
    counters.counter("a", "A.").add()
    counters.counter("a", "A.").add(2)
    counters.counter("a", "A.", reason="b").add(5)
    counters.gauge("g", "G.", lambda: 7)
    where = ("receiver", "x")
    assert values(counters) == {
        ("a", (where,)): 3,
        ("a", (where, ("reason", "b"))): 5,
        ("g", (where,)): 7,
    }


def test_counters_outlive_components_and_gauges_do_not() -> None:
    meters = Meters()
    first = meters.counters("processor", "batch", "traces")
    first.counter("a", "A.").add(4)
    first.gauge("g", "G.", lambda: 1)
    second = meters.counters("processor", "batch", "traces")
    second.counter("a", "A.").add(1)
    where = (("processor", "batch"), ("pipeline", "traces"))
    assert values(meters) == {("a", where): 5}
    assert list(second.gauges()) == []
    assert meters.flow("receiver", "otlp", "", "logs") is meters.flow(
        "receiver", "otlp", "", "logs"
    )


def test_rates_are_of_the_last_two_samples() -> None:
    rates, flow = Rates(), Flow()
    rates.sample([flow], 100.0)
    flow.accepted = 50
    assert rates.at(105.0).of(flow) == 10.0
    rates.sample([flow], 110.0)
    flow.accepted = 150
    assert rates.at(120.0).of(flow) == 7.5
    rates.sample([flow], 120.0)
    rates.sample([flow], 130.0)
    assert rates.at(140.0).of(flow) == 0.0


def test_troubles_are_told_at_a_bearable_rate(caplog: pytest.LogCaptureFixture) -> None:
    condition = Condition("exporter x")
    with caplog.at_level(logging.INFO, "spangate"):
        condition.over()
        condition.warn("refused")
        condition.warn("refused again")
        condition.over()
        condition.over()
    assert [record.getMessage() for record in caplog.records] == [
        "exporter x: refused",
        "exporter x: works again",
    ]
    assert (condition.error, condition.warnings, condition.troubled) == ("refused again", 2, False)
