"""From what an upstream's configuration says to the balancer that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from proxy.config.model import Upstream
from proxy.upstream.bag import Chance
from proxy.upstream.balance import Balancer, Feedback, RoundRobin
from proxy.upstream.board import Board
from proxy.upstream.drawn import Drawn, LeastRequest, PeakEwma
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.hashed import Hashed
from proxy.upstream.latency import Latency
from proxy.upstream.load import Load
from proxy.upstream.maglev import Maglev
from proxy.upstream.ring import Ring
from proxy.upstream.slow_start import SlowStart
from proxy.upstream.tiers import BACKUP, FAR, NEAR, Rank, Tiers

BY_LOAD = frozenset({"least_request", "peak_ewma"})  # what runs at the other workers counts


@dataclass(frozen=True, slots=True)
class Made:
    """A policy in force, who learns for it, and what is still to be worked out for it."""

    balancer: Balancer
    learners: tuple[Feedback, ...] = ()
    hashed: tuple[Hashed, ...] = ()

    def prepare(self) -> Iterator[None]:
        """Do in short steps what the first pick would do at once."""
        for balancer in self.hashed:
            yield from balancer.prepare()


def chosen_by(settings: Upstream) -> tuple[object, ...]:
    """What another balancer is needed for, if it changes."""
    zones = {zone: tuple(urls) for zone, urls in settings.zones.items()}
    backups = tuple(settings.backup)
    return settings.balance, settings.slow_start, backups, settings.zone, tuple(zones.items())


def make(
    settings: Upstream,
    endpoints: Sequence[Endpoint],
    offset: int,
    random: Chance,
    board: Board | None = None,
) -> Made:
    """`offset` is where this worker begins in turns; `random` gives numbers in [0, 1)."""
    load, latency = Load(board), Latency(board)
    hashed: list[Hashed] = []

    def policy(some: Sequence[Endpoint]) -> Balancer:
        name = settings.balance.policy
        if name == "random":
            return Drawn(some, random)
        if name == "least_request":
            return LeastRequest(some, random, load)
        if name == "peak_ewma":
            return PeakEwma(some, random, load, latency)
        if name == "hash":
            kind = Ring if settings.balance.algorithm == "ring" else Maglev
            hashed.append(kind(some, random, load))
            return hashed[-1]
        return RoundRobin(some, offset)

    balancer = _ranked(settings, endpoints, policy, random)
    if settings.slow_start:
        balancer = SlowStart(balancer, int(settings.slow_start * 1e9), endpoints, random)
    learners: dict[str, tuple[Feedback, ...]] = {
        "least_request": (load,),
        "hash": (load,),
        "peak_ewma": (load, latency),
    }
    return Made(balancer, learners.get(settings.balance.policy, ()), tuple(hashed))


def _ranked(
    settings: Upstream,
    endpoints: Sequence[Endpoint],
    policy: Callable[[Sequence[Endpoint]], Balancer],
    random: Chance,
) -> Balancer:
    if not settings.backup and not settings.zone:
        return policy(endpoints)
    return Tiers(endpoints, policy, _rank(settings), random)


def _rank(settings: Upstream) -> Rank:
    backups = frozenset(settings.backup)
    near = frozenset(settings.zones.get(settings.zone, ())) if settings.zone else None

    def rank(endpoint: Endpoint) -> int:
        if endpoint.url in backups:
            return BACKUP
        return NEAR if near is None or endpoint.url in near else FAR

    return rank
