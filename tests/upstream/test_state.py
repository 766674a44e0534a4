"""What is known about upstreams outlives a configuration: endpoints, positions, budgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model import Health, Upstream
from proxy.config.units import Share
from proxy.upstream.balance import Outcome
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.state import Plan, Upstreams, Use, outcome

A, B, C = "http://a", "http://b", "http://c"
PROBED = Health()


def adopt(known: Upstreams, **upstreams: Upstream) -> list[str]:
    """Bring a configuration into force; the URLs that are gone."""
    plan = Plan()
    for _ in plan.compare(known, upstreams):
        pass
    return [endpoint.url for endpoint in known.adopt(plan)]


def servers(*urls: str, **more: Health) -> Upstream:
    return Upstream(servers=dict.fromkeys(urls, 1), **more)  # type: ignore[arg-type]


def picks(known: Upstreams, count: int, name: str = "u") -> str:
    chosen = [known[name].balancer.pick(0) for _ in range(count)]
    return "".join(e.host for e in chosen if e is not None)


def test_endpoints_that_stay_keep_their_state() -> None:
    known = Upstreams()
    adopt(known, u=servers(A, B, health=PROBED))
    before = dict(known["u"].endpoints)
    assert known["u"].update(A, up=False)
    assert adopt(known, u=servers(A, C, health=PROBED)) == [B]
    assert known["u"].endpoints[A] is before[A] and not before[A].up
    assert picks(known, 3) == "ccc"


def test_a_configuration_that_says_the_same_changes_no_position() -> None:
    known = Upstreams()
    adopt(known, u=servers(A, B, C))
    seen = ""
    for _ in range(6):
        seen += picks(known, 1)
        adopt(known, u=servers(A, B, C))
    assert seen == "abcabc"


def test_a_server_more_does_not_send_everybody_back_to_the_first() -> None:
    known = Upstreams()
    adopt(known, u=servers(A, B))
    assert picks(known, 1) == "a"
    adopt(known, u=servers(A, B, C))
    assert picks(known, 3) == "bca"


def test_what_nobody_probes_any_more_is_up() -> None:
    known = Upstreams()
    adopt(known, u=servers(A, B, health=PROBED))
    known["u"].update(A, up=False)
    adopt(known, u=servers(A, B))
    assert set(picks(known, 4)) == {"a", "b"}


def test_panic_follows_the_file() -> None:
    known = Upstreams()
    adopt(known, u=servers(A, B, health=PROBED))
    known["u"].update(A, up=False)
    known["u"].update(B, up=False)
    assert picks(known, 2) == ""
    panicking = Upstream(servers={A: 1, B: 1}, health=PROBED, panic=Share(0.3))
    adopt(known, u=panicking)
    assert set(picks(known, 2)) == {"a", "b"}
    adopt(known, u=servers(A, B, health=PROBED))
    assert picks(known, 2) == ""


def test_weights_follow_the_file() -> None:
    known = Upstreams()
    adopt(known, u=servers(A, B))
    adopt(known, u=Upstream(servers={A: 3, B: 1}))
    assert sorted(picks(known, 8)) == list("aaaaaabb")


def test_an_upstream_that_is_gone_stays_for_those_who_hold_it() -> None:
    known = Upstreams()
    adopt(known, u=servers(A))
    held = known["u"]
    assert adopt(known, other=servers(B)) == [A]
    assert known.get("u") is None
    chosen = held.balancer.pick(0)
    assert chosen is not None and chosen.url == A


def test_a_budget_belongs_to_the_upstream() -> None:
    known = Upstreams()
    adopt(known, u=servers(A))
    while known["u"].budget.take(5.0, 0.2):
        pass
    adopt(known, u=servers(A, B))
    assert not known["u"].budget.take(5.5, 0.2)


def test_discovered_endpoints_survive_a_file_that_does_not_know_them() -> None:
    known = Upstreams()
    adopt(known, u=servers(A))
    known["u"].add(B, 2)
    assert adopt(known, u=servers(A, C)) == []
    assert set(known["u"].endpoints) == {A, B, C}
    assert known["u"].endpoints[B].weight == 2
    assert known["u"].remove(B) is not None
    assert known["u"].remove(B) is None
    adopt(known, u=servers(A))
    assert set(known["u"].endpoints) == {A}


def test_what_is_discovered_between_plan_and_force_is_kept() -> None:
    known = Upstreams()
    adopt(known, u=servers(A))
    plan = Plan()
    list(plan.compare(known, {"u": servers(A, B)}))
    known["u"].add(C)
    known.adopt(plan)
    assert set(known["u"].endpoints) == {A, B, C}
    assert set(picks(known, 6)) == {"a", "b", "c"}


def test_a_plan_that_is_given_up_changes_nothing() -> None:
    known = Upstreams()
    adopt(known, u=servers(A, B))
    plan = Plan()
    list(plan.compare(known, {"u": servers(C), "other": servers(A)}))
    assert picks(known, 4) == "abab"
    assert known.get("other") is None


def test_what_is_no_server_is_refused_before_anything_changes() -> None:
    known = Upstreams()
    adopt(known, u=servers(A))
    with pytest.raises(ValueError, match="not a server"):
        adopt(known, u=servers(A, "http:///"))
    assert picks(known, 1) == "a"
    with pytest.raises(ValueError, match="use http://"):
        known["u"].add("ftp://b")
    assert set(known["u"].endpoints) == {A}


def test_news_about_strangers_is_none() -> None:
    known = Upstreams()
    adopt(known, u=servers(A))
    assert not known["u"].update(B, up=False)
    assert not known["u"].update(A, up=True)
    assert repr(known["u"]) == "<UpstreamState u: <RoundRobin 1 of 1 up>>"


URLS = [f"http://host{i}" for i in range(70)]


@given(
    st.lists(
        st.one_of(
            st.sets(st.sampled_from(URLS), max_size=70),  # a file
            st.tuples(st.sampled_from(URLS), st.sampled_from(["up", "down", "add", "remove"])),
        ),
        max_size=20,
    )
)
def test_after_any_changes_picks_go_to_what_is_there_and_up(steps: list[object]) -> None:
    known = Upstreams()
    adopt(known, u=servers(health=PROBED))
    for step in steps:
        state = known["u"]
        if isinstance(step, set):
            adopt(known, u=servers(*sorted(step), health=PROBED))
        elif isinstance(step, tuple):
            url, what = step
            if what in ("up", "down"):
                state.update(url, up=what == "up")
            elif what == "add":
                state.add(url)
            else:
                state.remove(url)
        chosen = known["u"].balancer.pick(0)
        there = known["u"].endpoints
        if chosen is None:
            assert not any(e.up for e in there.values())
        else:
            assert there[chosen.url] is chosen and chosen.up


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (200, "", Outcome.OK),
        (404, "404", Outcome.CLIENT_ERROR),
        (503, "503", Outcome.SERVER_ERROR),
        (0, "connection_refused", Outcome.ERROR),
        (200, "truncated", Outcome.ERROR),
        (0, "", Outcome.ABANDONED),
        (200, "NOT_FOUND", Outcome.CLIENT_ERROR),  # gRPC calls: the server is well
        (200, "INVALID_ARGUMENT", Outcome.CLIENT_ERROR),
        (200, "UNAVAILABLE", Outcome.SERVER_ERROR),
        (200, "RESOURCE_EXHAUSTED", Outcome.SERVER_ERROR),
        (503, "UNAVAILABLE", Outcome.SERVER_ERROR),
    ],
)
def test_outcomes(status: int, error: str, expected: Outcome) -> None:
    assert outcome(status, error) is expected


def test_a_use_tells_its_policy_of_begin_and_end() -> None:
    told: list[object] = []

    class Learner:
        def begin(self, endpoint: Endpoint, now: int) -> None:
            told.append((endpoint.url, now))

        def end(self, endpoint: Endpoint, outcome: Outcome, ns: int) -> None:
            told.append((endpoint.url, outcome, ns))

    Use(Learner(), Endpoint(A), 100).end(200, "", 350)
    assert told == [(A, 100), (A, Outcome.OK, 250)]
