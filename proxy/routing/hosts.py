"""The routes of all hosts, as requests ask for them.

Owns the order among hosts: an exact name, then wildcards from the longest suffix to the
shortest, then routes for any host; `zone.py` has the order within one. A host whose routes all
refuse a request passes it on to the next less specific one.
"""

from __future__ import annotations

from proxy.routing.demands import Fields
from proxy.routing.leaf import Leaf
from proxy.routing.zone import Zone

MOST = 1024  # hosts that are remembered
LONGEST = 256  # characters of one that is


class Hosts:
    """All zones; nothing changes but what is remembered."""

    __slots__ = ("_anywhere", "_exact", "_has_hosts", "_known", "_wildcards")

    def __init__(self, zones: dict[str, Zone]) -> None:
        """By host as of `pattern.parse_host`."""
        self._anywhere: tuple[Zone, ...] = (zones[""],) if "" in zones else ()
        self._wildcards = {host: zone for host, zone in zones.items() if host.startswith(".")}
        self._exact = {h: z for h, z in zones.items() if h and h not in self._wildcards}
        self._has_hosts = bool(self._wildcards or self._exact)
        self._known: dict[str, tuple[Zone, ...]] = {}

    def all(self) -> list[Zone]:
        """In no order."""
        return [*self._anywhere, *self._wildcards.values(), *self._exact.values()]

    def find(self, host: str, method: str, path: str, query: str, head: Fields) -> Leaf | None:
        """The first route that fits and accepts; arguments as of `Table.match`."""
        zones = self._anywhere
        if self._has_hosts:
            known = self._known.get(host)
            zones = self.zones(host) if known is None else known
        for zone in zones:
            leaf = zone.find(method, path, query, head)
            if leaf is not None:
                return leaf
        return None

    def zones(self, host: str) -> tuple[Zone, ...]:
        """Those that fit, the most specific first. Remembered: clients ask for the same few."""
        zones = [self._exact[host]] if host in self._exact else []
        dot = host.find(".", 1)
        while dot > 0:
            zone = self._wildcards.get(host[dot:])
            if zone is not None:
                zones.append(zone)
            dot = host.find(".", dot + 1)
        found = (*zones, *self._anywhere)
        if len(host) <= LONGEST:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[host] = found
        return found
