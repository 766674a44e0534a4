"""What the hub refused, and what of it is tried again in one state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.sources.xds.blame import Place
from proxy.sources.xds.kinds import LDS
from proxy.sources.xds.map_listener import Listener


@dataclass(frozen=True, slots=True)
class Barred:
    """A resource that the hub refused."""

    stand_in: Any  # what is in force in its place, None = nothing
    until: float  # when it is tried again
    why: str  # of what the hub refused; a newer one may be refused here meanwhile


def due(barred: Mapping[Place, Barred], listeners: Mapping[str, Listener], by: float) -> set[Place]:
    """Those whose time it is, and the listeners whose former selves stand at an address that one
    of these has now, whenever their own time is: they may exchange them."""
    found: set[Place] = set()
    new = {place for place, one in barred.items() if one.until <= by}
    while new:
        found |= new
        names = [name for kind, name in new if kind is LDS]
        wanted = {table["address"] for name in names for table in listeners[name].tables}
        new = {
            place
            for place, one in barred.items()
            if place[0] is LDS and place not in found and one.stand_in is not None
            if not wanted.isdisjoint(table["address"] for table in one.stand_in.tables)
        }
    return found
