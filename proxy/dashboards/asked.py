"""The questions that panels have in common: about the gateways and routes that are chosen above the
board, at the pace of the time that is shown."""

from __future__ import annotations

from proxy.dashboards import promql
from proxy.dashboards.panels import Panel, Query, graph

GATE = 'instance=~"$instance"'
ROUTE = 'spangate_route=~"$route"'
NOW = "$__rate_interval"
QUANTILES = (0.5, 0.9, 0.99)


def rate(metric: str, by: str = "", *matchers: str) -> str:
    return promql.rate(metric, NOW, GATE, *matchers, by=by)


def whole(metric: str, by: str = "", how: str = "sum") -> str:
    return f"{how}{f' by ({by})' if by else ''} ({metric}{{{GATE}}})"


def one(title: str, expr: str, legend: str = "", unit: str = "short", what: str = "") -> Panel:
    return graph(title, Query(expr, legend), unit=unit, what=what)


def share(part: str, whole: str, by: str = "") -> str:
    return promql.share(part, whole, by)


def durations(metric: str, by: str, *matchers: str) -> tuple[Query, ...]:
    grouped = ", ".join(filter(None, ("le", by)))
    found = rate(f"{metric}_bucket", grouped, *matchers)
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        Query(f"histogram_quantile({q:g}, {found})", f"{legend}p{q * 100:g}", exemplar=True)
        for q in QUANTILES
    )
