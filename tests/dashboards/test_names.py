"""Whatever rules and board ask for is a metric that the gateway has."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from dataclasses import replace
from pathlib import Path

import pytest

import proxy
from proxy.admin.exposition import metric_name
from proxy.dashboards.board import Links, board
from proxy.telemetry.instruments import Instrument, Kind
from tests.dashboards.kit import (
    CONSUMES,
    PUBLISHES,
    QUEUE,
    STRINGS,
    all_rules,
    loaded,
    metrics_in,
    queries,
    routes,
    rules_of,
)

DOCS = Path(__file__).parents[2] / "docs"
MODULES = ("proxy.telemetry.instruments", "proxy.hub.gauges", "proxy.collector.")
TEXT = routes("a", "b") + PUBLISHES + CONSUMES.replace(QUEUE, "")
PARTS = {
    Kind.COUNTER: ("_total",),
    Kind.GAUGE: ("",),
    Kind.HISTOGRAM: ("_bucket", "_count", "_sum"),
}


def instruments() -> list[Instrument]:
    found = []
    for module in pkgutil.walk_packages(proxy.__path__, "proxy."):
        if module.name.startswith(MODULES):
            for value in vars(importlib.import_module(module.name)).values():
                rows = value.values() if isinstance(value, dict) else [value]
                found += [row for row in rows if isinstance(row, Instrument)]
    return found


EXIST = {
    metric_name(one) + part
    for found in instruments()
    for one in (found, replace(found, page=""))  # on /metrics, and as it comes by OTLP
    for part in PARTS[one.kind]
}
DOCUMENTED = set(
    re.findall(
        r"`((?:spangate|http|rpc|messaging|otelcol|process)_\w+)`",
        "".join((DOCS / page).read_text() for page in ("telemetry.md", "collector.md")),
    )
)


def asked() -> dict[str, set[str]]:
    """Metric -> who asks for it."""
    found: dict[str, set[str]] = {}
    for rule in all_rules(rules_of(TEXT)):
        for name in metrics_in(rule["expr"]):
            found.setdefault(name, set()).add(rule.get("alert") or rule["record"])
    for where, expr in queries(board(loaded(TEXT), Links("http://a"))):
        for name in metrics_in(expr):
            found.setdefault(name, set()).add(where)
    return found


ASKED = asked()


@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_metric_that_is_asked_for_exists_and_is_documented(name: str) -> None:
    assert name in EXIST, ASKED[name]
    assert {name, re.sub("_(bucket|count|sum)$", "", name)} & DOCUMENTED


def test_names_are_found_in_expressions() -> None:
    assert len(ASKED) > 40
    expr = 'sum by (spangate_route) (rate(http_a_count{spangate_b="http_no"}[5m])) / spangate_c'
    assert metrics_in(expr) == {"http_a_count", "spangate_c"}


def test_recorded_series_that_are_asked_for_are_written() -> None:
    written = {rule["record"] for rule in all_rules(rules_of(TEXT)) if "record" in rule}
    text = rules_of(TEXT) + json.dumps(board(loaded(TEXT), Links("http://a")))
    wanted = set(re.findall(r"spangate:route:\w+:\w+", STRINGS.sub('""', text) + text))
    assert wanted == written
