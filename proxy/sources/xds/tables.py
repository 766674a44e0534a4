"""All that has come, as tables of one configuration.

Routes stand in the order of their route configuration, which `order` says, and each holds for the
listener whose route configuration it is of. A cluster that routes name and nobody has described,
or whose certificates never came, is an upstream without servers: its requests get 503.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from proxy.sources.xds.blame import Place, place_of_routes
from proxy.sources.xds.kinds import CDS, KINDS, LDS, RDS, SDS
from proxy.sources.xds.map_listener import Listener, names_of
from proxy.sources.xds.map_routes import Entry
from proxy.sources.xds.map_tls import Secret, Tls
from proxy.sources.xds.names import upstream_of
from proxy.sources.xds.state import State
from proxy.sources.xds.upstreams import (
    BYTES,
    Table,
    nobody,
    servers_of,
    table_of,
    upstream_for_bytes,
)

# By cluster: `balance.on` of its routes, and for each the first place of each resource that says it
Hashes = dict[str, dict[str, dict[Place, str]]]


@dataclass(slots=True)
class Tables:
    """What is given, and the servers of upstreams that are told apart from it."""

    routes: list[Table] = field(default_factory=list)
    upstreams: dict[str, Table] = field(default_factory=dict)
    listeners: list[Table] = field(default_factory=list)
    certificates: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    authorities: dict[str, bytes] = field(default_factory=dict)
    places: dict[tuple[str | int, ...], str] = field(default_factory=dict)
    servers: dict[str, dict[str, int]] = field(default_factory=dict)  # by upstream
    reasons: list[str] = field(default_factory=list)  # why it cannot be given as it is
    left_out: list[str] = field(default_factory=list)  # resources that were refused, and why
    kept: list[str] = field(default_factory=list)  # those of them that are there as they were


def make_tables(state: State) -> Tables:
    """The tables of all that is there now."""
    made = Tables(left_out=_told(state.refused.values()), kept=_told(_kept(state)))
    hashes: Hashes = {}
    names: set[str] = set()
    for_bytes: dict[int, str] = {}  # place among the listeners: the cluster
    listeners = state.give()
    for name, listener in sorted(listeners.items()):
        if not _has_secrets(listener.tls, f"xDS listener {name!r}", state, made):
            continue  # nobody could connect; it comes with its certificate
        for table in listener.tables:
            if listener.cluster:
                for_bytes[len(made.listeners)] = listener.cluster
            made.places["listen", len(made.listeners)] = f"xDS listener {name!r}"
            made.listeners.append(table)
        _secrets(listener.tls, state, made)
        if not listener.cluster:
            _routes(listener, state, made, names, hashes)
    made.reasons += _at_one_address(listeners, state)
    for name, keys in hashes.items():
        made.reasons += _at_odds(name, keys, state)
        _upstream(name, upstream_of(name), False, keys, state, made)
    for place, name in for_bytes.items():
        upstream = upstream_for_bytes(name) if name in hashes else upstream_of(name)
        made.listeners[place] = {**made.listeners[place], "to": upstream}
        _upstream(name, upstream, True, (), state, made)
    return made


def _at_one_address(listeners: Mapping[str, Listener], state: State) -> Iterator[str]:
    """Of listeners with the same address the one that is in force has it, else the first."""
    addresses = [table["address"] for one in listeners.values() for table in one.tables]
    if len(set(addresses)) == len(addresses):
        return
    taken: dict[str, str] = {}
    for name in sorted(listeners, key=lambda name: (not state.is_in_force((LDS, name)), name)):
        for address in (table["address"] for table in listeners[name].tables):
            other = taken.setdefault(address, name)
            if other != name:
                yield f"xDS listener {name!r}: listener {other!r} has {address} already"
                break


def _routes(
    listener: Listener,
    state: State,
    made: Tables,
    names: set[str],
    hashes: Hashes,
) -> None:
    """The routes of one listener; one that answers 404 where there is none at all."""
    routes = state.routes_of(listener)
    config = listener.rds or (routes.name if routes is not None else "")
    head = place_of_routes(config, listener.name)
    owner = (RDS, config) if listener.rds else (LDS, listener.name)
    if routes is None and (RDS.short, config) not in state.refused:
        missing = f"xDS listener {listener.name!r}: route configuration {config!r} has not come"
        made.left_out.append(missing)
    entries = routes.entries if routes is not None else ()
    if not entries:
        entries = (Entry("none", {"path": "/*", "respond": {"status": 404}}),)
    for asked in names_of(listener):
        for entry in entries:
            order = len(made.routes) + 1
            made.places["route", order - 1] = f"{head}, {entry.name}"
            made.routes.append(_route(entry, asked, order, listener, names))
    for entry in entries:
        for cluster in (*entry.clusters, entry.mirror):
            if cluster:
                keys = hashes.setdefault(cluster, {})
            if cluster and entry.hashed:
                keys.setdefault(entry.hashed, {}).setdefault(owner, f"{head}, {entry.name}")


def _at_odds(name: str, keys: dict[str, dict[Place, str]], state: State) -> Iterator[str]:
    """A cluster goes by one key: that which its routes in force have, else the first. Who says
    another one is to blame, or the cluster where that alone is new."""
    cluster = state.cluster(name) if len(keys) > 1 else None
    if cluster is None or not cluster.algorithm:
        return
    kept = max(keys, key=_hashed_in_force(name, state).__contains__)  # the first of them
    for key, places in keys.items():
        new = [text for place, text in places.items() if not state.is_in_force(place)]
        for text in new if key != kept else ():
            what = f"it hashes by {key} to cluster {name!r}, which goes by {kept}"
            yield f"{text}: {what}: one key for each cluster is supported"
        if key != kept and len(new) < len(places):
            yield f"xDS cluster {name!r}: its routes hash by {sorted(keys)}, not one"


def _hashed_in_force(cluster: str, state: State) -> set[str]:
    all_of = [*state.good[RDS].values(), *(one.routes for one in state.good[LDS].values())]
    return {
        entry.hashed
        for routes in all_of
        if routes is not None and cluster in routes.clusters
        for entry in routes.entries
        if entry.hashed and (cluster in entry.clusters or cluster == entry.mirror)
    }


def _route(entry: Entry, asked: str, order: int, listener: Listener, names: set[str]) -> Table:
    table: Table = {**entry.table, "name": _name(f"{asked}/{entry.name}", names), "order": order}
    table["when"] = {**entry.table.get("when", {}), "listener": asked}
    for key, value in listener.defaults.items():
        if entry.clusters or key == "encoded_slash":
            table.setdefault(key, value)
    if entry.clusters:
        table["to"] = {upstream_of(name): weight for name, weight in entry.clusters.items()}
    if entry.mirror:
        table["mirror"] = {**entry.table["mirror"], "to": upstream_of(entry.mirror)}
    return table


def _name(wanted: str, names: set[str]) -> str:
    """Names are unique here, and need not be there."""
    wanted = "".join(c if c.isprintable() else "?" for c in wanted)
    name, n = wanted, 1
    while name in names:
        n += 1
        name = f"{wanted}#{n}"
    names.add(name)
    return name


def _upstream(
    name: str, upstream: str, for_bytes: bool, keys: Iterable[str], state: State, made: Tables
) -> None:
    cluster = state.cluster(name)
    made.places["upstream", upstream] = place = f"xDS cluster {name!r}"
    scheme = BYTES if for_bytes else "http" if cluster is None else cluster.scheme
    if cluster is None and (CDS.short, name) not in state.refused:
        made.left_out.append(f"{place}: it has not come, and is named by routes or listeners")
    if cluster is None or not _has_secrets(cluster.tls, place, state, made):
        made.upstreams[upstream] = nobody(scheme)
        made.servers[upstream] = {}
        return
    if for_bytes and cluster.scheme == "https":
        made.reasons.append(f"xDS cluster {name!r}: TLS is not supported for a TcpProxy.cluster")
    table = table_of(cluster, scheme, keys, state)
    made.upstreams[upstream] = table
    if table.get("discover", "").startswith("source"):
        made.servers[upstream] = servers_of(cluster, scheme, state)
    _secrets(cluster.tls, state, made)


def _has_secrets(tls: Tls, place: str, state: State, made: Tables) -> bool:
    """One that is of the other kind is to blame; for one that has not come nobody is."""
    wanted = [(name, "certificate") for name in sorted(tls.certificates)]
    wanted += [(name, "authority") for name in sorted(tls.authorities)]
    has_all = True
    for name, what in wanted:
        secret = state.secret(name)
        if secret is not None and getattr(secret, what) is not None:
            continue
        has_all = False
        if secret is not None:
            made.reasons.append(f"{place}: source:{name} holds no {what}")
        elif (SDS.short, name) not in state.refused:
            made.left_out.append(f"{place}: secret {name!r} has not come")
    return has_all


def _secrets(tls: Tls, state: State, made: Tables) -> None:
    made.certificates.update(tls.own_certificates)
    made.authorities.update(tls.own_authorities)
    for secret in _named(tls, state):
        if secret.certificate is not None and secret.name in tls.certificates:
            made.certificates[secret.name] = secret.certificate
        if secret.authority is not None and secret.name in tls.authorities:
            made.authorities[secret.name] = secret.authority


def _named(tls: Tls, state: State) -> Iterator[Secret]:
    for name in tls.certificates | tls.authorities:
        if (secret := state.secret(name)) is not None:
            yield secret


def _kept(state: State) -> Iterator[str]:
    """Why those are refused that are used as they were before."""
    kinds = {kind.short: kind for kind in KINDS}
    for (short, name), reason in state.refused.items():
        barred = state.barred.get((kinds[short], name))
        there = state.held[kinds[short]].mapped if barred is None else {name: barred.stand_in}
        if there.get(name) is not None:
            yield reason


def _told(reasons: Iterable[str]) -> list[str]:
    return [f"xDS {reason}" for reason in reasons]
