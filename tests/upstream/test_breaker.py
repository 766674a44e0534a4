"""When a worker's breaker opens, and how it closes again."""

from __future__ import annotations

import pytest

from proxy.config.model import Breaker
from proxy.config.units import Seconds, Share
from proxy.upstream.balance import Outcome
from proxy.upstream.breaker import TRIALS, Breakers
from proxy.upstream.endpoint import BROKEN, EJECTED, Endpoint

SECOND = 1_000_000_000
SETTINGS = Breaker(failures=Share(0.5), window=Seconds(10), open=Seconds(5))
OK, BAD, GONE = Outcome.OK, Outcome.SERVER_ERROR, Outcome.ABANDONED


class Room:
    """One endpoint behind breakers."""

    def __init__(self, settings: Breaker | None = SETTINGS) -> None:
        self.changes: list[bool] = []
        self.breakers = Breakers(lambda endpoint: self.changes.append(endpoint.up))
        self.breakers.settings = settings
        self.endpoint = Endpoint("http://a:1", 1, "u")
        self.now = 1000 * SECOND

    def ask(self, *outcomes: Outcome, every: float = 0.0) -> None:
        for outcome in outcomes:
            self.breakers.begin(self.endpoint, self.now)
            self.breakers.end(self.endpoint, outcome, 1)
            self.now += int(every * SECOND)

    def look(self, seconds: float = 0.0) -> list[str]:
        self.now += int(seconds * SECOND)
        return self.breakers.look(self.now)


@pytest.mark.parametrize(
    ("outcomes", "every", "open_"),
    [
        ([BAD] * 10, 0.0, True),
        ([BAD] * 9, 0.0, False),
        ([OK, BAD] * 5, 0.0, True),
        ([OK, OK, BAD] * 10, 0.0, False),
        ([Outcome.ERROR] * 10, 0.0, True),
        ([Outcome.CLIENT_ERROR] * 30, 0.0, False),
        ([GONE] * 30, 0.0, False),
        ([BAD] * 30, 2.0, False),  # five in a window
        ([BAD] * 10, 0.9, True),
        ([OK] * 30 + [BAD] * 29, 0.0, False),
    ],
)
def test_it_opens_by_the_share_of_failures(
    outcomes: list[Outcome], every: float, open_: bool
) -> None:
    room = Room()
    room.ask(*outcomes, every=every)
    assert room.endpoint.out == (BROKEN if open_ else 0)
    assert bool(room.look()) is open_


def test_one_request_at_a_time_finds_out() -> None:
    room = Room()
    room.ask(*[BAD] * 10)
    assert room.look() == [
        "upstream u: http://a:1: breaker open: 100% of 10 tries in 10 s failed; tried again in 5 s"
    ]
    assert round(room.breakers.wait(room.now + SECOND), 3) == 4.0
    room.look(4.9)
    assert not room.endpoint.up
    room.look(0.1)
    for _ in range(TRIALS):
        assert room.endpoint.up
        room.breakers.begin(room.endpoint, room.now)
        assert not room.endpoint.up  # while it is tried
        room.breakers.end(room.endpoint, OK, 1)
    assert room.look() == ["upstream u: http://a:1: breaker closed: 3 good answers in a row"]
    room.ask(*[BAD] * 9)
    assert room.endpoint.up  # it counts anew


def test_a_bad_trial_opens_it_again() -> None:
    room = Room()
    room.ask(*[BAD] * 10)
    room.look(5)
    room.ask(OK, OK, BAD)
    assert not room.endpoint.up
    assert room.look() == ["upstream u: http://a:1: breaker open: its trial failed"]
    room.look(4.9)
    assert not room.endpoint.up


def test_a_trial_that_nobody_saw_the_end_of_is_made_again() -> None:
    room = Room()
    room.ask(*[BAD] * 10)
    room.look(5)
    room.ask(GONE)
    assert room.endpoint.up
    room.breakers.begin(room.endpoint, room.now)
    room.look(4.9)
    assert not room.endpoint.up
    room.look(0.1)
    assert room.endpoint.up


def test_who_comes_back_from_an_ejection_is_tried_first() -> None:
    room = Room(None)
    room.ask(*[BAD] * 100)
    assert room.endpoint.up  # nothing opens without settings
    room.endpoint.mark(EJECTED, True)
    room.breakers.comes_back(room.endpoint)
    room.endpoint.mark(EJECTED, False)
    assert room.endpoint.up
    room.breakers.begin(room.endpoint, room.now)
    assert not room.endpoint.up
    room.breakers.end(room.endpoint, BAD, 1)
    assert not room.endpoint.up
    room.look(1)
    room.ask(OK, OK, OK)
    room.breakers.begin(room.endpoint, room.now)
    assert room.endpoint.up
    assert room.look() == []


def test_without_breakers_all_may_be_asked() -> None:
    room = Room()
    room.ask(*[BAD] * 10)
    room.breakers.stop()
    assert room.endpoint.up
    assert room.changes == [False, True]
    room.ask(*[BAD] * 10)
    room.breakers.keep([])
    assert room.breakers.wait(room.now) == 0
