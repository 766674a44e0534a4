"""What must hold for `discover` and [dns]: ways that are known, files that are there.

A file that is missing or half written is a warning: it may come, and until then nothing is found.
"""

from __future__ import annotations

import os

from proxy.config.discover import parse_discover, parse_resolver
from proxy.config.discover_file import LARGEST, parse_servers
from proxy.config.locate import Path
from proxy.config.model import Config, Upstream
from proxy.config.regular import open_regular
from proxy.config.report import Report


def check_discover(upstream: Upstream, path: Path, report: Report) -> None:
    """Report a `discover` that finds nothing."""
    place: Path = (*path, "discover")
    if not upstream.discover or report.is_broken(*place):
        return
    try:
        found = parse_discover(upstream.discover)
    except ValueError as error:
        message, _, remedy = str(error).partition(": write ")
        report.error(place, message, f"write {remedy}" if remedy else "")
        return
    if found.kind == "file":
        _file(os.path.join(os.path.dirname(report.file), found.path), place, report)


def check_resolvers(config: Config, report: Report) -> None:
    """Report DNS servers that cannot be asked."""
    for i, text in enumerate(config.dns.servers):
        if report.is_broken("dns", "servers", i):
            continue
        try:
            parse_resolver(text)
        except ValueError as error:
            message, _, remedy = str(error).partition(": write ")
            report.error(("dns", "servers", i), message, f"write {remedy}")


def _file(name: str, place: Path, report: Report) -> None:
    try:
        with open_regular(name) as file:
            parse_servers(file.read(LARGEST + 1))
    except OSError as error:
        remedy = "write it, or correct the path; until then nothing is discovered"
        report.warn(place, f"{name} cannot be read: {error.strerror or error}", remedy)
    except ValueError as error:
        message, _, remedy = str(error).partition(": write ")
        remedy = f"write {remedy}" if remedy else "until then nothing is discovered"
        report.warn(place, f"{name}: {message}", remedy)
