"""Which resource a reason of the hub's is about.

A reason begins with the place of a table, see tables.py. A table of a route is its route
configuration's, or its listener's where that has its routes itself; one whose certificate cannot be
used is the secret's that has brought it, where that is newer than what is in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from proxy.sources.xds.kinds import CDS, LDS, RDS, SDS, Kind
from proxy.sources.xds.names import place_of

Resources = Mapping[Kind, Mapping[str, Any]]
Place = tuple[Kind, str]
LEFT_OUT = ": route.when.listener: there is no listener"  # of the file's checks
SHOWN = 3  # reasons of one resource


class Blame:
    """Of the resources in `given`, of which those in `good` are in force."""

    def __init__(self, given: Resources, good: Resources) -> None:
        self._given = given
        self._good = good
        self._tables = {f"xDS {of.word} {n!r}": (of, n) for of in (LDS, CDS) for n in given[of]}
        for name, listener in given[LDS].items():
            if listener.cluster:  # where nobody has brought that one, it is there for this alone
                self._tables.setdefault(f"xDS {CDS.word} {listener.cluster!r}", (LDS, name))
        self._routes = dict(_of_routes(given))

    def place(self, reason: str) -> tuple[Place | None, str]:
        """And the reason as it is told. None: nothing that is here, so that the whole state is
        held up."""
        if routes := place_of(reason, self._routes, ", "):
            place, listener = self._routes[routes]
            if LEFT_OUT in reason:
                return (LDS, listener), self._elsewhere(listener)
            return place, reason
        table = place_of(reason, self._tables)
        if table is None:
            return None, reason
        place = self._tables[table]
        if secret := self._secret(place, reason):
            return secret, _told_of(secret, reason)
        kind, name = place
        return place, reason if table == f"xDS {kind.word} {name!r}" else _told_of(place, reason)

    def _elsewhere(self, name: str) -> str:
        """It was left out, so that its routes are of no listener."""
        listener = self._given[LDS][name]
        addresses = ", ".join(str(table["address"]) for table in listener.tables)
        what = f"the file or another source has {addresses} already"
        return f"xDS {LDS.word} {name!r}: {what}"

    def _secret(self, place: Place, reason: str) -> Place | None:
        given, good = self._given[SDS], self._good[SDS]
        tls = self._given[place[0]][place[1]].tls
        names = [
            name
            for name in tls.certificates | tls.authorities
            if f"source:{name}" in reason and given.get(name) != good.get(name)
        ]
        return (SDS, max(names, key=len)) if names else None


def _told_of(place: Place, reason: str) -> str:
    """What is said of another one."""
    return f"xDS {place[0].word} {place[1]!r}: {reason.removeprefix('xDS ')}"


def together(reasons: Iterable[str]) -> str:
    """Those of one resource, as /config has them."""
    all_of = [reason.removeprefix("xDS ") for reason in dict.fromkeys(reasons)]
    more = [f"and {len(all_of) - SHOWN} more"] if len(all_of) > SHOWN else []
    return "; ".join([*all_of[:SHOWN], *more])


def _of_routes(given: Resources) -> Iterator[tuple[str, tuple[Place, str]]]:
    """What places of routes begin with, whose they are, and of which listener."""
    for name, listener in given[LDS].items():
        own = listener.routes.name if listener.routes is not None else ""
        owner = (RDS, listener.rds) if listener.rds in given[RDS] else (LDS, name)
        yield place_of_routes(listener.rds or own, name), (owner, name)


def place_of_routes(config: str, listener: str) -> str:
    """A route's is this, a comma and its name."""
    return f"xDS route configuration {config!r} of {listener!r}"
