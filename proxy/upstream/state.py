"""What is known about upstreams while the gateway runs: it outlives every reload.

Owns, by upstream name: the endpoints with their health, the balancer with its position, the
retry budget. A snapshot only refers to these. A new configuration is compared with them beside
the running requests (`Plan`), and put into force by a few assignments (`Upstreams.adopt`):
endpoints that stay keep their state, a changed policy gets a new balancer over them. Requests
that run see it with their next attempt; an upstream that is gone stays for those who have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from proxy.config.model import Upstream
from proxy.http.grpc import NAMES, RESOURCE_EXHAUSTED, SERVER_ERRORS
from proxy.kernel.chance import source
from proxy.upstream.bag import Chance
from proxy.upstream.balance import Feedback, Outcome, RoundRobin
from proxy.upstream.board import Board, Row, Tripwire
from proxy.upstream.bounds import Bounds
from proxy.upstream.breaker import Breakers
from proxy.upstream.endpoint import DRAINED, EJECTED, PROBED, Endpoint
from proxy.upstream.learners import together
from proxy.upstream.live import Live
from proxy.upstream.policies import BY_LOAD, Made, chosen_by, make

NOTHING = Upstream()  # of one that nobody has configured yet


def _chance(seed: int) -> Chance:
    """Numbers in [0, 1) that are the same each time: for where nobody gives others."""
    bits = source(b"%32d" % seed)
    return lambda: bits(53) / 2**53


def shares(settings: Upstream) -> bool:
    """Whether what happens at its endpoints is to be known by all workers and the hub together,
    so that its endpoints need numbers."""
    return (
        settings.eject is not None
        or settings.breaker is not None
        or settings.balance.policy in BY_LOAD
    )


class UpstreamState(Live):
    """One upstream, for as long as some configuration has its name."""

    __slots__ = (
        "_board",
        "_made",
        "_number",
        "_offset",
        "_random",
        "breakers",
        "endpoints",
        "settings",
    )

    def __init__(
        self, name: str, offset: int = 0, board: Board | None = None, random: Chance | None = None
    ) -> None:
        """`offset` is where this worker begins in turns, so that not all begin with the first;
        `random` gives numbers in [0, 1) to policies that go by chance."""
        self._made = Made(RoundRobin((), offset))
        super().__init__(name, self._made.balancer)
        self._board = board
        self._random = random or _chance(offset)
        self.breakers: Breakers | None = None  # where the settings have use for them
        self.settings = NOTHING  # as of the configuration in force
        self.endpoints: dict[str, Endpoint] = {}  # by URL
        self._number = -1  # on the board, of the upstream itself
        self._offset = offset

    def __repr__(self) -> str:
        return f"<UpstreamState {self.name}: {self.balancer!r}>"

    def authority(self) -> str:
        """What a request without Host is sent with: the first server's name."""
        first = next(iter(self.endpoints.values()), None)
        if first is None:
            return self.name
        return "localhost" if first.scheme == "unix" else first.authority

    def update(
        self,
        url: str,
        up: bool | None = None,
        weight: int | None = None,
        *,
        ejected: bool | None = None,
        drained: bool | None = None,
    ) -> bool:
        """What was found out about an endpoint; True if that was news. An unknown one is not.

        `up` is what active probes say.
        """
        endpoint = self.endpoints.get(url)
        if endpoint is None:
            return False
        known = (endpoint.up, endpoint.weight)
        if ejected is False and endpoint.out & EJECTED and self.breakers is not None:
            self.breakers.comes_back(endpoint)
        down = None if up is None else not up
        for reason, holds in ((PROBED, down), (EJECTED, ejected), (DRAINED, drained)):
            if holds is not None:
                endpoint.mark(reason, holds)
        if weight is not None:
            endpoint.weight = max(weight, 1)
        if known == (endpoint.up, endpoint.weight):
            return False
        self.balancer.refresh(endpoint)
        return True

    def add(self, url: str, weight: int = 1) -> None:
        """One that was discovered; a reload keeps it. ValueError for what is no server's URL."""
        if url in self.endpoints:
            self.update(url, weight=weight)
            return
        endpoint = Endpoint(url, max(weight, 1), self.name)  # where all say 0 all are alike
        endpoint.discovered = True
        self.endpoints[url] = endpoint
        self.balancer.add(endpoint)

    def remove(self, url: str) -> Endpoint | None:
        """Forget an endpoint; None if there is none of that URL."""
        endpoint = self.endpoints.pop(url, None)
        if endpoint is not None:
            self.balancer.remove(endpoint)
            if self.breakers is not None:
                self.breakers.forget(endpoint)
        return endpoint

    def number(self, number: int) -> None:
        """Its own on the board, by which workers know its `limits` together."""
        self._number = number
        if self.bounds is not None:
            self.bounds.number(number)

    def bound(self, settings: Upstream) -> Bounds | None:
        """What knows its limits, if `settings` have any; there before they are in force."""
        if settings.limits is None:
            return None
        if self.bounds is None:
            self.bounds = Bounds(Row(self._board))
            self.bounds.number(self._number)
        return self.bounds

    def gather(self, settings: Upstream, wanted: dict[str, Endpoint]) -> Iterator[None]:
        """Put the endpoints that there are with `settings` into `wanted`, one in each step: those
        that stay, and new ones."""
        weights = {url: e.weight for url, e in self.endpoints.items() if e.discovered}
        weights.update(settings.servers, **settings.backup)
        for url, weight in weights.items():
            wanted[url] = self.endpoints.get(url) or Endpoint(url, weight, self.name)
            yield

    def policy(self, settings: Upstream, endpoints: Sequence[Endpoint]) -> Made | None:
        """What `settings` will want for a balancer; None = the one that there is."""
        if chosen_by(settings) == chosen_by(self.settings):
            return None
        return make(settings, endpoints, self._offset, self._random, self._board)

    def reconcile(
        self, settings: Upstream, wanted: dict[str, Endpoint], made: Made | None
    ) -> list[Endpoint]:
        """Go by `settings` from now on, and by the balancer `made` if there is one; the endpoints
        that are gone."""
        before = self.endpoints
        for url in settings.servers.keys() & before.keys():
            before[url].discovered = False  # whoever is in the file goes with it
        wanted |= {u: e for u, e in before.items() if u in wanted or e.discovered}  # since, too
        if made is not None:
            self._made, self.balancer = made, made.balancer
        self.endpoints, self.settings = wanted, settings
        for url, endpoint in wanted.items():
            weight = settings.servers.get(url, settings.backup.get(url, endpoint.weight))
            # Without probes nobody would ever say that it is up again.
            turned = settings.health is None and endpoint.mark(PROBED, False)
            turned, endpoint.weight = turned or endpoint.weight != weight, weight
            if made is not None or url not in before:
                self.balancer.add(endpoint)
            elif turned:
                self.balancer.refresh(endpoint)
        gone = [endpoint for url, endpoint in before.items() if url not in wanted]
        for endpoint in gone:
            self.balancer.remove(endpoint)
        self.balancer.panic_below(settings.panic)
        self._set_breakers()
        if (bounds := self.bound(settings) or self.bounds) is not None:
            bounds.configure(settings.limits)
        self.feedback = together(self._learners())
        return gone

    def _set_breakers(self) -> None:
        settings = self.settings
        if settings.breaker is None and settings.eject is None:
            if self.breakers is not None:
                self.breakers.stop()
            self.breakers = None
            return
        if self.breakers is None:
            self.breakers = Breakers(lambda endpoint: self.balancer.refresh(endpoint), self._board)
        self.breakers.settings = settings.breaker
        self.breakers.keep(self.endpoints.values())

    def _learners(self) -> Iterator[Feedback]:
        """Who is told of attempts, by the settings in force."""
        yield from self._made.learners
        if self._board is not None and shares(self.settings):
            yield self._board
            if self.settings.eject is not None and self.settings.eject.errors:
                yield Tripwire(self._board, self.settings.eject.errors)
        if self.breakers is not None:
            yield self.breakers


class Plan:
    """What a configuration will change, worked out while the old one is in force."""

    __slots__ = ("_changes", "states")

    def __init__(self) -> None:
        self.states: dict[str, UpstreamState] = {}  # by name, as they will be
        self._changes: list[tuple[UpstreamState, Upstream, dict[str, Endpoint], Made | None]] = []

    def get(self, name: str) -> UpstreamState | None:
        return self.states.get(name)

    def compare(self, known: Upstreams, upstreams: Mapping[str, Upstream]) -> Iterator[None]:
        """Look at one upstream after the other; ValueError for what is no server's URL."""
        for name, settings in upstreams.items():
            state = known.get(name) or known.new(name)
            self.states[name] = state
            yield
            if state.settings == settings:
                continue
            wanted: dict[str, Endpoint] = {}
            yield from state.gather(settings, wanted)
            made = state.policy(settings, list(wanted.values()))
            if made is not None:
                yield from made.prepare()
            if known.get(name) is None:
                state.reconcile(settings, wanted, made)  # nobody sees it yet
            else:
                self._changes.append((state, settings, wanted, made))

    def apply(self) -> Iterator[Endpoint]:
        """Do it, and yield each endpoint that is gone."""
        for state, settings, wanted, made in self._changes:
            yield from state.reconcile(settings, wanted, made)


class Upstreams:
    """All upstreams of one worker, by name."""

    __slots__ = ("_bounds", "_breakers", "_states", "board", "learning", "offset", "random")

    def __init__(
        self, offset: int = 0, board: Board | None = None, random: Chance | None = None
    ) -> None:
        self.offset = offset
        self.random = random
        self.board = board  # what workers know together
        self.learning = False  # whether the balancer of any wants feedback
        self._states: dict[str, UpstreamState] = {}
        self._breakers: list[Breakers] = []  # of those that have them
        self._bounds: list[Bounds] = []  # likewise

    def new(self, name: str) -> UpstreamState:
        """One that nobody knows yet."""
        return UpstreamState(name, self.offset, self.board, self.random)

    def get(self, name: str) -> UpstreamState | None:
        return self._states.get(name)

    def __getitem__(self, name: str) -> UpstreamState:
        return self._states[name]

    def __iter__(self) -> Iterator[UpstreamState]:
        return iter(self._states.values())

    def endpoints(self) -> Iterator[Endpoint]:
        for state in self._states.values():
            yield from state.endpoints.values()

    def adopt(self, plan: Plan) -> list[Endpoint]:
        """Bring a plan into force; the endpoints that are gone."""
        before, self._states = self._states, plan.states
        gone = list(plan.apply())
        self.learning = any(state.feedback is not None for state in self)
        self._breakers = [state.breakers for state in self if state.breakers is not None]
        self._bounds = [state.bounds for state in self if state.bounds is not None]
        for name, state in before.items():
            if plan.states.get(name) is not state:
                gone += state.endpoints.values()
                if state.bounds is not None:
                    state.bounds.configure(None)  # who waits may go: nobody else comes
        return gone

    def look(self, now: int) -> Iterator[str]:
        """Let breakers try again, and bounds hear of other workers; what is to be said."""
        for bounds in self._bounds:
            bounds.look(now)
        for breakers in self._breakers:
            yield from breakers.look(now)


class Use:
    """One attempt that a policy wants to hear the end of."""

    __slots__ = ("_endpoint", "_feedback", "_start")

    def __init__(self, feedback: Feedback, endpoint: Endpoint, now: int) -> None:
        self._feedback = feedback
        self._endpoint = endpoint
        self._start = now
        feedback.begin(endpoint, now)

    def restart(self, now: int) -> None:
        """What was before did not have to do with the endpoint."""
        self._start = now

    def end(self, status: int, error: str, now: int) -> None:
        """`status` is of the answer's head, 0 = none came; `error` is the attempt's error.type."""
        self._feedback.end(self._endpoint, outcome(status, error), now - self._start)


# gRPC calls that an upstream has answered: those are its own errors that a SERVER span says are.
_CALLS = {
    name: Outcome.SERVER_ERROR
    if code in {*SERVER_ERRORS, RESOURCE_EXHAUSTED}
    else Outcome.CLIENT_ERROR
    for code, name in enumerate(NAMES)
}


def outcome(status: int, error: str) -> Outcome:
    """How an attempt is judged whose answer had `status` and which ended in `error` ("" = none)."""
    if error in _CALLS:
        return _CALLS[error]
    if error and error != str(status):
        return Outcome.ERROR
    if not status:
        return Outcome.ABANDONED
    if status < 400:
        return Outcome.OK
    return Outcome.CLIENT_ERROR if status < 500 else Outcome.SERVER_ERROR
