"""Each endpoint of each upstream: its state, and why it is so, for `/upstreams` and `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from proxy.config.model import Upstream
from proxy.config.redact import Computed
from proxy.hub import gauges
from proxy.hub.boards import Key
from proxy.hub.bounded import Bounded
from proxy.hub.circuits import Circuits
from proxy.hub.ejections import Ejection, Ejections
from proxy.hub.parts import Whole
from proxy.hub.probe import Verdict
from proxy.hub.probes import Prober
from proxy.hub.roster import Member
from proxy.hub.splits import splits
from proxy.telemetry.instruments import UPSTREAM_OPEN
from proxy.telemetry.metrics import Attributes, Series
from proxy.upstream.board import ACTIVE, LATENCY
from proxy.upstream.endpoint import Endpoint


class Standings:
    """One hub's; changes nothing."""

    def __init__(self, hub: Whole, prober: Prober, ejections: Ejections) -> None:
        self._hub = hub
        self._prober = prober
        self._ejections = ejections
        self._circuits = Circuits(hub.boards, hub.roster)
        self._bounded = Bounded(hub.boards)

    def series(self) -> Iterator[Series]:
        """Those of one instrument together."""
        yield from self._ejections.series()
        drained = {gauges.of_endpoint(key) for key, one in self._hub.roster if one.drained}
        for labels in drained:
            yield Series(gauges.DRAINED, labels, 1)
        upstreams = self._hub.loaded.config.upstream
        yield from self._circuits.series({n for n, u in upstreams.items() if u.breaker is not None})
        yield from self._bounded.series(upstreams)

    def view(self) -> Mapping[str, Any]:
        """For `/upstreams`."""
        open_ones = self._connections()
        members: dict[str, dict[str, Member]] = {}
        for (name, url), member in self._hub.roster:
            members.setdefault(name, {})[url] = member

        beside = splits(self._hub.loaded.config.route, self._hub.totals)

        def told(name: str, upstream: Upstream) -> Mapping[str, Any]:
            some = members.get(name, {})
            endpoints = (self._endpoint((name, u), one, open_ones) for u, one in some.items())
            limits = upstream.limits
            used = None if limits is None else self._bounded.view(name, limits)
            parts = {
                "balance": upstream.balance.policy,
                "limits": used,
                "splits": beside.get(name),
                "endpoints": endpoints,
            }
            return Computed(parts, lambda _, part: part)

        return Computed(self._hub.loaded.config.upstream, told)

    def _endpoint(
        self, key: Key, member: Member, open_ones: Mapping[Attributes, Mapping[str, int]]
    ) -> dict[str, Any]:
        last = self._prober.last(key)
        ejection = self._ejections.of(key)
        circuits = self._circuits.states(key)
        state, why = _state(member, last, ejection, circuits)
        cells = self._hub.boards.totals(key)
        connections = open_ones.get(gauges.of_endpoint(key), {})
        active = connections.get("active", 0)
        return {
            "url": key[1],
            "address": Endpoint(key[1]).authority,
            "state": state,
            "why": why,
            "weight": member.weight,
            "active": {
                "requests": cells[ACTIVE] if cells else active,
                "connections": active + connections.get("idle", 0),
            },
            "drained": member.drained,
            "probe": probe(last),
            "ejection": _ejection(ejection),
            "breaker": circuits or None,
            "latency_ewma_seconds": self._latency(key),
        }

    def _latency(self, key: Key) -> float | None:
        """Seconds, the mean of those workers that know; None = no policy does."""
        known = [row[LATENCY] for row in self._hub.boards.rows(key) if row[LATENCY]]
        return round(sum(known) / len(known) / 1e9, 6) if known else None

    def _connections(self) -> dict[Attributes, dict[str, int]]:
        """How many are open to each endpoint, by state."""
        found: dict[Attributes, dict[str, int]] = {}
        for one in self._hub.totals.of(UPSTREAM_OPEN):
            if isinstance(one.value, int):
                labels = dict(one.attributes)
                state = str(labels.pop("http.connection.state", ""))
                found.setdefault(tuple(labels.items()), {})[state] = one.value
        return found


def _state(
    member: Member, last: Verdict | None, ejection: Ejection | None, circuits: Mapping[str, int]
) -> tuple[str, str]:
    if member.drained:
        return "drained", "an operator drained it"
    if member.up is False:
        return "down", last.said if last is not None else "its probes failed"
    if member.ejected:
        return "ejected", ejection.why if ejection is not None else "its answers were bad"
    if circuits:
        states = ", ".join(f"{state} in {n}" for state, n in circuits.items())
        return "broken", f"breakers of workers: {states}"
    if ejection is not None and ejection.refused:
        return "up", f"not ejected, since too many are out: {ejection.why}"
    return "up", "nothing speaks against it" if last is None else last.said


def _ejection(ejection: Ejection | None) -> dict[str, Any] | None:
    if ejection is None:
        return None
    until = when(ejection.until) if ejection.until else None
    return {"times": ejection.times, "until": until, "why": ejection.why}


def when(at: float) -> str:
    """A Unix time as RFC 3339 has it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def probe(last: Verdict | None) -> dict[str, Any] | None:
    """How the last one ended."""
    if last is None:
        return None
    return {
        "at": when(last.at),
        "ok": last.ok,
        "said": last.said,
        "status": last.status or None,
        "error.type": last.error,
        "seconds": round(last.seconds, 6),
    }
