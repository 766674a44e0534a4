"""Copies of requests, and clients that stay with one side of a split."""

from __future__ import annotations

from proxy.config.check_balance import KEYS
from proxy.config.locate import Path
from proxy.config.model import Config, Route
from proxy.config.report import Report, suggestion

_REMEDY = 'write sticky = "cookie:user", "header:x-user", "client" or "path:id"'


def check_mirror(route: Route, path: Path, config: Config, report: Report) -> None:
    """Report what cannot work, or has no effect."""
    if route.mirror is not None and not report.is_broken(*path, "mirror"):
        _mirror(route, (*path, "mirror"), config, report)
    if route.split is not None and not report.is_broken(*path, "split"):
        _split(route, (*path, "split"), report)


def _mirror(route: Route, path: Path, config: Config, report: Report) -> None:
    assert route.mirror is not None
    to, place = route.mirror.to, (*path, "to")
    if report.is_broken(*place):
        return
    broken = report.has_failed("upstream") or report.is_broken("upstream", to)
    if to not in config.upstream and not broken:
        remedy = suggestion(to, config.upstream) or f"add [upstream.{to}]"
        report.error(place, f"there is no upstream {to!r}", remedy)
    if not route.to and not report.is_broken(*path[:-1], "to"):
        report.error(path, "nothing is forwarded, so nothing can be mirrored", "leave it out")
    elif to in route.to:
        message = f"{to!r} gets the requests themselves as well: each would be done twice there"
        report.warn(place, message, "mirror to another upstream")
    if not route.mirror.share and not report.is_broken(*path, "share"):
        report.warn((*path, "share"), "a share of 0 mirrors nothing", "leave `mirror` out")


def _split(route: Route, path: Path, report: Report) -> None:
    assert route.split is not None
    on, place = route.split.sticky, (*path, "sticky")
    if report.is_broken(*place):
        return
    if not on:
        report.error(path, "it does not say what clients are told apart by", _REMEDY)
    elif KEYS.fullmatch(on) is None:
        report.error(place, f"{on!r} is no key of a request", _REMEDY)
    if len(route.to) < 2 and not report.is_broken(*path[:-1], "to"):
        remedy = "write to = { stable = 95, canary = 5 }"
        report.warn(path, "there is one upstream, so nothing is split", remedy)
