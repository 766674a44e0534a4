"""What must hold of the admin port, its pages, and what is kept for them."""

from __future__ import annotations

from urllib.parse import urlsplit

from proxy.config.model import Config
from proxy.config.report import Report
from proxy.config.syntax import is_bearer, is_loopback, is_unix

_TOKEN = 'write token = "${file:/run/secrets/admin}"'


def check_see(config: Config, report: Report) -> None:
    """Report what cannot work, and pages that everybody may see."""
    _admin(config, report)
    _trace_url(config, report)
    _recent(config, report)


def _admin(config: Config, report: Report) -> None:
    admin = config.admin
    if report.is_broken("admin", "token") or report.is_broken("admin", "listen"):
        return
    if admin.token and not is_bearer(admin.token):
        remedy = "letters, digits and -._~+/ without blanks (RFC 6750 §2.1)"
        report.error(("admin", "token"), "this cannot be sent as a bearer token", remedy)
    if admin.ui and not admin.token and admin.listen and not _is_near(admin.listen):
        message = "everybody who reaches this port may see every request"
        report.warn(("admin", "ui"), message, _TOKEN)


def _trace_url(config: Config, report: Report) -> None:
    url = config.ui.trace_url
    if not url or report.is_broken("ui", "trace_url"):
        return
    example = 'write "https://jaeger.example/trace/{trace_id}"'
    try:
        is_web = urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).netloc)
    except ValueError:
        is_web = False
    if not is_web:
        report.error(("ui", "trace_url"), "this is no URL of a web page", example)
    elif "{trace_id}" not in url:
        report.error(("ui", "trace_url"), "it lacks {trace_id}", example)


def _recent(config: Config, report: Report) -> None:
    if config.recent.size or config.collector is None or report.is_broken("recent", "size"):
        return
    for name, pipeline in config.collector.pipelines.items():
        for i, id in enumerate(getattr(pipeline, "exporters", ())):
            if isinstance(id, str) and id.partition("/")[0] == "recent":
                path = ("collector", "pipelines", name, "exporters", i)
                report.error(path, "nothing is kept: [recent] size = 0", "give it a size")


def _is_near(listen: str) -> bool:
    """Whether only this machine can reach it."""
    if is_unix(listen):
        return True
    return is_loopback(listen.rpartition(":")[0].removeprefix("[").removesuffix("]"))
