"""What peers call the ways to balance: names that are one word apart work here too.

Whoever moves here keeps their word, and is told once, as a warning, what it is called here.
"""

from __future__ import annotations

from typing import Any

from proxy.config.locate import Path
from proxy.config.report import Report

_BY_CLIENT = {"policy": "hash", "on": "client"}

NAMES: dict[str, str | dict[str, str]] = {
    "roundrobin": "round_robin",  # HAProxy
    "rr": "round_robin",  # IPVS
    "wrr": "round_robin",  # Traefik
    "p2c": "least_request",  # Traefik, Finagle
    "leastconn": "least_request",  # HAProxy
    "least_conn": "least_request",  # nginx, Caddy
    "least_connections": "least_request",
    "ewma": "peak_ewma",  # ingress-nginx, Linkerd
    "least_time": "peak_ewma",  # nginx
    "ip_hash": _BY_CLIENT,  # nginx, Caddy
    "source": _BY_CLIENT,  # HAProxy
}


def translate(upstream: dict[str, Any], path: Path, report: Report) -> None:
    """Put our name into `upstream.balance`, a table, in the place of a peer's; `path` is its."""
    balance = upstream.get("balance")
    if not isinstance(balance, dict) or not isinstance(balance.get("policy"), str):
        return
    theirs = str(balance["policy"])
    ours = NAMES.get(theirs)
    if ours is None:
        return
    if isinstance(ours, str):
        balance["policy"] = ours
        remedy = f'write "{ours}"'
    else:
        upstream["balance"] = {**balance, **ours}
        remedy = 'write balance = { policy = "hash", on = "client" }'
    report.warn(path, f"{theirs!r} is {_shown(ours)} here", remedy)


def _shown(ours: str | dict[str, str]) -> str:
    return ours if isinstance(ours, str) else f"{ours['policy']} on {ours['on']}"
