"""Rules of routes as tables [[route]]: what matches, what is done, and where it goes.

A rule that says what this gateway cannot do, or refers to nothing, answers 500 and does not let
its requests fall to another rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proxy.routing.pattern import parse_host
from proxy.sources.kubernetes import filters, matches
from proxy.sources.kubernetes.backends import Backends, Wanted
from proxy.sources.kubernetes.conditions import Told
from proxy.sources.kubernetes.filters import Way
from proxy.sources.kubernetes.kinds import Key
from proxy.sources.kubernetes.matches import Match, Rank, Unsupported
from proxy.sources.kubernetes.objects import (
    BackendRef,
    Filter,
    GrpcMatch,
    GrpcRule,
    HttpMatch,
    HttpRule,
    MirrorTo,
    RetryRule,
)

Table = dict[str, Any]
FAILS = {"respond": {"status": 500}}
# 503 is UNAVAILABLE to a client of gRPC, as it must be (GRPCRouteRule.backendRefs)
FAILS_CALLS = {"respond": {"status": 503}}
DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")  # GEP-2257
MOST_WEIGHT = 1_000_000


class Entry(NamedTuple):
    """One table, and where it comes among all."""

    rank: Rank
    table: Table
    place: str


@dataclass(slots=True)
class Made:
    """What became of one route."""

    entries: list[Entry] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # rules that cannot be followed, and why
    unresolved: list[Told] = field(default_factory=list)  # references
    rules: int = 0  # that can be followed


class Rules:
    """Those of one route."""

    def __init__(
        self, kind: str, route: Any, ways: dict[str, tuple[Way, list[str]]], place: str,
        backends: Backends, gateways: Sequence[Key],
    ) -> None:  # fmt: skip
        """`ways`: by the names of addresses how requests come there, and for which hosts."""
        self._kind = kind
        self._is_grpc = kind == "GRPCRoute"
        self._fails = FAILS_CALLS if self._is_grpc else FAILS
        self._route = route
        self._ways = ways
        self._place = place
        self._backends = backends
        self._gateways = gateways
        meta = route.metadata
        self._age = (meta.creation_timestamp or "9999", f"{meta.namespace}/{meta.name}")
        prefix = "grpc:" if self._is_grpc else ""
        self._name = f"{prefix}{meta.namespace}/{meta.name}"
        self.made = Made()

    def all(self) -> Made:
        try:
            for _, hosts in self._ways.values():
                for host in hosts:
                    parse_host(host)
        except ValueError as error:
            self.made.refused.append(f"{error}")
            return self.made
        for number, rule in enumerate(self._route.spec.rules):
            self._rule(number, rule)
        return self.made

    def _rule(self, number: int, rule: HttpRule | GrpcRule) -> None:
        found = self._matches(number, rule)
        if not found:
            if rule.fault:
                self._refuse(number, rule.fault)
            return
        try:
            if rule.fault:
                raise Unsupported(rule.fault)
            keys = _keys(rule)
            target = self._target(rule, [one.type for one in rule.filters])
            tables = self._filtered(rule, found, target, keys)
        except Unsupported as error:
            self._refuse(number, f"{error}")
            tables = list(self._plain(found, self._fails))
        else:
            self.made.rules += 1
        for part, (rank, table) in enumerate(tables):
            self._add(number, part, rank, table)

    def _add(self, number: int, part: int, rank: Rank, table: Table) -> None:
        name = self._name if not self.made.entries else f"{self._name}#{len(self.made.entries) + 1}"
        rank = (*rank, *self._age, number, part)
        self.made.entries.append(Entry(rank, {"name": name, **table}, self._place))

    def _refuse(self, number: int, why: str) -> None:
        self.made.refused.append(f"rule {number + 1}: {why}")

    def _matches(self, number: int, rule: HttpRule | GrpcRule) -> list[Match]:
        """Of a match that means nothing no request is known: it is refused, and matches none."""
        make: Callable[[Any], Match] = matches.http if isinstance(rule, HttpRule) else matches.grpc
        usual = HttpMatch() if isinstance(rule, HttpRule) else GrpcMatch()
        found = []
        for match in rule.matches or [usual]:
            try:
                found.append(make(match))
            except Unsupported as error:
                self._refuse(number, f"{error}")
        return found

    def _plain(self, found: Sequence[Match], action: Table) -> Iterator[tuple[Rank, Table]]:
        for address, (_, hosts) in self._ways.items():
            for match in found:
                when = {**match.when, "listener": address}
                yield match.rank, {**_hosts(hosts), "path": match.path, "when": when, **action}

    def _filtered(
        self, rule: HttpRule | GrpcRule, found: Sequence[Match], target: Table, keys: Table
    ) -> list[tuple[Rank, Table]]:
        made = []
        said = [*rule.filters, *_of_backends(rule.backend_refs)]
        for address, (way, hosts) in self._ways.items():
            for match in found:
                when = {**match.when, "listener": address}
                base = {**_hosts(hosts), "path": match.path, "when": when}
                for changed in filters.apply(said, match, way, self._mirror):
                    to = {} if "redirect" in changed else {**target, **keys}
                    made.append((match.rank, {**base, **to, **_fitting(changed, to)}))
        return made

    def _target(self, rule: HttpRule | GrpcRule, types: Sequence[str]) -> Table:
        """Where it goes, by weights."""
        if "RequestRedirect" in types:
            if rule.backend_refs:
                raise Unsupported("a rule with RequestRedirect has no backendRefs")
            return {}
        weights: dict[str, int] = {}
        lost = 0
        for reference in rule.backend_refs:
            if not 0 <= reference.weight <= MOST_WEIGHT:
                raise Unsupported(f"weight {reference.weight} is none")
            found = self._find(reference)
            if isinstance(found, Told):
                self.made.unresolved.append(found)
                lost += reference.weight
            elif reference.weight:
                weights[found] = weights.get(found, 0) + reference.weight
        if not weights:
            return self._fails
        if lost:
            weights[self._backends.nowhere(self._is_grpc)] = lost
        return {"to": weights}

    def _find(self, reference: BackendRef) -> str | Told:
        meta = self._route.metadata
        wanted = Wanted(
            self._kind,
            meta.namespace,
            reference.group or "",
            reference.kind or "Service",
            reference.namespace or meta.namespace,
            reference.name,
            reference.port,
            self._is_grpc,
        )
        return self._backends.find(wanted, self._gateways)

    def _mirror(self, said: MirrorTo) -> str:
        to = said.backend_ref
        found = self._find(BackendRef(to.name, to.group, to.kind, to.namespace, to.port))
        if isinstance(found, Told):
            self.made.unresolved.append(found)
            raise Unsupported(f"RequestMirror: {found.message}")
        return found


def _hosts(hosts: Sequence[str]) -> Table:
    return {} if list(hosts) == ["*"] else {"host": list(hosts)}


def _fitting(changed: Table, to: Table) -> Table:
    """What may stand beside an answer of the gateway's own: nothing that is for upstreams."""
    if "to" in to:
        return changed
    return {
        key: ({"response": value["response"]} if key == "headers" else value)
        for key, value in changed.items()
        if key in ("redirect", "path", "cors") or (key == "headers" and "response" in value)
    }


def _of_backends(references: Sequence[BackendRef]) -> Sequence[Filter]:
    """Filters that stand at backends: those of one backend are as good at the rule."""
    said = [reference.filters for reference in references]
    if not any(said):
        return ()
    if any(one != said[0] for one in said):
        raise Unsupported("filters of backendRefs that differ from each other are not supported")
    return said[0]


def _keys(rule: HttpRule | GrpcRule) -> Table:
    """Time limits and retries."""
    if rule.session_persistence is not None:
        raise Unsupported("sessionPersistence is not supported")
    if isinstance(rule, GrpcRule):
        return {}
    made: Table = {}
    if rule.timeouts is not None:
        said = rule.timeouts
        if said.request is not None:
            made["timeout"] = _duration(said.request)
        if said.backend_request is not None:
            made["first_byte_timeout"] = _duration(said.backend_request)
    if rule.retry is not None:
        made["retry"] = _retry(rule.retry)
        if "first_byte_timeout" in made:
            made["retry"]["per_try"] = made["first_byte_timeout"]
            made["retry"]["on"].append("timeout")
    return made


def _retry(said: RetryRule) -> Table:
    if said.attempts is not None and not 0 <= said.attempts <= 100:
        raise Unsupported(f"retry.attempts {said.attempts} is none")
    wrong = [code for code in said.codes if not 400 <= code <= 599]
    if wrong:
        raise Unsupported(f"retry.codes: {wrong[0]} is no status of an error")
    # a server that closes may have done it, so that is no reason (HTTPRouteRetry)
    made: Table = {
        "times": 1 if said.attempts is None else said.attempts,
        "on": [*said.codes, "connect"],
    }
    if said.backoff is not None:
        made["backoff"] = _duration(said.backoff)
    return made


def _duration(text: str) -> str:
    if DURATION.fullmatch(text) is None:
        raise Unsupported(f"{text!r} is no duration")
    return text
