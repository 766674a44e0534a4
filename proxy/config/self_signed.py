"""The certificate that listeners with `self_signed` show: for whom it is, and for how long.

It exists in memory alone: in the hub, which hands it to all workers, those of later too, as it does
what it reads from files. A reload keeps it for as long as it is for every name that is wanted, so
that who has trusted it need not do so again.
"""

from __future__ import annotations

import os

from proxy.config import local_ca
from proxy.config.material import Certified
from proxy.config.model import Config, Route
from proxy.config.tls_pem import certificates, expiry

MOST_NAMES = 100  # of hosts of routes: each handshake carries all of them
_RENEWED = 30 * 86400.0  # seconds before its end at which another one is made


def self_signed(config: Config, known: Certified | None, now: float) -> Certified:
    """`known`, or a new one if that is not for all names or ends soon; `now`: Unix time."""
    names = names_for(config, os.uname().nodename)
    if known is not None and known.expires > now + _RENEWED and set(names) <= set(known.names):
        return known
    cert, key = local_ca.self_signed(names)
    return Certified(cert, key, names, expires=expiry(certificates(cert, "")[0]))


def names_for(config: Config, machine: str) -> list[str]:
    """What people type to reach this machine, whose name may be anything, and the hosts that
    routes are for; each once."""
    names = [*local_ca.NAMES, machine, *list(_hosts(config))[:MOST_NAMES]]
    return list(dict.fromkeys(name.lower() for name in names if _is_usable(name)))


def _hosts(config: Config) -> dict[str, None]:
    """Each once; what could not be read is None in a configuration that is being checked."""
    routes = [route for route in config.route if isinstance(route, Route)]
    return dict.fromkeys(host for route in routes for host in route.host if host)


def _is_usable(name: str) -> bool:
    try:
        local_ca.general_name(name)
    except ValueError:
        return False
    return True
