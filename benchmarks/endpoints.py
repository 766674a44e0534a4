"""What a change of one endpoint among many holds up a loop for: `python -m benchmarks.endpoints`.

The hub's way from a source's answer to the frames for workers, and a worker's from the frame to the
pick after it and the thousand that follow, in which a hash is worked out anew. Processor time in
milliseconds, the best of several rounds; reading a file is done in a thread and shown apart.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Mapping

from benchmarks.micro_balancing import POLICIES
from proxy.config.discover_file import parse_servers
from proxy.config.model import Balance, Upstream
from proxy.hub.boards import Boards
from proxy.hub.discovery.keeper import Watch
from proxy.hub.probes import Prober
from proxy.hub.roster import Roster
from proxy.server import endpoints
from proxy.upstream.state import Plan, Upstreams

ROUNDS = 7
AFTER = 1000  # picks


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of this thread."""
    begin = time.thread_time()
    call()
    return (time.thread_time() - begin) * 1e3


def many(count: int) -> dict[str, int]:
    return {f"http://10.{n // 250}.{n % 250}.1:80": 1 for n in range(count)}


def answers(count: int) -> dict[str, dict[str, int]]:
    """What a source finds one after the other, each read anew from JSON as a file is."""
    servers = many(count)
    new = servers | {"http://10.99.99.99:80": 1}
    found = {"comes": new, "heavier": new | {"http://10.99.99.99:80": 3}, "goes": servers}
    return {name: parse_servers(encoded(one)) for name, one in found.items()}


def encoded(servers: Mapping[str, int]) -> bytes:
    return json.dumps({"servers": servers}).encode()


class Both:
    """The hub and a worker with one upstream."""

    def __init__(self, balance: Balance, count: int) -> None:
        self.frames: list[bytes] = []
        settings = {"u": Upstream(balance=balance)}
        self.worker = Upstreams()
        plan = Plan()
        for _ in plan.compare(self.worker, settings):
            pass
        self.worker.adopt(plan)
        roster = Roster(Boards(2), self.frames.append)
        roster.configure(settings)
        prober = Prober(lambda _: None)
        self.watch = Watch("u", lambda name, servers, changed: told(name, servers, changed))

        def told(name: str, servers: Mapping[str, int], changed: object) -> None:
            roster.discovered(name, servers, changed)  # type: ignore[arg-type]
            prober.discovered(name, servers, changed)  # type: ignore[arg-type]

        self.watch.found(many(count))
        self.hear()

    def hear(self) -> None:
        """The worker does what frames say, and picks."""
        frames, self.frames[:] = list(self.frames), []
        for frame in frames:
            endpoints.apply(self.worker, frame)
        self.worker["u"].balancer.pick(0, b"key")

    def change(self, servers: Mapping[str, int]) -> tuple[float, float]:
        """Milliseconds of the hub, and the longest of the worker."""
        hub = timed(lambda: self.watch.found(servers))
        longest = timed(self.hear)
        balancer = self.worker["u"].balancer
        for n in range(AFTER):
            longest = max(longest, timed(lambda n=n: balancer.pick(0, b"%d" % n)))  # type: ignore[misc]
        return hub, longest


def measured(balance: Balance, count: int) -> dict[str, tuple[float, float]]:
    """By what happens to the endpoint."""
    both = Both(balance, count)
    best: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for name, servers in answers(count).items():
            took = both.change(servers)
            known = best.get(name, took)
            best[name] = (min(known[0], took[0]), min(known[1], took[1]))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=10_000 - 1)
    count = parser.parse_args().endpoints
    gc.disable()
    data = encoded(many(count))
    reading = min(timed(lambda: parse_servers(data)) for _ in range(3))
    print(f"{count:,} endpoints; a file of them is read in {reading:.1f} ms, in a thread")
    print(f"{'ms':<16}" + "".join(f"{name:>20}" for name in ("comes", "heavier", "goes")))
    print(f"{'':<16}" + f"{'hub':>10}{'worker':>10}" * 3)
    for policy, balance in POLICIES.items():
        row = "".join(
            f"{hub:>10.2f}{worker:>10.2f}" for hub, worker in measured(balance, count).values()
        )
        print(f"{policy:<16}{row}", flush=True)


if __name__ == "__main__":
    main()
