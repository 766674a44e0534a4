"""What workers know of endpoints together."""

from __future__ import annotations

import mmap

import pytest

from proxy.config.model import Breaker, Upstream
from proxy.hub.boards import Boards
from proxy.hub.circuits import Circuits
from proxy.hub.gauges import BREAKER, BROKE
from proxy.hub.roster import Roster
from proxy.upstream import board
from proxy.upstream.balance import Outcome
from proxy.upstream.board import (
    ACTIVE,
    BEGUN,
    CIRCUIT,
    FAILED,
    LATENCY,
    OK,
    STREAK,
    TRIPPED,
    Board,
    Tripwire,
)
from proxy.upstream.breaker import CircuitState
from proxy.upstream.endpoint import Endpoint

ONE, TWO = ("u", "http://a:1"), ("u", "http://b:1")


@pytest.fixture
def boards() -> Boards:
    return Boards(4)


def seat(boards: Boards) -> Board:
    return Board(mmap.mmap(boards.memory, 0), boards.enter())


def endpoint(boards: Boards, key: tuple[str, str] = ONE) -> Endpoint:
    found = Endpoint(key[1])
    found.number = boards.number([ONE, TWO])[key]
    return found


def test_workers_see_each_others_attempts(boards: Boards) -> None:
    one, two = seat(boards), seat(boards)
    there, elsewhere = endpoint(boards), endpoint(boards, TWO)
    one.begin(there, 0)
    two.begin(there, 0)
    two.begin(elsewhere, 0)
    assert (one.active(there), two.active(there), one.active(elsewhere)) == (2, 2, 1)
    one.end(there, Outcome.OK, 5)
    assert (one.active(there), boards.total(ONE)) == (1, 1)


@pytest.mark.parametrize(
    ("outcomes", "ok", "failed", "streak"),
    [
        ([Outcome.OK, Outcome.CLIENT_ERROR], 2, 0, 0),
        ([Outcome.SERVER_ERROR, Outcome.ERROR], 0, 2, 2),
        ([Outcome.ERROR, Outcome.OK, Outcome.ERROR], 1, 2, 1),
        ([Outcome.ERROR, Outcome.ABANDONED], 0, 1, 1),
    ],
)
def test_outcomes_are_counted(
    boards: Boards, outcomes: list[Outcome], ok: int, failed: int, streak: int
) -> None:
    worker, there = seat(boards), endpoint(boards)
    for outcome in outcomes:
        worker.begin(there, 0)
        worker.end(there, outcome, 1)
    counted = [boards.total(ONE, cell) for cell in (ACTIVE, BEGUN, OK, FAILED, STREAK)]
    assert counted == [0, len(outcomes), ok, failed, streak]


def test_rows_of_failures_are_counted_when_they_are_full(boards: Boards) -> None:
    worker, there = seat(boards), endpoint(boards)
    wire, nobody = Tripwire(worker, 3), Endpoint("http://b:1")
    for outcome in [Outcome.ERROR] * 7 + [Outcome.OK] + [Outcome.SERVER_ERROR] * 3:
        for one in (there, nobody):
            for learner in (worker, wire):
                learner.begin(one, 0)
                learner.end(one, outcome, 1)
    assert boards.totals(ONE)[TRIPPED] == 2
    assert boards.totals(("u", "http://nobody:1")) == []


def test_what_workers_show(boards: Boards) -> None:
    one, two, there = seat(boards), seat(boards), endpoint(boards)
    one.show_circuit(there, CircuitState.OPEN, 2)
    two.show_circuit(there, CircuitState.CLOSED, 1)
    two.show_latency(there, 1234.5)
    for worker in (one, two):
        worker.show_latency(Endpoint("http://b:1"), 5)
        worker.show_circuit(Endpoint("http://b:1"), 1, 1)
    rows = boards.rows(ONE)
    assert [row[CIRCUIT] for row in rows] == [11, 4, 0, 0]
    assert [row[LATENCY] for row in rows] == [0, 1234, 0, 0]


def test_what_the_hub_reads_of_breakers(boards: Boards) -> None:
    worker, there = seat(boards), endpoint(boards)
    roster = Roster(boards, lambda payload: None)
    roster.configure({"u": Upstream(servers={ONE[1]: 1, TWO[1]: 1}, breaker=Breaker())})
    there.number = boards.number([ONE, TWO])[ONE]
    circuits = Circuits(boards, roster)
    assert circuits.states(ONE) == {}
    worker.show_circuit(there, CircuitState.TRYING, 3)
    assert circuits.states(ONE) == {"trying": 1}
    assert values(circuits) == {BREAKER.name: [1, 0], BROKE.name: [3, 0]}
    boards.leave(0)  # it dies, and what it counted stays counted
    assert values(circuits) == {BREAKER.name: [0, 0], BROKE.name: [3, 0]}
    worker.show_circuit(there, CircuitState.CLOSED, 1)
    assert values(circuits)[BROKE.name] == [4, 0]


def values(circuits: Circuits) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for one in circuits.series({"u"}):
        found.setdefault(one.instrument.name, []).append(one.value)
    return found


def test_who_leaves_takes_what_it_had_running_along(boards: Boards) -> None:
    there = endpoint(boards)
    place = boards.enter()
    Board(mmap.mmap(boards.memory, 0), place).begin(there, 0)
    boards.leave(place)
    assert boards.total(ONE) == 0
    assert boards.enter() == place


def test_places_end(boards: Boards) -> None:
    assert sorted(boards.enter() for _ in range(4)) == [0, 1, 2, 3]
    assert boards.enter() == -1
    boards.leave(-1)
    assert boards.enter() == -1


def test_a_number_that_is_given_anew_begins_at_nothing(boards: Boards) -> None:
    worker, there = seat(boards), endpoint(boards)
    worker.begin(there, 0)
    assert boards.number([TWO])[TWO] != there.number
    third = ("u", "http://c:1")
    assert boards.number([TWO, third])[third] == there.number
    assert boards.total(third) == 0
    worker.end(there, Outcome.OK, 1)  # of the one before, which is gone
    assert boards.total(third) == 0


def test_numbers_end(boards: Boards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.hub.boards.ENDPOINTS", 1)
    assert sorted(boards.number([ONE, TWO]).values()) == [-1, 0]
    worker, nobody = seat(boards), Endpoint("http://b:1")
    worker.begin(nobody, 0)
    worker.end(nobody, Outcome.OK, 1)
    assert worker.active(nobody) == 0


def test_a_row_is_a_cache_line() -> None:
    assert board.CELLS * 8 == 64
