"""What workers know of endpoints together."""

from __future__ import annotations

import mmap

import pytest

from proxy.hub.boards import Boards
from proxy.upstream import board
from proxy.upstream.balance import Outcome
from proxy.upstream.board import ACTIVE, BEGUN, FAILED, OK, STREAK, Board
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
