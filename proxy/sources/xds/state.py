"""All resources that have come, and what is still waited for.

Owns which names are asked for, and when all is there that belongs together ("warming"): a listener
waits for its routes, a route for its clusters, a cluster for its endpoints and secrets. What does
not come within PATIENCE counts as not existing, as the protocol has it. It must not know the wire.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.pauses import doubled
from proxy.sources.xds.barred import Barred, due
from proxy.sources.xds.blame import Blame, Place, together
from proxy.sources.xds.kinds import CDS, EDS, KINDS, LDS, RDS, SDS, Kind
from proxy.sources.xds.map_cluster import Cluster
from proxy.sources.xds.map_listener import Listener
from proxy.sources.xds.map_routes import Routes
from proxy.sources.xds.map_tls import Secret
from proxy.sources.xds.reading import Reader, Refused

log = logging.getLogger("spangate")

PATIENCE = 15.0  # seconds, xds_protocol.rst, "Knowing When a Requested Resource Does Not Exist"
RETRY = 10.0  # seconds until what the hub refused is tried again, doubled each time
RETRY_LONGEST = 300.0  # likewise, the most
# Seconds: what is due so soon is tried in the same state, such as two listeners that exchange
# addresses, of which neither can go alone
TOGETHER = 1.0
JUDGED = (LDS, CDS, RDS, SDS)  # by the hub


@dataclass(frozen=True, slots=True)
class Arrived:
    """A response's resources of one kind, decoded."""

    kind: Kind
    resources: Sequence[tuple[str, str, Any]]  # name, version, message
    removed: Sequence[str] = ()
    full: bool = False  # what is not in it is gone
    faults: Sequence[str] = ()  # what could not be decoded


@dataclass(slots=True)
class Held:
    """What is held of one kind."""

    mapped: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    waited: dict[str, float] = field(default_factory=dict)  # name -> since when it is asked for
    answered: bool = False  # there was a response at all


class State:
    """The state of one source; `now` is in seconds of any clock that goes forward."""

    def __init__(self, reader: Reader, listeners: Sequence[str] = ()) -> None:
        self.held = {kind: Held() for kind in KINDS}
        self.endpoints_of: dict[str, list[str]] = {}  # by the name of EDS: clusters
        self.began = 0.0  # when the first stream was opened
        self.refused: dict[tuple[str, str], str] = {}  # by kind and name: why
        self.barred: dict[Place, Barred] = {}
        # how often the hub has refused each since it was in force last; of no name that has left
        self._refusals: dict[Place, int] = {}
        self._tried: set[Place] = set()  # those of these that the hub was given again
        self._given: dict[Kind, dict[str, Any]] = {kind: {} for kind in JUDGED}  # to the hub
        self.good: dict[Kind, dict[str, Any]] = self._given  # of the state that is in force
        self._reader = reader
        self._listeners = frozenset(listeners)

    def put(self, arrived: Arrived, now: float) -> list[str]:
        """Take in what is good; the reasons why the rest is not, each with its resource.

        A resource that is refused stays as it was, and the others of its response are used, as
        Envoy and gRPC do.
        """
        kind, held = arrived.kind, self.held[arrived.kind]
        wanted = self.endpoints_of if kind is EDS else self.wanted(kind)
        resources = [one for one in arrived.resources if wanted is None or one[0] in wanted]
        names = [name for name, _, _ in resources]
        held.answered = True
        reasons = list(arrived.faults)
        twice = {name for name, n in Counter(names).items() if n > 1}
        for name, version, message in {one[0]: one for one in resources}.values():
            if name in twice:
                why = "it is there twice"
            elif not (why := self._take(kind, name, message)):
                held.versions[name] = version
            if why:
                reasons.append(f"{kind.word} {name!r}: {why}")
                self.refused[kind.short, name] = reasons[-1]
            held.waited.pop(name, None)
        # what could not even be decoded may be any of them
        gone = set(held.mapped) - set(names) if arrived.full and not arrived.faults else set()
        if arrived.full and not arrived.faults:
            known = {(kind.short, name) for name in names}
            self.refused = {
                k: r for k, r in self.refused.items() if k[0] != kind.short or k in known
            }
        for name in gone.union(arrived.removed):
            self._unbar(kind, name)
            self._refusals.pop((kind, name), None)
            self.refused.pop((kind.short, name), None)
            held.mapped.pop(name, None)
            held.versions.pop(name, None)
        if not kind.whole:
            held.waited.update(dict.fromkeys(arrived.removed, -PATIENCE))  # known not to exist
        self._settle(kind, now)
        return reasons

    def _take(self, kind: Kind, name: str, message: Any) -> str:
        """Why it cannot be used; "" if it is there now."""
        try:
            self.held[kind].mapped[name] = kind.map(message, self._reader)
        # whatever strangers write must not end the conversation
        except Exception as error:  # noqa: BLE001
            return str(error) if isinstance(error, Refused) else _fault(error)
        self._unbar(kind, name)
        self.refused.pop((kind.short, name), None)
        return ""

    def wanted(self, kind: Kind) -> frozenset[str] | None:
        """The names to ask for; None = all that there are."""
        if kind is LDS:
            return self._listeners or None
        if kind is CDS:
            return None
        return self._named(kind, list(self._all_listeners()))

    def _named(self, kind: Kind, listeners: Collection[Listener]) -> frozenset[str]:
        """The names that these listeners and all clusters have for resources of that kind."""
        if kind is EDS:
            return frozenset(self.endpoints_of)
        if kind is RDS:
            return frozenset(listener.rds for listener in listeners if listener.rds)
        names: set[str] = set()
        for tls in [*(one.tls for one in listeners), *(one.tls for one in self._all_clusters())]:
            names |= tls.certificates | tls.authorities
        return frozenset(names)

    def _named_by_good(self, kind: Kind) -> frozenset[str]:
        """The same of those in force, which may have to stand in."""
        clusters = self.good[CDS].values()
        if kind is EDS:
            return frozenset(one.eds for one in clusters if one.eds)
        if kind is RDS:
            return self._named(kind, self.good[LDS].values())
        good = [*self.good[LDS].values(), *clusters]
        return frozenset().union(*(one.tls.certificates | one.tls.authorities for one in good))

    def give(self) -> dict[str, Listener]:
        """The listeners of a state that the hub is given now."""
        self._given = {kind: self._usable(kind) for kind in JUDGED}
        self._tried = self._refusals.keys() - self.barred.keys()
        return self._given[LDS]

    def clusters(self) -> Mapping[str, Cluster]:
        """Those that are used: as they were, where the hub has refused them. Not copied for
        nothing: every change of an endpoint asks."""
        return self._usable(CDS) if self.barred else self.held[CDS].mapped

    def accepted(self) -> None:
        """That state is in force."""
        self.good = self._given
        for place in self._tried:
            self._refusals.pop(place, None)

    def bar(self, reasons: Iterable[str], now: float) -> tuple[dict[Place, list[str]], list[str]]:
        """That state was refused. What is to blame is from now on as it was, or is not there at
        all: by its place, with the reasons; of what has changed meanwhile there is none. And those
        that blame nobody: they hold up the whole state."""
        blame = Blame(self._given, self.good)
        found: dict[Place, list[str]] = {}
        others: list[str] = []
        for reason in reasons:
            place, told = blame.place(reason)
            if place is None:
                others.append(told)
            else:
                found.setdefault(place, []).append(told)
        barred = {place: why for place, why in found.items() if self._bar(place, why, now)}
        if any(kind is CDS for kind, _ in barred):
            self._settle(CDS, now)
        return barred, others

    def _bar(self, place: Place, reasons: list[str], now: float) -> bool:
        kind, name = place
        held, given = self.held[kind], self._given[kind][name]
        barred = self.barred.get(place)
        if barred is not None:  # what stood in for it is to blame
            self.barred[place] = Barred(None, barred.until, barred.why)
        elif held.mapped.get(name) is given:  # and no newer one
            good = self.good[kind].get(name)
            count = self._refusals.get(place, 0)
            self._refusals[place] = count + 1
            until = now + doubled(RETRY, count, RETRY_LONGEST)
            why = together(reasons)
            self.barred[place] = Barred(good if good is not given else None, until, why)
            held.versions.pop(name, None)
            self.refused.setdefault((kind.short, name), why)
        return place in self.barred

    def retry(self, now: float) -> bool:
        """Whether there is something whose time it is. What was refused by the hub may go now,
        such as an address that was taken; each name waits for itself alone."""
        first = self.next_retry()
        if first is None or first > now:
            return False
        for kind, name in due(self.barred, self.held[LDS].mapped, now + TOGETHER):
            why = self.barred.pop((kind, name)).why
            if self.refused.get((kind.short, name)) == why:
                del self.refused[kind.short, name]
        return True

    def next_retry(self) -> float | None:
        return min((barred.until for barred in self.barred.values()), default=None)

    def routes_of(self, listener: Listener) -> Routes | None:
        routes: Routes | None = listener.routes or self._one(RDS, listener.rds)
        return routes

    def cluster(self, name: str) -> Cluster | None:
        found: Cluster | None = self._one(CDS, name)
        return found

    def secret(self, name: str) -> Secret | None:
        found: Secret | None = self._one(SDS, name)
        return found

    def is_in_force(self, place: Place) -> bool:
        """Whether the state that the hub is given has it as the one before."""
        kind, name = place
        good = self.good[kind].get(name)
        return good is not None and good == self._given[kind].get(name)

    def used(self) -> set[str]:
        """The clusters that some route or listener names."""
        names: set[str] = set()
        for listener in self._all_listeners():
            routes = self.routes_of(listener)
            names.update(routes.clusters if routes else ())
            names.update([listener.cluster] if listener.cluster else ())
        return names

    def missing(self, now: float) -> float | None:
        """None: all is there, or has been waited for. Else the time when the waiting ends."""
        if not self.held[LDS].answered:
            return now + PATIENCE
        if not self.held[CDS].answered and now < self.began + PATIENCE:
            return self.began + PATIENCE
        ends = [since + PATIENCE for since in self._since()]
        ends = [end for end in ends if end > now]
        return min(ends) if ends else None

    def versions(self) -> dict[Kind, dict[str, str]]:
        """Of each resource, for a server that is asked anew."""
        return {kind: dict(held.versions) for kind, held in self.held.items()}

    def _since(self) -> Iterator[float]:
        """Since when those are waited for without which something would not work."""
        yield from self.held[RDS].waited.values()
        yield from self.held[SDS].waited.values()
        waited = self.held[EDS].waited
        if waited:
            clusters = self.clusters()
            for name in self.used():
                cluster = clusters.get(name)
                if cluster is not None and cluster.eds in waited:
                    yield waited[cluster.eds]

    def _unbar(self, kind: Kind, name: str) -> None:
        self.barred.pop((kind, name), None)

    def _one(self, kind: Kind, name: str) -> Any:
        barred = self.barred.get((kind, name))
        return self.held[kind].mapped.get(name) if barred is None else barred.stand_in

    def _usable(self, kind: Kind) -> dict[str, Any]:
        usable = {**self.held[kind].mapped}
        for (of, name), barred in self.barred.items():
            if of is not kind:
                continue
            if barred.stand_in is not None:
                usable[name] = barred.stand_in
            else:
                usable.pop(name, None)
        return usable

    def _all(self, kind: Kind) -> Iterator[Any]:
        """With those that stand in for others."""
        yield from self.held[kind].mapped.values()
        for (of, _), barred in self.barred.items():
            if of is kind and barred.stand_in is not None:
                yield barred.stand_in

    def _all_listeners(self) -> Iterator[Listener]:
        return self._all(LDS)

    def _all_clusters(self) -> Iterator[Cluster]:
        return self._all(CDS)

    def _settle(self, changed: Kind, now: float) -> None:
        """What is asked for after resources of this kind have changed."""
        if changed is CDS:
            self.endpoints_of = {}
            named = ((one.name, one.eds) for one in self._all_clusters() if one.eds)
            for name, eds in dict.fromkeys(named):
                self.endpoints_of.setdefault(eds, []).append(name)
        if changed not in (CDS, LDS):
            return
        for kind in (EDS, RDS, SDS):
            held, wanted = self.held[kind], self.wanted(kind) or frozenset()
            kept = wanted | self._named_by_good(kind)
            for name in held.mapped.keys() - kept:
                held.mapped.pop(name)
                held.versions.pop(name, None)
            self._forget(kind, wanted)
            missing = wanted - held.mapped.keys()
            held.waited = {name: held.waited.get(name, now) for name in missing}

    def _forget(self, kind: Kind, kept: Collection[str]) -> None:
        """What was refused of others: nobody asks for them any more."""
        for of, name in [*self.barred, *self._refusals]:
            if of is kind and name not in kept:
                self._unbar(kind, name)
                self._refusals.pop((kind, name), None)
        for short, name in [*self.refused]:
            if short == kind.short and name not in kept:
                del self.refused[short, name]


def _fault(error: Exception) -> str:
    log.exception("xDS: a resource could not be judged", extra={"key": "xds.bug"})
    return f"it could not be judged ({type(error).__name__})"
