"""What must hold of who may come in by address (`allow`, `deny`), of what one client may have
(`limits.per_client`), and of the lines that make browsers careful (`secure_headers`)."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

from proxy.config.checks import attempt
from proxy.config.locate import Path
from proxy.config.model import Config, Route
from proxy.config.rates import parse_limit
from proxy.config.report import Report
from proxy.config.syntax import is_field_value, parse_network

_MOST_PAIRS = 100_000  # of `allow` and `deny` that are compared
_HSTS = re.compile(r'(?i)(?:.*;)?\s*max-age\s*=\s*"?\d+"?\s*(?:;.*)?')


def check_clients(config: Config, report: Report) -> None:
    """Report all of it."""
    for i, route in enumerate(config.route):
        if isinstance(route, Route):
            _lists(route, ("route", i), report)
            _secure(route, ("route", i, "secure_headers"), report)
    _per_client(config, report)


def _lists(route: Route, path: Path, report: Report) -> None:
    for key, networks in (("allow", route.allow), ("deny", route.deny)):
        for i, network in enumerate(networks):
            if not report.is_broken(*path, key, i):
                attempt(parse_network, network, (*path, key, i), report)
    if report.is_broken(*path, "allow") or report.is_broken(*path, "deny"):
        return
    if len(route.allow) * len(route.deny) <= _MOST_PAIRS:
        _contradictions(route, path, report)


def _contradictions(route: Route, path: Path, report: Report) -> None:
    for i, allowed in enumerate(route.allow):
        by = next((denied for denied in route.deny if _covers(denied, allowed)), None)
        if by is not None:
            message = f'`deny` has "{by}" and wins: nobody comes in from here'
            report.warn((*path, "allow", i), message, "leave it out of one of the two")


def _covers(one: str, other: str) -> bool:
    if "unix" in (one, other):
        return one == other
    wide, narrow = ip_network(one), ip_network(other)
    if isinstance(wide, IPv4Network) and isinstance(narrow, IPv4Network):
        return narrow.subnet_of(wide)
    if isinstance(wide, IPv6Network) and isinstance(narrow, IPv6Network):
        return narrow.subnet_of(wide)
    return False


def _secure(route: Route, place: Path, report: Report) -> None:
    secure = route.secure_headers
    if secure is None or report.has_failed(*place):
        return
    for key in secure.__struct_fields__:
        value = getattr(secure, key)
        if not report.is_broken(*place, key) and value and not is_field_value(value):
            remedy = "no control characters, blanks at the ends, or beyond Latin-1"
            report.error((*place, key), "this value cannot be sent in a header", remedy)
    if secure.hsts and not report.is_broken(*place, "hsts") and not _HSTS.fullmatch(secure.hsts):
        remedy = 'write "max-age=31536000; includeSubDomains", or "" for none'
        report.error((*place, "hsts"), "without max-age it means nothing (RFC 6797 §6.1)", remedy)


def _per_client(config: Config, report: Report) -> None:
    said, place = config.limits.per_client, ("limits", "per_client")
    if report.has_failed("limits") or report.has_failed(*place):
        return
    if said.new_connections and not report.is_broken(*place, "new_connections"):
        attempt(parse_limit, said.new_connections, (*place, "new_connections"), report)
    limits = said.connections or said.new_connections
    if limits and config.forwarding.trust is None and config.tracing.trust:
        message = "connections of trusted proxies are not limited, and all private networks are"
        message += " trusted where [forwarding] says nothing"
        report.warn(place, message, 'name your proxies: [forwarding] trust = ["10.0.0.5"], or []')
