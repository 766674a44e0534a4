"""What must hold for probes, ejection and breakers of an upstream."""

from __future__ import annotations

from proxy.config.locate import Path
from proxy.config.model import Breaker, Eject, Health, Upstream
from proxy.config.report import Report
from proxy.config.syntax import is_authority, is_unix, parse_regex


def check_health(upstream: Upstream, path: Path, report: Report) -> None:
    """Report what cannot work, and what has no effect."""
    if upstream.health is not None:
        _health(upstream.health, (*path, "health"), report)
        _ways(upstream, upstream.health, (*path, "health"), report)
    if upstream.eject is not None:
        _eject(upstream.eject, len(upstream.servers), (*path, "eject"), report)
    if upstream.breaker is not None:
        _breaker(upstream.breaker, (*path, "breaker"), report)


def _health(health: Health, path: Path, report: Report) -> None:
    visible = all("!" <= c <= "~" and c != "#" for c in health.path)
    if not health.path.startswith("/") or not visible:
        report.error((*path, "path"), f"{health.path!r} is not a path", 'write "/healthz"')
    if health.host is not None and not is_authority(health.host):
        remedy = 'write "shop.example" or "shop.example:8080"'
        report.error((*path, "host"), f"{health.host!r} is not a host", remedy)
    if not health.every and not report.is_broken(*path, "every"):
        report.error((*path, "every"), "probes need a pause between them", 'write "5s"')
    if health.body.startswith("~"):
        try:
            parse_regex(health.body[1:])
        except ValueError as error:
            report.error((*path, "body"), str(error), "without ~ it is a text that is looked for")


def _ways(upstream: Upstream, health: Health, path: Path, report: Report) -> None:
    """How it is asked, where two ways exclude one another."""
    if health.tcp and health.grpc is not None:
        message = "a server is asked by gRPC or not at all"
        report.error((*path, "tcp"), message, "leave out tcp or grpc")
    elif health.body and (health.tcp or health.grpc is not None):
        what = "tcp asks nothing" if health.tcp else "gRPC's health protocol has a status"
        report.error((*path, "body"), f"{what}, so there is no body", "leave it out")
    if health.port is not None and any(is_unix(url) for url in upstream.servers):
        report.error((*path, "port"), "a Unix socket has no port", "leave it out")


def _eject(eject: Eject, servers: int, path: Path, report: Report) -> None:
    if not eject.base and not report.is_broken(*path, "base"):
        report.error((*path, "base"), "a time out must take its time", 'write "30s"')
    if not eject.max and not report.is_broken(*path, "max"):
        report.error((*path, "max"), "this ejects nobody", "leave `eject` out, or write 0.5")
    if not eject.errors and not eject.success_rate:
        report.error(path, "nothing is judged", "write errors = 5, or success_rate = true")
    elif servers == 1:
        message = "the only server is never ejected"
        report.warn(path, message, "leave it out, or name another server")


def _breaker(breaker: Breaker, path: Path, report: Report) -> None:
    for key in ("window", "open"):
        if not getattr(breaker, key) and not report.is_broken(*path, key):
            report.error((*path, key), "it needs a duration", 'write "10s"')
    if not breaker.failures and not report.is_broken(*path, "failures"):
        message = "it would open without any failure"
        report.error((*path, "failures"), message, "write 0.5")
