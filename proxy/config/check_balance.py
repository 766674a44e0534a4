"""How servers are chosen: what must hold between the policy, its key, backups and zones."""

from __future__ import annotations

import re

from proxy.config.locate import Path
from proxy.config.model import Upstream
from proxy.config.report import Report
from proxy.config.syntax import is_token, parse_server

SHORTEST_KEY = 16  # bytes that a cookie is signed with
KEYS = re.compile(
    r"(?:header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]+|client|path:(?:[A-Za-z_]\w*|\*)"
)  # a field's name is a token, RFC 9110 §5.6.2
_REMEDY = 'write on = "header:x-user", "cookie:session", "client" or "path:id"'


def check_balance(upstream: Upstream, path: Path, report: Report) -> None:
    """Report what cannot work, or has no effect."""
    _policy(upstream, (*path, "balance"), report)
    _sticky(upstream, (*path, "sticky"), report)
    if not report.is_broken(*path, "backup"):
        _backups(upstream, (*path, "backup"), report)
    if not report.is_broken(*path, "zones"):
        _zones(upstream, path, report)


def _policy(upstream: Upstream, path: Path, report: Report) -> None:
    balance = upstream.balance
    if report.is_broken(*path) or report.is_broken(*path, "policy"):
        return
    if balance.policy != "hash":
        for key in ("on", "algorithm"):
            if getattr(balance, key) != getattr(type(balance)(), key):
                remedy = 'write policy = "hash", or leave it out'
                report.error((*path, key), f"{balance.policy} goes by no key", remedy)
        return
    if not balance.on:
        report.error(path, "hash needs to know what requests are told apart by", _REMEDY)
    elif KEYS.fullmatch(balance.on) is None:
        report.error((*path, "on"), f"{balance.on!r} is no key of a request", _REMEDY)


def _sticky(upstream: Upstream, path: Path, report: Report) -> None:
    sticky = upstream.sticky
    if sticky is None:
        return
    if not is_token(sticky.cookie):
        message = f"{sticky.cookie!r} is not a cookie's name"
        report.error((*path, "cookie"), message, 'write cookie = "srv"')
    if sticky.key and len(sticky.key.encode()) < SHORTEST_KEY:
        message = f"less than {SHORTEST_KEY} bytes can be guessed"
        report.error((*path, "key"), message, 'write key = "${STICKY_KEY}", of chance')


def _backups(upstream: Upstream, path: Path, report: Report) -> None:
    places = {}
    for url in upstream.servers:
        try:
            places[parse_server(url)] = url
        except ValueError:
            continue  # told where servers are checked
    for url in upstream.backup:
        try:
            other = places.get(parse_server(url))
        except ValueError as error:
            report.error((*path, url), str(error))
            continue
        if other is not None:
            message = f"{url!r} is one of the servers as well"
            report.error((*path, url), message, "leave it out of one of them")


def _zones(upstream: Upstream, path: Path, report: Report) -> None:
    known = upstream.everyone()
    for zone, urls in upstream.zones.items():
        for i, url in enumerate(urls):
            if url not in known and not report.is_broken(*path, "zones", zone, i):
                remedy = "write it as in `servers`"
                report.error((*path, "zones", zone, i), f"{url!r} is none of the servers", remedy)
    if upstream.zone and upstream.zone not in upstream.zones:
        remedy = f'write zones = {{ "{upstream.zone}" = ["http://10.0.0.1:8000"] }}'
        report.error((*path, "zone"), f"no server is in the zone {upstream.zone!r}", remedy)
    if upstream.zones and not upstream.zone and not report.is_broken(*path, "zones"):
        remedy = 'write zone = "…": that of this gateway'
        report.warn((*path, "zones"), "zones have no effect without the gateway's own", remedy)
