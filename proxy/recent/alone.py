"""Orphans: requests that brought nothing by which to know their caller, told by their time alone.

A service that has lost its context calls while it serves. A request that begins and ends within a
try of a service may be that service's; or somebody else's who came at that moment. What decides:

- Only quiet moments count: requests that lie within each other like brackets. Where some of those
  that are open overlap otherwise, several callers are at work, and nothing is learnt.
- It must not be by chance. A service that is at work for the share u of the time would have k of n
  orphans of one route within its tries with a probability that is known; it must be below CHANCE.
  All orphans are among the n, those of other moments too: a long one is rarely quiet outside.
- The other end: where orphan and service have addresses of their own, they must agree.
- A client's own name: browsers, and whoever calls himself as the client of the request around it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from ipaddress import ip_address
from math import exp, lgamma, log

from proxy.recent.callers import Callers
from proxy.recent.visits import Call, Try

CHANCE = 1e-4
FEWEST = 3
FLOOR = 0.01  # of a share of time, since few moments make a poor estimate
CONTROLS = 20  # orphans of other routes, to estimate a share by
CROWD = 64  # open requests beyond which nobody looks any more
GENERIC = (
    "python", "aiohttp", "go-http", "node", "undici", "axios", "got", "java", "okhttp", "apache",
    "reactor", "jetty", "spring", "ruby", "faraday", "dotnet", ".net", "microsoft", "guzzle", "php",
    "rust", "hyper", "reqwest", "curl", "wget", "httpx", "urllib",
)  # fmt: skip


@dataclass(slots=True)
class Blame:
    """Orphans of one route that lie within tries of one service."""

    upstream: str
    route: str
    calls: list[Call] = field(default_factory=list)
    given: list[Call] = field(default_factory=list)
    of: int = 0  # orphans of that route
    chance: float = 1.0
    doubtful: bool = True  # other services were at work, every time
    same_agent: bool = False  # it calls itself as the client does

    def add(self, call: Call, given: Call, outer: Call, doubtful: bool) -> None:
        """Another one, within a try of `given`; `outer` is where that trace began."""
        self.calls.append(call)
        self.given.append(given)
        self.doubtful = self.doubtful and doubtful
        self.same_agent = self.same_agent or call.agent == outer.agent

    def is_sure(self, called: int) -> bool:
        """Whether it is not by chance; and whoever is called alone as well shows it there."""
        shown = not (self.doubtful and called >= FEWEST)
        return len(self.calls) >= FEWEST and self.chance < CHANCE and shown


Around = list[tuple[Call, Call | None]]


def blames(
    callers: Callers, busy: dict[str, float], around: Around, mine: dict[int, Call]
) -> Generator[None, None, list[Blame]]:
    """Who is to blame for `mine`, orphans with one symptom by `id()`; in steps.

    `busy`: the share of time that each upstream had a call in flight.
    """
    found: dict[tuple[str, str], Blame] = {}
    credits: dict[str, int] = defaultdict(int)
    routes = Counter(call.route for call in mine.values())
    totals: dict[str, int] = defaultdict(int)
    called: dict[str, int] = defaultdict(int)
    for number, (call, outer) in enumerate(around):
        if number % 64 == 0:
            yield
        totals[call.route] += 1
        for one in call.tries[:1]:
            called[one.upstream] += 1
        pair = _at_work(callers, call, outer) if outer is not None else None
        if pair is None or outer is None:
            continue
        (given, one), doubtful = pair
        credits[one.upstream] += 1
        if id(call) in mine:
            blame = found.setdefault((one.upstream, call.route), Blame(one.upstream, call.route))
            blame.add(call, given, outer, doubtful)
    for blame in found.values():
        blame.of = routes[blame.route]
        share = max(busy.get(blame.upstream, 1.0), FLOOR)
        others = len(around) - totals[blame.route]
        if others >= CONTROLS:
            share = max(share, (credits[blame.upstream] - len(blame.calls)) / others)
        blame.chance = len(found) * tail(len(blame.calls), blame.of, share)
    return [blame for blame in found.values() if blame.is_sure(called[blame.upstream])]


def brackets(roots: list[Call]) -> Generator[None, None, Around]:
    """Those of quiet moments, each with the request around it, if any; in steps."""
    order = sorted(roots, key=lambda call: (call.start, -call.end))
    loud: set[int] = set()
    outer: Around = []
    open_: list[Call] = []
    for number, call in enumerate(order):
        if number % 64 == 0:
            yield
        open_ = [other for other in open_ if other.end > call.start]
        if len(open_) > CROWD or any(other.end < call.end for other in open_):
            loud.add(id(call))
            loud.update(id(other) for other in open_)
        outer.append((call, open_[-1] if open_ else None))
        if len(open_) <= CROWD:
            open_.append(call)
    return [
        (call, around)
        for call, around in outer
        if id(call) not in loud and (around is None or id(around) not in loud)
    ]


def _at_work(
    callers: Callers, call: Call, outer: Call | None
) -> tuple[tuple[Call, Try], bool] | None:
    """The try within the trace around it that it may be of."""
    if outer is None or _is_client_s(call, outer):
        return None
    pair, doubtful = callers.innermost(call, callers.trace_of(outer).calls)
    if pair is None or not _may_be_from(call.peer, pair[1].peer):
        return None
    return pair, doubtful


def _is_client_s(call: Call, outer: Call) -> bool:
    agent = call.agent.lower()
    if agent.startswith("mozilla/"):
        return True
    return bool(agent) and call.agent == outer.agent and not agent.startswith(GENERIC)


def _may_be_from(peer: str, endpoint: str) -> bool:
    """Whether who connects from `peer` may be the server at `endpoint`."""
    if not peer or not endpoint or peer == endpoint:
        return True  # a Unix socket has no address
    return _is_loopback(peer) and _is_loopback(endpoint)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def tail(hits: int, of: int, share: float) -> float:
    """The probability of at least `hits` among `of`, each with probability `share`."""
    if hits <= of * share or share >= 1.0:
        return 1.0
    whole = 0.0
    for k in range(hits, min(of, hits + 200) + 1):
        ways = lgamma(of + 1) - lgamma(k + 1) - lgamma(of - k + 1)
        whole += exp(ways + k * log(share) + (of - k) * log(1.0 - share))
    return min(whole, 1.0)


def busy_shares(tries: list[Try]) -> dict[str, float]:
    """The share of the time they cover in which each upstream had a call in flight."""
    if not tries:
        return {}
    ordered = sorted(tries, key=lambda one: one.start)
    whole = max(max(one.end for one in ordered) - ordered[0].start, 1)
    busy: dict[str, int] = defaultdict(int)
    until: dict[str, int] = {}
    for one in ordered:
        begin = max(one.start, until.get(one.upstream, 0))
        if one.end > begin:
            busy[one.upstream] += one.end - begin
            until[one.upstream] = one.end
    return {upstream: taken / whole for upstream, taken in busy.items()}
