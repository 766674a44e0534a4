"""The rows of the board, in their order: requests first, and what routes promise."""

from __future__ import annotations

from proxy.config.model import Config
from proxy.dashboards import promql
from proxy.dashboards.asked import GATE, NOW, ROUTE, durations, one, rate, share, whole
from proxy.dashboards.objectives import Objective
from proxy.dashboards.panels import Panel, Query, Row, graph, plain, stat
from proxy.dashboards.rows_inside import PROPAGATION, SATURATION, TELEMETRY
from proxy.dashboards.rows_queues import queues
from proxy.dashboards.rows_upstream import UPSTREAMS
from proxy.dashboards.rules import ERRORS, SLOW_ONES, Kind, budget, kinds_of, ratio

MOST_PROMISES = 25  # routes with panels of their own: 100 panels


def rows(config: Config, objectives: list[Objective]) -> list[Row]:
    made = [overview(), each_route(), UPSTREAMS, SATURATION, TELEMETRY, PROPAGATION]
    if (row := queues(config)) is not None:
        made.insert(3, row)
    if objectives:
        made.insert(1, promises(objectives))
    return made


def overview() -> Row:
    served = f"{promql.SERVED}_count"
    total, failed = rate(served, "", ROUTE), rate(served, "", ROUTE, promql.FAILED)
    slowest = durations(promql.SERVED, "", ROUTE)[-1].expr
    by_route = rate(served, "spangate_route", ROUTE)
    failing = rate(served, "spangate_route, error_type", ROUTE, promql.FAILED)
    return Row(
        "Overview",
        (
            stat("Requests", Query(total), "reqps"),
            stat("Failed", Query(share(failed, total)), "percentunit")._replace(
                steps=((0.01, "orange"), (0.05, "red"))
            ),
            stat("Slowest hundredth", Query(slowest), "s", "The 99th percentile."),
            stat("Under way", Query(whole("http_server_active_requests"))),
            stat("Gateways", Query(f"count(spangate_build_info{{{GATE}}})")),
            stat(
                "Configuration in force",
                Query(whole("spangate_config_last_reload_success", how="min")),
                what="1: the last reload succeeded; 0: it was refused, and the one before serves.",
            )._replace(steps=((1, "green"),), bottom="red"),
            one("Requests by route", by_route, "{{spangate_route}}", "reqps"),
            one("Failures by route", failing, "{{spangate_route}} {{error_type}}", "reqps"),
            graph("Durations, all routes", *durations(promql.SERVED, "", ROUTE), unit="s"),
        ),
    )


def each_route() -> Row:
    """Rate, errors, duration; Grafana repeats it for each route that is chosen."""
    served = f"{promql.SERVED}_count"
    by_status = rate(served, "http_response_status_code", ROUTE)
    failed, total = rate(served, "error_type", ROUTE, promql.FAILED), rate(served, "", ROUTE)
    counted = f"sum by (le) (increase({promql.SERVED}_bucket{{{GATE},{ROUTE}}}[{NOW}]))"
    return Row(
        "Route $route",
        (
            one("Rate", by_status, "{{http_response_status_code}}", "reqps")._replace(width=6),
            one(
                "Errors",
                f"{failed} / ignoring (error_type) group_left {total}",
                "{{error_type}}",
                "percentunit",
                "Share of all requests, by why they failed.",
            )._replace(width=6),
            graph("Duration", *durations(promql.SERVED, "", ROUTE), unit="s")._replace(width=6),
            Panel(
                "Durations",
                (Query(counted, "{{le}}", exemplar=True),),
                "s",
                kind="heatmap",
                width=6,
            ),
        ),
        repeat="route",
    )


def promises(objectives: list[Objective]) -> Row:
    """Two panels for each promise; of more routes than anybody looks at, all together."""
    if len(objectives) > MOST_PROMISES:
        return Row(
            f"Objectives of {len(objectives)} routes", (_together(ERRORS), _together(SLOW_ONES))
        )
    found = [(o, kind) for o in objectives for kind in kinds_of(o)]
    return Row("Objectives", tuple(p for o, kind in found for p in _promise(o, kind)))


def _together(kind: Kind) -> Panel:
    expr = f"topk(20, {ratio(kind, '1h', ROUTE)})"
    what = "Of the chosen routes the 20 worst. From the recording rules of "
    what += "`spangate alerts prometheus`."
    title = f"Share of requests that {kind.what}, over 1h"
    return one(title, expr, "{{spangate_route}}", "percentunit", what)._replace(width=12)


def _promise(objective: Objective, kind: Kind) -> tuple[Panel, Panel]:
    """What is left of the budget of 30 days, and how fast it goes."""
    route, may = promql.of_route(objective.route), f"{budget(kind, objective):.9g}"
    spent = f"{ratio(kind, '30d', route)} / {may}"
    promised = objective.availability if kind is ERRORS else objective.quantile
    what = f"{promised * 100:.7g} % of requests "
    what += "do not fail" if kind is ERRORS else f"take {objective.bound:g} s at most"
    what += ", over 30 days. From the recording rules of `spangate alerts prometheus`."
    title = f"{plain(objective.route)}: {kind.slo}"
    left = stat(f"{title}, budget left", Query(f"1 - {spent}"), "percentunit", what)
    burns = [
        Query(f"{ratio(kind, window, route)} / {may}", f"over {window}")
        for window in ("5m", "1h", "6h", "3d")
    ]
    pace = graph(f"{title}, burn rate", *burns, what=what)
    return (
        left._replace(steps=((0, "orange"), (0.2, "green")), bottom="red", height=6),
        pace._replace(steps=((1, "orange"), (14.4, "red")), height=6),
    )
