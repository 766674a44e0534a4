"""Time of a pick and of a change, by number of endpoints: `python -m benchmarks.micro_balancing`.

Processor time, which other programs lengthen only by taking caches. A change is one endpoint that
goes down, is up again, is removed, or comes, with the pick after it, or one of the thousand picks
that follow, in which Maglev's table is worked out: whichever takes longest.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from random import Random

from proxy.config.model import Balance, Upstream
from proxy.upstream.balance import Balancer
from proxy.upstream.endpoint import PROBED, Endpoint
from proxy.upstream.policies import make

SIZES = (3, 100, 10_000)
PICKS = 20_000
POLICIES = {
    "round_robin": Balance(),
    "random": Balance(policy="random"),
    "least_request": Balance(policy="least_request"),
    "peak_ewma": Balance(policy="peak_ewma"),
    "hash, maglev": Balance(policy="hash", on="client"),
    "hash, ring": Balance(policy="hash", on="client", algorithm="ring"),
}


def made(balance: Balance, count: int) -> tuple[Balancer, list[Endpoint], float]:
    """A policy over so many endpoints, and the milliseconds that making it took."""
    servers = [Endpoint(f"http://10.{i // 250}.{i % 250}.1:80") for i in range(count)]
    begin = time.thread_time()
    policy = make(Upstream(balance=balance), servers, 0, Random(1).random)
    for _ in policy.prepare():
        pass
    policy.balancer.pick(0, b"first")
    return policy.balancer, servers, (time.thread_time() - begin) * 1e3


def picking(balancer: Balancer) -> float:
    """Microseconds of a pick, each with a key of its own."""
    keys = [b"key %d" % n for n in range(PICKS)]
    best = float("inf")
    for _ in range(5):
        begin = time.thread_time()
        for key in keys:
            balancer.pick(0, key)
        best = min(best, time.thread_time() - begin)
    return best / PICKS * 1e6


def changing(balancer: Balancer, servers: list[Endpoint]) -> float:
    """Microseconds of the slowest change or pick after one: the best of several rounds."""

    def timed(change: Callable[[], object]) -> float:
        begin = time.thread_time()
        change()
        balancer.pick(0, b"key")
        return (time.thread_time() - begin) * 1e6

    rounds = []
    for n in range(1, 6):
        server = servers[-n % len(servers)]
        server.mark(PROBED, True)
        took = [timed(lambda server=server: balancer.refresh(server))]  # type: ignore[misc]
        server.mark(PROBED, False)
        took.append(timed(lambda server=server: balancer.refresh(server)))  # type: ignore[misc]
        took.append(timed(lambda server=server: balancer.remove(server)))  # type: ignore[misc]
        took.append(timed(lambda server=server: balancer.add(server)))  # type: ignore[misc]
        took += [timed(lambda: None) for _ in range(1000)]
        rounds.append(max(took))
    return min(rounds)


def main() -> None:
    gc.disable()
    print(f"{'':<16}" + "".join(f"{f'{count:,} endpoints':>30}" for count in SIZES))
    print(f"{'':<16}" + f"{'µs a pick':>12}{'a change':>9}{'ms made':>9}" * len(SIZES))
    for name, balance in POLICIES.items():
        row = ""
        for count in SIZES:
            balancer, servers, took = made(balance, count)
            row += f"{picking(balancer):>12.2f}{changing(balancer, servers):>9.0f}{took:>9.1f}"
        print(f"{name:<16}{row}", flush=True)


if __name__ == "__main__":
    main()
