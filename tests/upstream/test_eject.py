"""Who is put out for bad answers, when, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.model import Eject
from proxy.config.units import Seconds, Share
from proxy.upstream.eject import TRIAL, Counted, Ejector, Peers, Turn

BASE = 30.0


@dataclass
class Fleet:
    """Endpoints that an ejector looks at every 200 ms."""

    ejector: Ejector
    counts: dict[str, list[int]]  # ok, failed, tripped
    now: float = 1000.0
    down: set[str] = field(default_factory=set)
    said: list[Turn] = field(default_factory=list)

    def look(self, seconds: float = 0.2, **more: tuple[int, ...]) -> list[Turn]:
        """After these have answered (ok, failed) more."""
        for url, counts in more.items():
            for i, count in enumerate(counts):
                self.counts[url][i] += count
        self.now += seconds
        counted = {url: Counted(*counts) for url, counts in self.counts.items()}
        turns = self.ejector.look(self.now, counted, self.up() - self.down)
        self.said += turns
        return turns

    def up(self) -> set[str]:
        out = {url for url, record in self.ejector.records.items() if record.until}
        return set(self.counts) - out


def fleet(names: str = "abc", **said: object) -> Fleet:
    made = Eject(base=Seconds(BASE), **said)  # type: ignore[arg-type]
    fleet = Fleet(Ejector(made), {name: [0, 0, 0] for name in names})
    fleet.look()
    return fleet


def outs(turns: list[Turn]) -> list[str]:
    return [turn.url for turn in turns if turn.out]


@pytest.mark.parametrize(
    ("looks", "out"),
    [
        ([(0, 5)], True),
        ([(0, 4)], False),
        ([(0, 2), (0, 2), (0, 1)], True),
        ([(0, 4), (1, 0), (0, 4)], False),
        ([(1, 4), (0, 4)], False),
        ([(3, 9)], False),  # nobody knows how they lay
        ([(3, 9, 1)], True),  # a worker saw five in a row
    ],
)
def test_failures_in_a_row(looks: list[tuple[int, ...]], out: bool) -> None:
    servers = fleet(success_rate=False)
    for counts in looks:
        servers.look(a=counts)
    assert outs(servers.said) == (["a"] if out else [])


@pytest.mark.parametrize(
    ("known", "worse"),
    [
        ({"a": (50, 100), "b": (100, 100), "c": (100, 100)}, True),
        ({"a": (50, 100), "b": (100, 100)}, True),
        ({"a": (50, 100), "b": (50, 100), "c": (50, 100)}, False),
        ({"a": (950, 1000), "b": (1000, 1000), "c": (1000, 1000)}, False),  # a margin
        ({"a": (20, 30), "b": (26, 30)}, False),  # chance
        ({"a": (70, 100), "b": (100, 100), "c": (60, 100)}, False),  # the others differ too
        ({"a": (0, 100)}, False),  # nobody to be compared with
        ({"a": (0, 100), "b": (0, 100)}, False),
    ],
)
def test_success_rates(known: dict[str, tuple[int, int]], worse: bool) -> None:
    assert bool(Peers(known).worse("a")) is worse


def test_numbers_are_told() -> None:
    servers = fleet(errors=0)
    (turn,) = servers.look(a=(50, 50), b=(100, 0), c=(100, 0))
    assert turn.why == "50% of 100 succeeded, where the others' 100% allow 77% in 1 s"
    servers = fleet()
    (turn,) = servers.look(b=(0, 7))
    assert turn.why == "7 failures in a row"


def test_rates_of_few_tries_are_taken_from_a_longer_time() -> None:
    servers = fleet(errors=0)
    for _ in range(9):
        servers.look(1.0, a=(5, 5), b=(10, 0), c=(10, 0))
    assert outs(servers.said) == ["a"]


@pytest.mark.parametrize(
    ("names", "most", "out"),
    [
        ("abcd", 0.5, 2),
        ("abcde", 0.5, 2),
        ("abc", 0.1, 1),
        ("ab", 0.1, 1),
        ("ab", 1.0, 1),  # never the last
        ("a", 1.0, 0),
        ("abcdefghij", 0.3, 3),
    ],
)
def test_no_more_are_out_than_may_be(names: str, most: float, out: int) -> None:
    servers = fleet(names, max=Share(most), success_rate=False)
    for _ in range(5):
        servers.look(**dict.fromkeys(names, (0, 5)))
    assert len(outs(servers.said)) == out
    refused = [turn for turn in servers.said if not turn.out]
    assert len(refused) == len(names) - out  # each is told once
    assert all("it is the last" in t.why or "no more than" in t.why for t in refused)


def test_the_last_healthy_one_stays() -> None:
    servers = fleet("abc", max=Share(1), success_rate=False)
    servers.down = {"b", "c"}
    assert outs(servers.look(a=(0, 9))) == []


def test_times_out_grow_and_shrink() -> None:
    servers = fleet(success_rate=False)
    lengths = []
    for _ in range(12):
        (turn,) = servers.look(a=(0, 5))
        lengths.append(round((turn.until - servers.now) / BASE))
        (back,) = servers.look(turn.until - servers.now)
        assert back.back
    assert lengths == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]
    record = servers.ejector.records["a"]
    for left in (9, 8, 7):
        servers.look(BASE, a=(50, 0))
        assert record.times == left


def test_one_failure_on_trial_is_enough() -> None:
    servers = fleet()
    (turn,) = servers.look(a=(0, 5))
    servers.look(BASE)
    assert servers.look(a=(TRIAL - 1, 0)) == []
    (turn,) = servers.look(a=(0, 1))
    assert turn.out
    assert turn.why == "it failed when it was back on trial"
    servers.look(2 * BASE)
    servers.look(a=(TRIAL, 0))
    assert servers.look(a=(9, 1)) == []


def test_what_still_runs_when_it_is_put_out_is_not_held_against_it() -> None:
    servers = fleet()
    servers.look(a=(0, 5))
    assert servers.look(a=(0, 20)) == []
    servers.look(BASE)
    assert servers.look(a=(1, 0)) == []


def test_numbers_may_begin_anew_and_endpoints_go() -> None:
    servers = fleet()
    servers.look(a=(100, 3))
    servers.counts["a"] = [0, 0, 0]
    assert servers.look() == []
    del servers.counts["b"]
    servers.look()
    assert set(servers.ejector.records) == {"a", "c"}


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.2, 1.0, 5.0, 40.0]),
        st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=6, max_size=6),
        st.sets(st.sampled_from("abcdef")),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.floats(0.01, 1.0))
def test_there_is_no_storm(
    steps: list[tuple[float, list[tuple[int, int]], set[str]]], most: float
) -> None:
    servers = fleet("abcdef", max=Share(most))
    for seconds, answers, down in steps:
        servers.down = down
        before = servers.up() - down
        turns = servers.look(seconds, **dict(zip("abcdef", answers, strict=True)))
        out = set("abcdef") - servers.up()
        assert len(out) <= max(1, int(most * 6 + 1e-9))
        if outs(turns):
            assert servers.up() - down, "somebody is left"
            assert before
        for url in out:
            left = servers.ejector.records[url].until - servers.now
            assert 0 < left <= 10 * BASE


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("n", [2, 5, 8])
def test_equals_are_not_told_apart_by_their_rates(n: int, share: float) -> None:
    """All fail alike: chance alone must put nobody out."""
    names, draw = "abcdefgh"[:n], Random(n).random
    servers = fleet(names, errors=0)
    for _ in range(200):
        failed = {name: sum(draw() < share for _ in range(20)) for name in names}
        servers.look(**{name: (20 - f, f) for name, f in failed.items()})
    assert outs(servers.said) == []


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("rate", [100, 200, 1000])  # requests a second, of all
def test_who_fails_half_is_out_within_two_seconds(n: int, rate: int) -> None:
    """By its rate alone; requests that fail by turns are never many in a row."""
    names, per_look = "abcdefghij"[:n], rate // n // 5
    servers = fleet(names)
    for _ in range(10):
        servers.look(**dict.fromkeys(names, (per_look, 0)))
    looks = 0
    while not outs(servers.said):
        looks += 1
        bad = per_look // 2
        servers.look(**dict.fromkeys(names[1:], (per_look, 0)), a=(per_look - bad, bad))
    assert outs(servers.said) == ["a"]
    assert looks * 0.2 <= (2.0 if rate // n >= 40 else 10.0)


@pytest.mark.parametrize(
    ("names", "failing", "most", "stays", "out"),
    [
        ("abc", "a", 0.5, "a", ""),  # the last one
        ("abcd", "ab", 0.5, "abc", "b"),  # one of three, so the one that went first is back
        ("abcd", "ab", 0.5, "abcd", "ab"),
        ("abcdef", "ab", 0.5, "ab", "b"),
    ],
)
def test_who_is_out_comes_back_when_too_few_are_left(
    names: str, failing: str, most: float, stays: str, out: str
) -> None:
    some = fleet(names, errors=5, max=most)
    for url in failing:
        some.look(**{url: (0, 5)})
    for url in set(names) - set(stays):
        del some.counts[url]
    turns = some.look()
    assert {turn.url for turn in turns if turn.back} == set(failing) & set(stays) - set(out)
    assert {url for url in some.counts if some.ejector.records[url].until} == set(out)
    assert some.look() == []
