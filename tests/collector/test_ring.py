"""Writer and reader of a ring against a model: what was written comes out, whole and in order."""

from __future__ import annotations

import os
import sys
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.collector import ring as reading
from proxy.collector.ring import Lane, Run, lanes_of
from proxy.hub.rings import Rings
from proxy.ring import (
    BLOCKS,
    CREATED,
    CURSOR,
    DROPPED,
    HEAD,
    HEADS,
    LANE,
    LEAST,
    LINES,
    PAGE,
    SPANS,
    TAIL,
    lane_sizes,
    position,
    total,
)
from proxy.server.ring import Ring, memory_only
from proxy.telemetry.protobuf import delimited

SIZE = LEAST  # of the lane of spans


def entry(number: int, size: int) -> bytes:
    """One that nobody else wrote."""
    return delimited(2, b"%08d" % number + b"." * size)


class Machine(RuleBasedStateMachine):
    """One lane, written, read, released and killed in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = memory_only(SIZE)
        self.writer = Ring(self.memory)
        self.lane: Lane = lanes_of(self.memory)[SPANS]
        self.written: list[bytes] = []  # and not known to be released
        self.read = 0  # of these, by the reader that lives
        self.runs: list[Run] = []
        self.number = 0
        self.items = 0

    @rule(sizes=st.lists(st.integers(0, SIZE // 3), min_size=1, max_size=4))
    def write(self, sizes: list[int]) -> None:
        entries = [entry(self.number + i, size) for i, size in enumerate(sizes)]
        self.number += len(entries)
        data = b"".join(entries)
        room = SIZE - self.lane.unreleased
        taken = self.writer.spans.write(data, len(entries))
        assert not taken or len(data) <= room
        assert taken or len(data) > room - SIZE // BLOCKS
        if taken:
            self.written += entries
            self.items += len(entries)

    @rule()
    def tick(self) -> None:
        self.writer.tick()

    @rule(data=st.data())
    def read_on(self, data: st.DataObject) -> None:
        run = self.lane.read(self.lane.head)
        ahead = self.written[self.read :]
        if run is None:
            assert ahead == []
            return
        assert run.entries == b"".join(ahead[: run.items])
        assert run.items > 0
        self.read += run.items
        self.runs.append(run)
        self._forget_custody()

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        self.runs.pop(data.draw(st.integers(0, len(self.runs) - 1)))
        self._forget_custody()

    @rule()
    def kill_the_reader(self) -> None:
        """Another one starts where nothing was released."""
        kept = self.runs  # what the dead one holds is never let go
        self.lane._runs.clear()
        self.lane = lanes_of(self.memory)[SPANS]
        self.runs = []
        for run in kept:
            run.receipt._lane = _Nobody()  # type: ignore[assignment]
        self._forget_custody()
        self.read = 0

    @rule(data=st.binary(max_size=64))
    def die_in_the_middle_of_a_write(self, data: bytes) -> None:
        """Bytes that no head was stored for are nobody's: what comes next lies over them."""
        window = self.writer.spans.window
        end = min(window.end, window.at + len(data))
        self.memory[window.at : end] = data[: end - window.at]

    @invariant()
    def nothing_is_lost(self) -> None:
        """What a reader would find that starts now: everything that was not released."""
        assert self.lane.unreleased == sum(map(len, self.written))
        assert self.writer.spans.created == self.items + self.writer.spans.dropped

    def _forget_custody(self) -> None:
        """As many of the oldest as the tail has passed, and never one that somebody holds."""
        gone = sum(map(len, self.written)) - self.lane.unreleased
        passed = 0
        while gone:
            gone -= len(self.written[passed])
            passed += 1
        del self.written[:passed]
        self.read -= passed


class _Nobody:
    def release(self, run: Any) -> None:
        return None


TestAnyOrder = Machine.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_a_run_is_not_released_while_one_before_it_is_held() -> None:
    memory = memory_only(SIZE)
    writer, lane = Ring(memory), lanes_of(memory)[SPANS]
    runs = []
    for number in range(3):
        writer.spans.write(entry(number, 10), 1)
        runs.append(lane.read(lane.head))
    whole = lane.unreleased
    del runs[1]
    assert lane.unreleased == whole
    del runs[0]
    assert lane.unreleased == whole // 3
    assert lanes_of(memory)[SPANS].read(lane.head).items == 1  # type: ignore[union-attr]


def test_a_lane_that_is_let_go_keeps_no_memory_and_is_not_read_again() -> None:
    memory = memory_only(SIZE)
    writer, lane = Ring(memory), lanes_of(memory)[SPANS]
    assert writer.spans.write(entry(0, 10), 1)
    run = lane.read(lane.head)
    before = sys.getrefcount(memory)
    for _ in range(2):
        lane.let_go()
        assert lane.is_done and sys.getrefcount(memory) < before
    del run  # its receipt has outlived the ring
    assert lanes_of(memory)[SPANS].is_done


def test_what_is_held_for_long_gives_way_when_the_lane_is_nearly_full() -> None:
    memory = memory_only(SIZE)
    writer, lane = Ring(memory), lanes_of(memory)[SPANS]
    held = []
    for number in range(SIZE // 500):
        assert writer.spans.write(entry(number, 1000), 1), "the reader keeps up, so there is room"
        held.append(lane.read(lane.head))
    assert SIZE // 2 < lane.unreleased <= SIZE * 3 // 4
    del held
    assert lane.unreleased == 0


def test_a_backlog_is_read_by_turns_of_whole_entries() -> None:
    memory = memory_only(8 * 1024 * 1024)
    writer, lane = Ring(memory), lanes_of(memory)[SPANS]
    for number in range(3000):
        writer.spans.write(entry(number, 1000), 1)
    sizes, items = [], 0
    while (run := lane.read(lane.head)) is not None:
        sizes.append(len(run.entries))
        items += run.items
        assert run.entries.startswith(entry(items - run.items, 1000))
    assert items == 3000
    assert len(sizes) > 1 and max(sizes) <= reading.TURN


def test_one_entry_that_is_larger_than_a_turn_comes_whole() -> None:
    memory = memory_only(8 * 1024 * 1024)
    writer, lane = Ring(memory), lanes_of(memory)[SPANS]
    writer.spans.write(entry(0, 2 * reading.TURN), 1)
    run = lane.read(lane.head)
    assert run is not None and run.entries == entry(0, 2 * reading.TURN)


def test_lines_are_cut_at_their_ends() -> None:
    memory = memory_only(16 * 1024 * 1024)
    writer, lane = Ring(memory), lanes_of(memory)[LINES]
    line = b"x" * 999 + b"\n"
    for _ in range(2000):
        writer.lines.write(line, 1)
    found = []
    while (run := lane.read(lane.head)) is not None:
        assert run.entries == line * run.items
        found.append(run.items)
    assert sum(found) == 2000 and len(found) > 1


def test_an_old_telling_is_no_news() -> None:
    memory = memory_only(SIZE)
    writer, lane = Ring(memory), lanes_of(memory)[SPANS]
    writer.spans.write(entry(0, 10), 1)
    old = lane.head
    writer.spans.write(entry(1, 10), 1)
    assert lane.read(lane.head) is not None
    assert lane.read(old) is None


def test_a_lane_that_is_emptied_in_time_stays_in_its_first_pages() -> None:
    memory = memory_only(1024 * 1024)
    writer, lane = Ring(memory), lanes_of(memory)[SPANS]
    for number in range(5000):
        assert writer.spans.write(entry(number, 1000), 1)
        run = lane.read(lane.head)
        assert run is not None and run.entries == entry(number, 1000)
        del run
        writer.tick()
    assert not any(memory[PAGE + 2 * 1024 * 1024 // BLOCKS : PAGE + 1024 * 1024])


@given(items=st.integers(0, 2**34), late=st.integers(0, 2**30))
def test_the_whole_count_is_known_from_a_late_one(items: int, late: int) -> None:
    rings = Rings(SIZE)
    ring = rings.open(1)
    first = SPANS * LANE
    ring._cells[first + HEAD] = position(items, 0)
    ring._cells[first + CURSOR] = ring._cells[first + HEAD]
    ring._cells[first + CREATED] = max(0, items - late)
    ring._cells[first + DROPPED] = 7
    assert ring.tally("traces") == (items + 7, 7, 0)
    rings.finish(1)
    assert (rings.created("traces"), rings.dropped("traces")) == (items + 7, 7)


def test_counts_run_over_where_their_bits_end() -> None:
    memory = memory_only(SIZE)
    writer = Ring(memory)
    lane = writer.spans
    lane._items, lane._bytes = 2**31 - 3, 2**32 - SIZE
    lane.window.position = position(lane._items, lane._bytes)
    for cell in (HEAD, CURSOR, TAIL):
        writer.cells[SPANS * LANE + cell] = lane.window.position
    reader = lanes_of(memory)[SPANS]
    for number in range(3 * SIZE // 110):
        assert lane.write(entry(number, 100), 1)
        run = reader.read(reader.head)
        assert run is not None and (run.entries, run.items) == (entry(number, 100), 1)
        del run
    assert lane.created == 2**31 - 3 + 3 * SIZE // 110


def test_the_reader_is_told_at_ticks_and_when_there_is_much_to_read() -> None:
    ours, theirs = os.pipe2(os.O_NONBLOCK)
    with open(ours, "rb", buffering=0) as pipe:
        writer = Ring(memory_only(4 * 1024 * 1024), theirs)
        writer.spans.write(entry(0, 10), 1)
        assert pipe.read(1000) is None
        writer.tick()
        assert len(pipe.read(1000) or b"") == HEADS.size
        writer.tick()
        assert pipe.read(1000) is None, "there is nothing new"
        for number in range(1100):
            writer.spans.write(entry(number, 1000), 1)
        assert len(pipe.read(1000) or b"") == 4 * HEADS.size
        os.close(theirs)


def test_a_full_pipe_is_told_later() -> None:
    ours, theirs = os.pipe2(os.O_NONBLOCK)
    with open(ours, "rb", buffering=0) as pipe:
        writer = Ring(memory_only(SIZE), theirs)
        while True:
            try:
                os.write(theirs, b"x" * HEADS.size)
            except BlockingIOError:
                break
        writer.spans.write(entry(0, 10), 1)
        writer.tick()
        while pipe.read(65536):
            pass
        writer.tick()
        assert len(pipe.read(1000) or b"") == HEADS.size
        os.close(theirs)


@given(st.integers(0, 2**31))
def test_lanes_are_powers_of_two_that_fit(size: int) -> None:
    sizes = lane_sizes(size)
    assert all(lane & (lane - 1) == 0 for lane in sizes)
    assert sizes[0] >= min(size, 2**30)
    assert total(size) == 4096 + sum(sizes)
