"""Numbers of the books that outlive the process: what was written is read by whoever comes next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.collector.books import Books, left_behind
from proxy.collector.page import OTHER, ROW, ROWS, SIZE, Page

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=600)


def memory() -> bytearray:
    return bytearray(SIZE)


@given(
    st.lists(st.tuples(st.sampled_from(["traces", "logs"]), NAMES, NAMES, st.integers(1, 2**40)))
)
def test_the_next_one_finds_what_was_counted(
    drops: list[tuple[str, str, str, int]],
) -> None:
    shared = memory()
    books = Books(Page(shared))
    for signal, exporter, reason, items in drops:
        ledger = books.open(signal, exporter)  # type: ignore[arg-type]
        ledger.create(items)
        ledger.lose(items, reason)
    kept = {
        (b.signal, b.exporter): (b.created, b.exported, b.dropped)
        for b in books.standings()
        if len(f"{b.signal} {b.exporter}".encode()) <= 448
    }
    found = Books(Page(shared)).standings()
    assert {(b.signal, b.exporter): (b.created, b.exported, b.dropped) for b in found} == kept
    assert all(b.balanced and b.queued == 0 for b in found)
    assert left_behind(Page(shared)) == found


def test_what_the_dead_one_held_is_queued_until_it_comes_again_or_is_given_up() -> None:
    shared = memory()
    before = Books(Page(shared)).open("traces", "backend")
    before.create(100)
    before.exported += 30
    before.lose(20, "sampled")
    (dead,) = left_behind(Page(shared))
    assert (dead.created, dead.queued, dead.balanced) == (100, 50, True)

    books = Books(Page(shared))
    ledger = books.open("traces", "backend")
    assert (ledger.queued, ledger.balanced) == (50, True)
    ledger.create(40)  # come again
    ledger.places.append(lambda: 40)
    assert (ledger.created, ledger.queued, ledger.balanced) == (100, 50, True)
    books.settle()
    assert ledger.dropped == {"sampled": 20, "collector_died": 10}
    assert (ledger.created, ledger.queued, ledger.balanced) == (100, 40, True)
    ledger.create(5)
    assert ledger.created == 105


def test_a_kill_between_delivering_and_noting_it_does_not_unbalance() -> None:
    shared = memory()
    Books(Page(shared)).open("traces", "backend").exported += 7
    (dead,) = left_behind(Page(shared))
    assert (dead.created, dead.exported, dead.balanced) == (7, 7, True)
    ledger = Books(Page(shared)).open("traces", "backend")
    assert (ledger.created, ledger.exported, ledger.balanced) == (7, 7, True)


def test_more_reasons_than_there_is_room_for_are_one() -> None:
    shared = memory()
    ledger = Books(Page(shared)).open("traces", "backend")
    for number in range(40):
        ledger.create(1)
        ledger.lose(1, f"permanent_http_{number}")
    assert ledger.balanced and ledger.dropped[OTHER] == 40 - (len(ledger.dropped) - 1)
    (found,) = left_behind(Page(shared))
    assert found.dropped == ledger.dropped


def test_more_ledgers_than_there_is_room_for_are_kept_by_the_process_alone() -> None:
    shared = memory()
    books = Books(Page(shared))
    for number in range(ROWS + 5):
        books.open("traces", str(number)).create(1)
    assert sum(b.created for b in books) == ROWS + 5
    assert len(left_behind(Page(shared))) == ROWS - 1


def test_a_row_whose_name_was_not_complete_is_not_there() -> None:
    shared = memory()
    Books(Page(shared)).open("traces", "one").create(1)
    shared[2 * ROW + 64 : 2 * ROW + 70] = b"traces"  # killed before the length was stored
    assert [b.exporter for b in Books(Page(shared))] == ["one"]


def test_lost_lines_are_added_up() -> None:
    page = Page(memory())
    page.lines_dropped = 3
    assert page.lines_dropped == 3 and list(page) == []
