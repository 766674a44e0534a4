"""Every endpoint as the hub knows it, and what workers are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proxy.config.model import Balance, Health, Upstream
from proxy.hub.boards import Boards
from proxy.hub.roster import Roster
from proxy.server import endpoints
from proxy.upstream.endpoint import DRAINED, EJECTED, PROBED
from proxy.upstream.state import Plan, Upstreams

A, B, C = "http://a:1", "http://b:1", "http://c:1"


class Worker:
    """One that knows the configuration and hears what the roster tells."""

    def __init__(self, upstreams: dict[str, Upstream]) -> None:
        self.known = Upstreams()
        self.reload(upstreams)

    def reload(self, upstreams: dict[str, Upstream]) -> None:
        plan = Plan()
        for _ in plan.compare(self.known, upstreams):
            pass
        self.known.adopt(plan)

    def hear(self, payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            endpoints.apply(self.known, payload)

    def sees(self, upstream: str = "u") -> dict[str, tuple[int, int]]:
        """(weight, why not) by URL."""
        return {url: (e.weight, e.out) for url, e in self.known[upstream].endpoints.items()}


def both(upstreams: dict[str, Upstream]) -> tuple[Roster, Worker]:
    worker = Worker(upstreams)
    roster = Roster(Boards(4), lambda payload: worker.hear([payload]))
    roster.configure(upstreams)
    return roster, worker


def newcomer(roster: Roster, upstreams: dict[str, Upstream]) -> Worker:
    worker = Worker(upstreams)
    worker.hear(roster.messages())
    return worker


def test_each_reason_is_told_apart_and_a_newcomer_knows_them_all() -> None:
    upstreams = {"u": Upstream(servers={A: 1, B: 2}, health=Health())}
    roster, worker = both(upstreams)
    roster.probed({("u", A): False})
    roster.drain(("u", A), True)
    roster.eject(("u", B), True)
    expected = {A: (1, PROBED | DRAINED), B: (2, EJECTED)}
    assert worker.sees() == newcomer(roster, upstreams).sees() == expected
    roster.probed({("u", A): True})
    roster.eject(("u", B), False)
    assert worker.sees() == newcomer(roster, upstreams).sees() == {A: (1, DRAINED), B: (2, 0)}
    assert not worker.known["u"].endpoints[A].up


def test_nothing_is_told_of_those_that_nothing_is_known_of() -> None:
    roster, _ = both({"u": Upstream(servers={A: 1})})
    assert list(roster.messages()) == []
    roster.drain(("u", "http://nobody:1"), True)
    assert list(roster.messages()) == []


def test_discovered_ones_come_change_and_go() -> None:
    upstreams = {"u": Upstream(servers={A: 1})}
    roster, worker = both(upstreams)
    roster.discovered("u", {B: 5, C: 1})
    assert worker.sees() == {A: (1, 0), B: (5, 0), C: (1, 0)}
    roster.discovered("u", {B: 6})
    assert worker.sees() == newcomer(roster, upstreams).sees() == {A: (1, 0), B: (6, 0)}
    roster.configure({"u": Upstream(servers={C: 1})})
    assert set(roster.of("u")) == {B, C}
    roster.configure({})
    assert list(roster) == []


def test_a_reload_keeps_what_is_known() -> None:
    upstreams = {"u": Upstream(servers={A: 1}, health=Health())}
    roster, _ = both(upstreams)
    roster.probed({("u", A): False})
    roster.drain(("u", A), True)
    changed = {"u": Upstream(servers={A: 7, B: 1})}
    roster.configure(changed)
    assert newcomer(roster, changed).sees() == {A: (7, DRAINED), B: (1, 0)}


def test_backups_are_endpoints_like_others() -> None:
    upstreams = {"u": Upstream(servers={A: 1}, backup={B: 3}, health=Health())}
    roster, worker = both(upstreams)
    roster.probed({("u", B): False})
    assert worker.sees() == newcomer(roster, upstreams).sees() == {A: (1, 0), B: (3, PROBED)}


def test_endpoints_have_numbers_where_loads_are_compared() -> None:
    for policy, has_number in (("least_request", True), ("peak_ewma", True), ("random", False)):
        balance = Balance(policy=policy)  # type: ignore[arg-type]
        upstreams = {"u": Upstream(servers={A: 1, B: 1}, balance=balance)}
        roster, _ = both(upstreams)
        assert all((member.number >= 0) == has_number for _, member in roster), policy
        seen = newcomer(roster, upstreams).known["u"].endpoints.values()
        assert all((endpoint.number >= 0) == has_number for endpoint in seen)


def test_a_server_that_was_in_the_file_and_is_discovered_goes_with_both() -> None:
    upstreams = {"u": Upstream(servers={A: 1})}
    roster, worker = both(upstreams)
    roster.discovered("u", {B: 1})
    for servers, discovered in (
        ({A: 1, B: 1}, {B: 1}),
        ({A: 1, B: 1}, {}),
        ({A: 1}, {}),
    ):
        changed = {"u": Upstream(servers=servers)}
        worker.reload(changed)
        roster.configure(changed)
        roster.discovered("u", discovered)
        assert worker.sees().keys() == servers.keys() == roster.of("u").keys()


def test_a_change_of_one_among_many_looks_at_that_one() -> None:
    looked_at: list[str] = []

    class Servers(dict[str, int]):
        def get(self, url: str, default: object = None) -> object:  # type: ignore[override]
            looked_at.append(url)
            return super().get(url, default)

        def __iter__(self) -> Iterator[str]:
            raise AssertionError("it walks over all of them")

    upstreams = {"u": Upstream(balance=Balance(policy="least_request"))}
    roster, worker = both(upstreams)
    many = {f"http://s{n}:1": 1 for n in range(500)}
    roster.discovered("u", many)
    numbers = {key: member.number for key, member in roster}
    assert len(set(numbers.values())) == 500
    gone, new, heavier = "http://s7:1", "http://new:1", "http://s9:1"
    now = Servers(many | {new: 2, heavier: 3})
    del now[gone]
    roster.discovered("u", now, [new, gone, heavier])
    assert looked_at == [new, gone, heavier]
    seen = worker.known["u"].endpoints
    assert gone not in seen and (seen[new].weight, seen[heavier].weight) == (2, 3)
    assert seen[new].number == numbers["u", gone], "whose number is free again"
    assert all(seen[url].number == n for (_, url), n in numbers.items() if url != gone)
