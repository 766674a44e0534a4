"""Objectives and their alerts, by Prometheus' own `promtool test rules`.

Series are written for each minute, and what fires at the end is what a user would be paged for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.dashboards.kit import HOSTILE, needs_promtool, promtool, routes, rules_of

COUNT, BUCKET = (f"http_server_request_duration_seconds_{w}" for w in ("count", "bucket"))
PAGE_FAST = ("page", "1h")
PAGE_SLOW = ("page", "6h")
TICKET_FAST = ("ticket", "1d")
TICKET_SLOW = ("ticket", "3d")
ERRORS, LATENCY = "SpangateErrorBudgetBurn", "SpangateLatencyBudgetBurn"


class Flow(NamedTuple):
    """How many requests a minute, as promtool writes series: "0+600x120"."""

    values: str
    error: str = ""
    quick: str = ""  # those that took 500 ms at most; "" = all
    route: str = "shop"
    status: str = "200"


class Case(NamedTuple):
    what: str
    hours: float
    flows: tuple[Flow, ...]
    errors: tuple[tuple[str, str], ...] = ()
    latency: tuple[tuple[str, str], ...] = ()
    slo: str = 'slo = { availability = 0.999, latency = "500ms" }'


def steady(a_minute: float, hours: float) -> str:
    return f"0+{a_minute:g}x{int(hours * 60)}"


def burst(quiet: int, a_minute: float, minutes: int, after: int) -> str:
    """Nothing, then so much for some minutes, then nothing more."""
    most = a_minute * minutes
    return f"0x{quiet} 0+{a_minute:g}x{minutes} {most:g}x{after}"


ALL = (PAGE_FAST, PAGE_SLOW, TICKET_FAST, TICKET_SLOW)
CASES = (
    Case("all is well", 2, (Flow(steady(600, 2)),)),
    Case(
        "one request in twenty fails",
        2,
        (Flow(steady(570, 2)), Flow(steady(30, 2), "500", status="500")),
        errors=ALL,
    ),
    Case(
        "there is no answer at all",
        2,
        (Flow(steady(600, 2), "connection_refused", status="503"),),
        errors=ALL,
    ),
    Case(
        "two bad minutes are over for half an hour: nobody is woken, the day's budget suffers",
        2,
        (Flow(steady(600, 2)), Flow(burst(85, 600, 2, 35), "500", status="500")),
        errors=(TICKET_FAST, TICKET_SLOW),
    ),
    Case(
        "ten bad minutes are over for four hours",
        30,
        (Flow(steady(600, 30)), Flow(burst(1550, 600, 10, 250), "500", status="500")),
        errors=(TICKET_SLOW,),
    ),
    Case(
        "five times what may fail",
        30,
        (Flow(steady(995, 30)), Flow(steady(5, 30), "500", status="500")),
        errors=(TICKET_FAST, TICKET_SLOW),
    ),
    Case(
        "ten times what may fail",
        12,
        (Flow(steady(990, 12)), Flow(steady(10, 12), "500", status="500")),
        errors=(PAGE_SLOW, TICKET_FAST, TICKET_SLOW),
    ),
    Case(
        "twice what may fail",
        12,
        (Flow(steady(998, 12)), Flow(steady(2, 12), "500", status="500")),
        errors=(TICKET_SLOW,),
    ),
    Case(
        "half of what may fail",
        12,
        (Flow(steady(1999, 12)), Flow(steady(1, 12), "500", status="500")),
    ),
    Case(
        "a request a minute, half of which fail: too few in an hour to wake anybody",
        3,
        (Flow(steady(0.5, 3)), Flow(steady(0.5, 3), "500", status="500")),
        errors=(PAGE_SLOW, TICKET_FAST, TICKET_SLOW),
    ),
    Case(
        "what is the client's doing",
        2,
        (
            Flow(steady(100, 2)),
            Flow(steady(600, 2), "rate_limited", status="429"),
            Flow(steady(600, 2), "upgrade_refused", status="426"),
            Flow(steady(600, 2), "client_gone", status=""),
            Flow(steady(600, 2), status="404"),
        ),
    ),
    Case(
        "another route fails",
        2,
        (Flow(steady(600, 2)), Flow(steady(600, 2), "500", status="500", route="other")),
    ),
    Case(
        "every third request is slow",
        2,
        (Flow(steady(600, 2), quick=steady(400, 2)),),
        latency=ALL,
    ),
    Case(
        "one in fifty is slow",
        2,
        (Flow(steady(600, 2), quick=steady(588, 2)),),
        latency=(TICKET_SLOW,),
    ),
    Case(
        "as many are slow as may be, but for one in a thousand",
        2,
        (Flow(steady(600, 2), quick=steady(595, 2)),),
    ),
    Case(
        "all fail where so little is promised that 14.4 times the budget is more than all",
        2,
        (Flow(steady(600, 2), "500", status="500"),),
        errors=ALL,
        slo="slo = { availability = 0.5 }",
    ),
    Case(
        "half fail where that is what is promised",
        2,
        (Flow(steady(301, 2)), Flow(steady(299, 2), "500", status="500")),
        slo="slo = { availability = 0.5 }",
    ),
)


def unit_tests(cases: Iterable[Any]) -> str:
    """Evaluated often enough that no group finds what another wrote stale (5 minutes)."""
    return yaml.safe_dump(
        {"rule_files": ["rules.yml"], "evaluation_interval": "4m", "tests": cases}
    )


def series_of(flow: Flow) -> list[dict[str, str]]:
    labels = {"spangate_route": flow.route, "http_response_status_code": flow.status}
    labels |= {"error_type": flow.error} if flow.error else {}
    bucket = {**labels, "le": "0.5"}
    return [
        {"series": COUNT + selector(labels), "values": flow.values},
        {"series": BUCKET + selector(bucket), "values": flow.quick or flow.values},
    ]


def selector(labels: dict[str, str]) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ", ".join(f"{name}={quoted(value)}" for name, value in labels.items()) + "}"


def firing(alert: str, burns: Iterable[tuple[str, str]], at: str) -> dict[str, Any]:
    shorts = {"1h": "5m", "6h": "30m", "1d": "2h", "3d": "6h"}
    slo = "latency" if alert == LATENCY else "availability"
    common = {"alertname": alert, "alertstate": "firing", "slo": slo, "spangate_route": "shop"}
    samples = [
        {
            "labels": "ALERTS"
            + selector({**common, "severity": s, "long_window": w, "short_window": shorts[w]}),
            "value": 1,
        }
        for s, w in burns
    ]
    return {"expr": f'ALERTS{{alertname="{alert}"}}', "eval_time": at, "exp_samples": samples}


@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_it_burns_or_it_does_not(case: Case, tmp_path: Path) -> None:
    promtool(tmp_path, "check", "rules.yml", rules_of(routes("shop", slo=case.slo)))
    at = f"{int(case.hours * 60)}m"
    test = {
        "interval": "1m",
        "input_series": [one for flow in case.flows for one in series_of(flow)],
        "promql_expr_test": [firing(ERRORS, case.errors, at), firing(LATENCY, case.latency, at)],
    }
    promtool(tmp_path, "test", "test.yml", unit_tests([test]))


@needs_promtool
def test_what_is_said_names_the_route_and_the_objective(tmp_path: Path) -> None:
    text = rules_of(routes("shop"), runbooks="https://wiki.example/alerts")
    promtool(tmp_path, "check", "rules.yml", text)
    flows = (Flow(steady(570, 2)), Flow(steady(30, 2), "500", status="500"))
    labels = {"severity": "page", "slo": "availability", "spangate_route": "shop"}
    expected = {
        "exp_labels": {**labels, "long_window": "1h", "short_window": "5m"},
        "exp_annotations": {
            "summary": "shop: 5% of the requests of the last 1h failed, 14.4 times what its "
            "objective allows.",
            "description": "Objective: 0.999 of requests do not fail, over 30 days; the budget is "
            "a share of 0.001. At 14.4 times that pace, seen over 1h and over 5m, it is spent in "
            "2.08 days.",
            "runbook_url": "https://wiki.example/alerts#spangateerrorbudgetburn",
        },
    }
    rules = yaml.safe_load(text)
    rules["groups"] = [g for g in rules["groups"] if g["name"] == "spangate slo fast: shop"]
    (group,) = rules["groups"]
    group["rules"] = [r for r in group["rules"] if r.get("labels", {}).get("long_window") != "6h"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    test = {
        "interval": "1m",
        "input_series": [one for flow in flows for one in series_of(flow)],
        "alert_rule_test": [{"eval_time": "2h", "alertname": ERRORS, "exp_alerts": [expected]}],
    }
    promtool(tmp_path, "test", "test.yml", unit_tests([test]))


@needs_promtool
def test_names_that_would_be_something_else_are_names(tmp_path: Path) -> None:
    """Each fires for its own route, with a label that is the name as it stands in the file."""
    promtool(tmp_path, "check", "rules.yml", rules_of(routes(*HOSTILE)))
    flows = [Flow(steady(600, 2), "500", status="500", route=name) for name in HOSTILE]
    labels = {"alertname": ERRORS, "alertstate": "firing", "severity": "page", "long_window": "1h"}
    labels |= {"short_window": "5m", "slo": "availability"}
    samples = [
        {"labels": "ALERTS" + selector({**labels, "spangate_route": name}), "value": 1}
        for name in HOSTILE
    ]
    query = f'ALERTS{{alertname="{ERRORS}", long_window="1h"}}'
    test = {
        "interval": "1m",
        "input_series": [one for flow in flows for one in series_of(flow)],
        "promql_expr_test": [{"expr": query, "eval_time": "2h", "exp_samples": samples}],
    }
    promtool(tmp_path, "test", "test.yml", unit_tests([test]))


@needs_promtool
@pytest.mark.parametrize(("fewest", "fires"), [(0, True), (30, True), (200, False)])
def test_how_few_requests_are_too_few_can_be_said(fewest: int, fires: bool, tmp_path: Path) -> None:
    promtool(tmp_path, "check", "rules.yml", rules_of(routes("shop"), fewest=fewest))
    burns = ALL if fires else ()
    test = {
        "interval": "1m",
        "input_series": series_of(Flow(steady(1, 1.5), "500", status="500")),
        "promql_expr_test": [firing(ERRORS, burns, "92m")],
    }
    promtool(tmp_path, "test", "test.yml", unit_tests([test]))
