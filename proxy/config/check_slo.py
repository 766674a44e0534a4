"""Objectives that can be kept and be missed, on routes of which there are numbers.

Which latencies the histograms can tell is not known here: `dashboards.objectives` has that.
"""

from __future__ import annotations

from proxy.config.locate import Path
from proxy.config.model import Config, Route
from proxy.config.report import Report
from proxy.config.slo_model import Slo


def check_slo(config: Config, report: Report) -> None:
    """Report objectives that nobody can mean, and routes where one has no effect."""
    inherited = config.defaults.slo
    if inherited is not None:
        _values(inherited, ("defaults", "slo"), report)
        _says_something(inherited, ("defaults", "slo"), report)
    streams = {one.name for one in config.listen if one and one.name and one.protocol != "http"}
    for i, route in enumerate(config.route):
        # An element that could not be made is None here; the report knows of it already.
        if isinstance(route, Route) and route.slo is not None:
            path: Path = ("route", i, "slo")
            _values(route.slo, path, report)
            if inherited is None:
                _says_something(route.slo, path, report)
            _place(route, streams, path, report)


def _values(slo: Slo, path: Path, report: Report) -> None:
    for key in ("availability", "quantile"):
        value = getattr(slo, key)
        if value is not None and not 0 < value < 1 and not report.is_broken(*path, key):
            why = "then no request may ever fail" if value else "that promises nothing"
            what = why if key == "availability" else why.replace("fail", "be late")
            example = f"write {key} = {0.999 if key == 'availability' else 0.99}"
            report.error((*path, key), f"{value:g} is no objective: {what}", example)
    if slo.latency is not None and not slo.latency and not report.is_broken(*path, "latency"):
        report.error((*path, "latency"), "no request takes no time", 'write latency = "300ms"')
    if slo.latency is None and report.lines.exact((*path, "quantile")):
        remedy = 'write latency = "300ms" beside it'
        report.warn((*path, "quantile"), "there is no `latency` that it is of", remedy)


def _says_something(slo: Slo, path: Path, report: Report) -> None:
    if slo.availability is None and slo.latency is None and not report.is_broken(*path):
        remedy = 'write slo = { availability = 0.999, latency = "300ms" }'
        report.warn(path, "it promises neither `availability` nor `latency`", remedy)


def _place(route: Route, streams: set[str], path: Path, report: Report) -> None:
    if route.slo is None or (route.slo.availability is None and route.slo.latency is None):
        return
    if route.when.listener in streams:
        message = "its connections are passed on, and are not counted as requests"
        report.warn(path, message, "leave it out")
    elif not route.to and not any(report.is_broken(*path[:-1], k) for k in ("to", "redirect")):
        message = "the gateway answers itself here, so this promises nothing about a service"
        report.warn(path, message, "leave it out, or write it on a route with `to`")
