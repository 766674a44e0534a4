"""What is to be sent, given and told next: the protocol over all kinds, without I/O and clock.

A response is acknowledged when the state that it makes is in force, and refused with the reasons
when the hub refuses that state; where it waits for other resources, it is acknowledged at once and
refused later if it comes to that: the newest response of a kind may be answered again, and a
later request supersedes the earlier one. Servers go their own short way, and are acknowledged at
once.

States are given one at a time: what arrives while the hub works on one is in the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import msgspec

from proxy.sources.xds.kinds import CDS, EDS, KINDS, LDS, Kind
from proxy.sources.xds.state import Arrived, State
from proxy.sources.xds.tables import Tables, make_tables
from proxy.sources.xds.upstreams import (
    Table,
    backup_of,
    in_both,
    is_nobody,
    known_as,
    scheme_of,
    servers_of,
)

LONGEST = 60.0  # seconds that the hub may take to say whether a state is in force
ROUNDS = 100  # in which what is at odds is left out; what is left then is the hub's to judge
MOST = 2000  # characters of a refusal


class Stream(Protocol):
    """One variant of the protocol: what has been said of each kind on the stream that is open."""

    METHOD: str
    RESPONSE: str

    def open(self, have: dict[Kind, dict[str, str]]) -> None: ...
    def subscribe(self, kind: Kind, names: frozenset[str] | None) -> list[Any]: ...
    def read(self, response: Any) -> tuple[Arrived | None, str, str]: ...
    def ack(self, kind: Kind, nonce: str) -> list[Any]: ...
    def nack(self, kind: Kind, nonce: str, reason: str) -> list[Any]: ...


@dataclass(slots=True)
class Out:
    """What is to be done now."""

    requests: list[Any] = field(default_factory=list)
    tables: Tables | None = None  # a state, of this number
    number: int = 0
    servers: dict[str, dict[str, int]] = field(default_factory=dict)  # by upstream
    refused: list[str] = field(default_factory=list)  # what was refused here, for the log


@dataclass(slots=True)
class Response:
    """What is known of one."""

    nonce: str
    names: Set[str]  # of its resources
    before: str | None  # the version that was accepted before it
    answered: bool = False  # acknowledged or refused
    refused: set[str] = field(default_factory=set)  # names of which the server was told why


class Session:
    """One control plane; it lives longer than its streams."""

    def __init__(self, stream: Stream, state: State) -> None:
        self.versions: dict[str, str] = {}  # by kind, of what was accepted last
        self.applied: dict[str, str] = {}  # likewise, of what is in force
        self._given_versions: dict[str, str] = {}  # of the state that the hub works on
        self._stream = stream
        self._state = state
        self._is_open = False
        self._newest: dict[Kind, Response] = {}  # of this stream
        self._fresh: dict[Kind, Response] = {}  # in no state that was given yet
        self._flying: dict[Kind, Response] = {}  # in the state that the hub works on
        self._number = 0
        self._since: float | None = None  # when the hub was given a state
        self._dirty = False
        self._given = b""  # the digest of the newest state
        self._upstreams: dict[str, Table] = {}  # of that
        self._is_refused = True  # by the hub: it is given again though it is the same
        self._in_force: dict[str, Table] = {}  # upstreams
        self._known: dict[str, Table] = {}  # these, and those of the state that the hub works on
        self._told: dict[str, dict[str, int]] = {}
        self._later: dict[str, dict[str, int]] = {}  # to be told when the state is in force

    def connected(self, now: float) -> Out:
        """A stream is open."""
        self._is_open = True
        self._state.began = self._state.began or now
        self._fresh, self._flying, self._newest = {}, {}, {}  # nonces die with their stream
        self._stream.open(self._state.versions())
        return Out(self._subscribe())

    def lost(self) -> None:
        """The stream is gone; all that came by it stays."""
        self._is_open = False
        self._fresh, self._flying, self._newest = {}, {}, {}

    def received(self, response: Any, now: float) -> Out:
        arrived, nonce, version = self._stream.read(response)
        if arrived is None:
            return Out(refused=[f"a response of type {response.type_url}, which nobody asked for"])
        kind, out = arrived.kind, Out()
        out.requests += self._release(kind)
        reasons = self._state.put(arrived, now)
        names = {name for name, _, _ in arrived.resources}
        response = Response(nonce, names, self.versions.get(kind.short))
        self._newest[kind] = response
        if kind is EDS:
            self._endpoints(arrived, out)
        else:
            self._dirty = True
        if reasons:
            out.refused = reasons
            response.answered = True
            out.requests += self._stream.nack(kind, nonce, _text(reasons))
        else:
            self.versions[kind.short] = version or f"{len(self._state.held[kind].mapped)} resources"
            if kind is EDS:
                self._at_once(kind)
                out.requests += self._stream.ack(kind, nonce)
            else:
                self._fresh[kind] = response
        if kind in (CDS, LDS):  # what no other kind names
            out.requests += self._subscribe()
        return out

    def flush(self, now: float) -> Out:
        """Called when nothing more has come for a moment: a state, if there is a new one."""
        out = Out()
        if self._since is not None and now < self._since + LONGEST:
            return out
        self._since = None
        if self._state.retry(now):
            self._dirty = True
        if not self._dirty or self._state.missing(now) is not None:
            out.requests += self._release(*KINDS)
            return out
        self._dirty = False
        tables = self._tables(now, out)
        if (digest := _digest(tables)) == self._given and not self._is_refused:
            self.applied = dict(self.versions)
            self._tell(tables.servers, out)
            out.requests += self._release(*KINDS)
        else:
            self._given_versions = dict(self.versions)
            self._given, self._since, self._is_refused = digest, now, False
            self._upstreams = tables.upstreams
            self._number += 1
            self._flying, self._fresh = self._fresh, {}
            self._known, self._later = {**self._in_force, **tables.upstreams}, {}
            self._tell(tables.servers, out)
            out.tables, out.number = tables, self._number
        return out

    def settled(self, number: int, reasons: Sequence[str], now: float) -> Out:
        """The hub has put a state into force, or refused it for these reasons. Where it blames
        listeners, such as for an address that is taken, or clusters, another state without them
        follows."""
        out = Out()
        if number != self._number:
            return out
        self._since = None
        self._is_refused = bool(reasons)
        flying, self._flying = self._flying, {}
        if reasons:
            self._known, self._later = self._in_force, {}
            others = self._bar(reasons, now, out)
            self._dirty = self._dirty or len(others) < len(reasons)
            for kind, response in flying.items() if others else ():
                self._refuse(kind, response, (), others, out)
        else:
            self._known = self._in_force = self._upstreams
            self.applied = dict(self._given_versions)
            self._state.accepted()
            later, self._later = self._later, {}
            self._tell(later, out)
            self._told = {name: urls for name, urls in self._told.items() if name in self._known}
        for kind, response in flying.items():
            if not response.answered:
                out.requests += self._stream.ack(kind, response.nonce)
        return out

    def due(self, now: float) -> float | None:
        """When `flush` has something to do though nothing comes."""
        if self._since is not None:
            return self._since + LONGEST
        ends = [self._state.missing(now) if self._dirty else None]
        ends.append(self._state.next_retry())
        return min((end for end in ends if end is not None), default=None)

    def _subscribe(self) -> list[Any]:
        if not self._is_open:
            return []
        requests: list[Any] = []
        for kind in KINDS:
            requests += self._stream.subscribe(kind, self._state.wanted(kind))
        return requests

    def _release(self, *kinds: Kind) -> list[Any]:
        """Acknowledge what waits for a state that is not to come now, or that is older."""
        requests = []
        for kind in kinds:
            for waiting in (self._flying, self._fresh):
                response = waiting.get(kind)
                if response is not None and not response.answered:
                    if waiting is self._flying and len(kinds) > 1:
                        continue  # it is answered when the hub has spoken
                    response.answered = True
                    requests += self._stream.ack(kind, response.nonce)
        return requests

    def _tables(self, now: float, out: Out) -> Tables:
        """Without what is at odds with something else; each round leaves out more."""
        tables = make_tables(self._state)
        for _ in range(ROUNDS):
            if not tables.reasons:
                break
            out.refused += [reason.removeprefix("xDS ") for reason in tables.reasons]
            self._bar(tables.reasons, now, out)
            tables = make_tables(self._state)
        return tables

    def _bar(self, reasons: Sequence[str], now: float, out: Out) -> list[str]:
        """Go on without what is to blame, and refuse the responses that brought it, so far as they
        are the newest of their kind; the reasons that hold up the whole state."""
        barred, others = self._state.bar(reasons, now)
        for kind, response in self._newest.items():
            mine = {
                name: why
                for (of, name), why in barred.items()
                if of is kind and name not in response.refused and name in response.names
            }
            if mine:
                self._refuse(
                    kind, response, mine, [one for why in mine.values() for one in why], out
                )
        if barred:
            out.requests += self._subscribe()  # what stands in has names of its own
        return others

    def _refuse(
        self, kind: Kind, response: Response, names: Iterable[str], why: Sequence[str], out: Out
    ) -> None:
        if not response.refused and self._newest.get(kind) is response:
            self.versions.pop(kind.short, None)
            if response.before is not None:
                self.versions[kind.short] = response.before
        response.answered = True
        response.refused.update(names)
        out.requests += self._stream.nack(kind, response.nonce, _text(why))

    def _at_once(self, kind: Kind) -> None:
        """What goes without a state is in force now, if there is a state."""
        for versions in (self.applied, self._given_versions):
            if versions:
                versions[kind.short] = self.versions[kind.short]

    def _endpoints(self, arrived: Arrived, out: Out) -> None:
        """Tell the servers of clusters that are in use; backups are a part of the tables."""
        clusters = self._state.clusters()
        changed = [name for name, _, _ in arrived.resources] + list(arrived.removed)
        found: dict[str, dict[str, int]] = {}
        for assignment in changed:
            for name in self._state.endpoints_of.get(assignment, ()):
                for upstream, scheme in known_as(name, self._known) if name in clusters else ():
                    backup = self._known[upstream].get("backup", {})
                    if backup_of(clusters[name], scheme, self._state) != backup:
                        self._dirty = True
                    found[upstream] = servers_of(clusters[name], scheme, self._state)
        self._tell(found, out)

    def _tell(self, servers: dict[str, dict[str, int]], out: Out) -> None:
        """What is in force is asked on, and what is to be as soon as it is: where the coming state
        asks servers by another scheme, they are told by both until then."""
        for upstream, urls in servers.items():
            old = self._in_force.get(upstream)
            if old and "discover" in old and scheme_of(old) != scheme_of(self._known[upstream]):
                self._later[upstream] = urls
                urls = {} if is_nobody(old) else in_both(urls, scheme_of(old))
            if self._told.get(upstream) != urls:
                self._told[upstream] = urls
                out.servers[upstream] = urls


def _digest(tables: Tables) -> bytes:
    """The same for the same state, whatever its versions are called. Ten thousand routes are 10 MB
    to keep for this alone."""
    said = (
        tables.routes,
        tables.upstreams,
        tables.listeners,
        tables.certificates,
        tables.authorities,
        tables.left_out,
        tables.kept,
    )
    return sha256(msgspec.msgpack.encode(said, order="deterministic")).digest()


def _text(reasons: Sequence[str]) -> str:
    text = "; ".join(reasons)
    return text if len(text) <= MOST else text[: MOST - 1] + "…"
