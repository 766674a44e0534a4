"""Recording rules and burn-rate alerts of one route's objective.

Windows and factors are those of the SRE Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate
Alerts": a factor of 1 spends exactly the budget of 30 days in 30 days. Alerts compare what the
recording rules before them in the same group have just written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from proxy.dashboards import promql
from proxy.dashboards.objectives import Objective

Rule = dict[str, Any]
Group = dict[str, Any]

FAST = ("5m", "30m", "1h", "2h", "6h")
SLOW = ("1d", "3d", "30d")
SLOWLY = "2m"  # how often long windows are asked for: below the 5 min after which a value is stale
FEWEST = 100  # requests in the long window, below which nothing is said
# Of promises so modest that the factor asks for more failures than there can be: nearly all fail.
MOST = 0.95


class Burn(NamedTuple):
    """How fast the budget goes, seen in both windows."""

    severity: str
    long: str
    short: str
    factor: float


PAGES = (Burn("page", "1h", "5m", 14.4), Burn("page", "6h", "30m", 6.0))
TICKETS = (Burn("ticket", "1d", "2h", 3.0), Burn("ticket", "3d", "6h", 1.0))


class Kind(NamedTuple):
    """One of the two things that can be promised."""

    record: str
    alert: str
    slo: str
    what: str  # of the share that is too large


ERRORS = Kind("spangate:route:error_ratio", "SpangateErrorBudgetBurn", "availability", "failed")
SLOW_ONES = Kind(
    "spangate:route:slow_ratio", "SpangateLatencyBudgetBurn", "latency", "took too long"
)


def groups(objective: Objective, fewest: int, runbooks: str) -> list[Group]:
    """Those of one route; a group's rules are evaluated one after the other."""
    kinds = kinds_of(objective)
    made = []
    for title, windows, burns in (("fast", FAST, PAGES), ("slow", SLOW, TICKETS)):
        rules = [_record(kind, window, objective) for kind in kinds for window in windows]
        rules += [
            _alert(kind, burn, objective, fewest, runbooks) for kind in kinds for burn in burns
        ]
        group: Group = {"name": f"spangate slo {title}: {objective.route}"}
        if title == "slow":
            group["interval"] = SLOWLY
        made.append({**group, "rules": rules})
    return made


def kinds_of(objective: Objective) -> list[Kind]:
    said = ((objective.availability, ERRORS), (objective.bound, SLOW_ONES))
    return [kind for value, kind in said if value]


def budget(kind: Kind, objective: Objective) -> float:
    """Share of requests that may fail, or take longer. Rounded, since 1 - 0.999 is not 0.001."""
    promised = objective.availability if kind is ERRORS else objective.quantile
    return round(1 - promised, 9)


def ratio(kind: Kind, window: str, *matchers: str) -> str:
    """Name and selector of what a recording rule has written."""
    return f"{kind.record}:rate{window}{{{','.join(matchers)}}}"


def _record(kind: Kind, window: str, objective: Objective) -> Rule:
    route = promql.of_route(objective.route)
    whole = promql.rate(f"{promql.SERVED}_count", window, route)
    if kind is ERRORS:
        failed = promql.rate(f"{promql.SERVED}_count", window, route, promql.FAILED)
        expr = promql.share(failed, whole)
    else:
        bound = promql.bound_matcher(objective.bound)
        quick = promql.rate(f"{promql.SERVED}_bucket", window, route, bound)
        expr = f"1 - {quick}\n/ ({whole} > 0)"
    labels = {"spangate_route": objective.route}  # as the expression has it: tells rules apart
    return {"record": f"{kind.record}:rate{window}", "expr": expr, "labels": labels}


def _alert(kind: Kind, burn: Burn, objective: Objective, fewest: int, runbooks: str) -> Rule:
    route = promql.of_route(objective.route)
    limit = min(round(burn.factor * budget(kind, objective), 9), MOST)
    enough = f"sum by (spangate_route) (increase({promql.SERVED}_count{{{route}}}[{burn.long}]))"
    tests = [
        f"{ratio(kind, burn.long, route)} > {limit:.9g}",
        f"{ratio(kind, burn.short, route)} > {limit:.9g}",
    ]
    if fewest:
        tests.append(f"{enough} >= {fewest}")
    return {
        "alert": kind.alert,
        "expr": "\nand on (spangate_route)\n".join(tests),
        "labels": {
            "spangate_route": promql.in_template(objective.route),
            "severity": burn.severity,
            "slo": kind.slo,
            "long_window": burn.long,
            "short_window": burn.short,
        },
        "annotations": _annotations(kind, burn, objective, runbooks),
    }


def _annotations(kind: Kind, burn: Burn, objective: Objective, runbooks: str) -> dict[str, str]:
    """Names of routes come in by `$labels`, since an annotation is a template, and they are not."""
    name = "{{ $labels.spangate_route }}"
    may = f"{budget(kind, objective):.9g}"
    promise = f"{objective.availability:.9g} of requests do not fail"
    if kind is SLOW_ONES:
        promise = f"{objective.quantile:.9g} of requests take {objective.bound:.9g} s at most"
    return {
        "summary": (
            f"{name}: {{{{ $value | humanizePercentage }}}} of the requests of the last "
            f"{burn.long} {kind.what}, {burn.factor:g} times what its objective allows."
        ),
        "description": (
            f"Objective: {promise}, over 30 days; the budget is a share of {may}. At "
            f"{burn.factor:g} times that pace, seen over {burn.long} and over {burn.short}, it is "
            f"spent in {30 / burn.factor:.3g} days."
        ),
        "runbook_url": f"{runbooks}#{kind.alert.lower()}",
    }
