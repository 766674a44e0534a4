"""What tests of policies share: endpoints, chance that repeats itself, and counting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import sqrt
from random import Random

from msgspec.structs import replace

from proxy.config.model import Balance, Upstream
from proxy.upstream.balance import Balancer, Outcome
from proxy.upstream.endpoint import PROBED, Endpoint
from proxy.upstream.policies import Made, make

MS = 1_000_000  # ns

POLICIES = {
    "round_robin": Balance(),
    "random": Balance(policy="random"),
    "least_request": Balance(policy="least_request"),
    "peak_ewma": Balance(policy="peak_ewma"),
    "maglev": Balance(policy="hash", on="client"),
    "ring": Balance(policy="hash", on="client", algorithm="ring"),
}


def endpoints(*weights: int) -> list[Endpoint]:
    return [Endpoint(f"http://host{i}", weight) for i, weight in enumerate(weights)]


def policy(
    name: str, some: Sequence[Endpoint], seed: int = 1, settings: Upstream | None = None
) -> Made:
    settings = replace(settings or Upstream(), balance=POLICIES[name])
    made = make(settings, some, 0, Random(seed).random)
    made.balancer.panic_below(settings.panic)
    return made


def counted(balancer: Balancer, picks: int, keyed: bool = True, now: int = 0) -> Counter[str]:
    """How often each host was chosen, by as many keys."""
    found = Counter[str]()
    for n in range(picks):
        chosen = balancer.pick(now, b"key %d" % n if keyed else None)
        assert chosen is not None
        found[chosen.host] += 1
    return found


def use(made: Made, endpoint: Endpoint, now: int, ns: int, outcome: Outcome = Outcome.OK) -> None:
    """An attempt from beginning to end."""
    for learner in made.learners:
        learner.begin(endpoint, now)
    for learner in made.learners:
        learner.end(endpoint, outcome, ns)


def begin(made: Made, endpoint: Endpoint, now: int = 0) -> None:
    for learner in made.learners:
        learner.begin(endpoint, now)


def end(made: Made, endpoint: Endpoint, ns: int, outcome: Outcome = Outcome.OK) -> None:
    for learner in made.learners:
        learner.end(endpoint, outcome, ns)


def set_up(balancer: Balancer, endpoint: Endpoint, up: bool) -> None:
    endpoint.mark(PROBED, not up)
    balancer.refresh(endpoint)


def within(found: Mapping[str, int], shares: Mapping[str, float], sigmas: float = 3.0) -> bool:
    """Whether each count is as far from its share as chance goes (binomial)."""
    total = sum(found.values())
    return all(
        abs(found.get(host, 0) - total * share) <= sigmas * sqrt(total * share * (1 - share)) + 1
        for host, share in shares.items()
    )
