"""What must hold for the `limits` of an upstream, and the `priority` of a route."""

from __future__ import annotations

from proxy.config.locate import Path
from proxy.config.model import Config, Route, Upstream, UpstreamLimits
from proxy.config.report import Report


def check_limits(upstream: Upstream, path: Path, report: Report) -> None:
    """Report what cannot work, and what has no effect."""
    limits = upstream.limits
    if limits is None or report.is_broken(*path, "limits"):
        return
    path = (*path, "limits")
    if limits == UpstreamLimits():
        remedy = "write requests = 1000, or adaptive = true, or leave it out"
        report.warn(path, "nothing is limited", remedy)
    elif limits.pending and not limits.requests and not limits.connections:
        message = "nobody ever waits: neither `requests` nor `connections` is limited"
        if limits.adaptive:
            message += ", and what `adaptive` does not let in is refused at once"
        report.error((*path, "pending"), message, "write requests = 1000 beside it")


def check_priority(route: Route, path: Path, config: Config, report: Report) -> None:
    """Warn where it means nothing."""
    if route.priority == "normal" or report.is_broken(*path, "to"):
        return
    upstreams = [config.upstream.get(name) for name in route.to]
    if not any(upstream is not None and upstream.limits for upstream in upstreams):
        message = "no upstream of this route has `limits`, so nothing is refused by priority"
        remedy = "write limits = { adaptive = true } in its [upstream.NAME]"
        report.warn((*path, "priority"), message, remedy)
