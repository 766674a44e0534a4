"""The files themselves: against a model, cut off at every byte, garbled at every byte."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.collector.batch import SIGNALS, Batch
from proxy.collector.queues.disk import record as disk_record
from proxy.collector.queues.disk.lock import Busy
from proxy.collector.queues.disk.log import SMALLEST, DiskLog
from proxy.collector.queues.disk.segment import Taken

LIMIT = 64 * 1024 * 1024  # never reached here


def batch(number: int, size: int = 40) -> Batch:
    """Numbered, so that it can be told from all others; its items are its number's last digit."""
    return Batch(SIGNALS[number % 4], f"{number:08d}".encode() + b"x" * size, number % 10)


def number_of(batch: Batch) -> int:
    return int(batch.payload[:8])


def crash(log: DiskLog) -> None:
    """What the kernel does when a process is killed: files are closed, nothing else happens."""
    for fd in log.garbage():
        os.close(fd)
    for segment in log._alive:
        segment.close()
    log._lock.release()


def take_all(log: DiskLog) -> list[Taken]:
    taken = []
    while (one := log.take(wait=True)) is not None:
        taken.append(one)
    return taken


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.queue"))


class Model(RuleBasedStateMachine):
    """The log is a list: numbers that wait, numbers that were taken."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.log = self.open()
        self.number = 0
        self.waiting: list[int] = []
        self.taken: list[Taken] = []
        self.finished: set[int] = set()

    def open(self) -> DiskLog:
        log = DiskLog(self.directory, LIMIT)
        log._largest = SMALLEST  # many small files
        return log

    def teardown(self) -> None:
        crash(self.log)
        shutil.rmtree(self.directory)

    @rule(size=st.sampled_from([0, 1, 100, 1500, 9000]), times=st.integers(1, 8))
    def put(self, size: int, times: int) -> None:
        for _ in range(times):
            assert self.log.has_room(batch(self.number, size))
            self.log.append(batch(self.number, size))
            self.waiting.append(self.number)
            self.number += 1

    @rule(times=st.integers(1, 8))
    def take(self, times: int) -> None:
        for _ in range(times):
            found = self.log.take(wait=True)
            if not self.waiting:
                assert found is None
                return
            assert found is not None
            number = self.waiting.pop(0)
            expected = batch(number, len(found.batch.payload) - 8)
            assert found.batch.payload == expected.payload
            assert (found.batch.signal, found.batch.items) == (expected.signal, expected.items)
            self.taken.append(found)

    @precondition(lambda self: bool(self.taken))
    @rule(which=st.integers(0, 1000))
    def done(self, which: int) -> None:
        taken = self.taken.pop(which % len(self.taken))
        self.log.done(taken)
        self.finished.add(number_of(taken.batch))

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        if clean:
            for taken in self.taken:
                assert self.log.keep(taken)
            self.log.close()
        else:
            crash(self.log)
        self.log = self.open()
        assert self.log.losses() == []
        self.waiting = sorted([*self.waiting, *(number_of(t.batch) for t in self.taken)])
        self.taken = []

    @precondition(lambda self: bool(files(self.directory)))
    @rule(where=st.integers(0, 10**6), bit=st.integers(0, 7))
    def garble(self, where: int, bit: int) -> None:
        """One bit turns while nobody runs: one record is touched at most, and all is counted."""
        crash(self.log)
        found = files(self.directory)
        path = found[where % len(found)]
        data = bytearray(path.read_bytes())
        if not data:
            self.log = self.open()
            return
        where %= len(data)
        if where == len(disk_record.FILE_HEADER) - 1:
            where = 0  # the version: a file of another one is left alone
        data[where] ^= 1 << bit
        path.write_bytes(data)
        self.log = self.open()
        before = sorted([*self.waiting, *(number_of(t.batch) for t in self.taken)])
        counted = sum(self.log.items().values())
        left = take_all(self.log)
        numbers = [number_of(taken.batch) for taken in left]
        assert numbers == sorted(numbers)
        assert len(set(before) - set(numbers)) <= 1
        again = set(numbers) - set(before)
        assert len(again) <= 1
        assert again <= self.finished  # a mark was lost: sent twice, but never made up
        self.finished |= set(before) - set(numbers)  # the same bit may turn back
        lost = sum(items for _, items in self.log.losses())
        assert counted <= sum(taken.batch.items for taken in left) + lost
        self.finished -= set(numbers)
        self.waiting, self.taken = [], left

    @invariant()
    def counts_are_right(self) -> None:
        assert self.log.waiting == len(self.waiting)
        items = dict.fromkeys(SIGNALS, 0)
        for number in self.waiting:
            items[batch(number).signal] += batch(number).items
        assert self.log.items() == items
        assert self.log.size == sum(path.stat().st_size for path in files(self.directory))


Model.TestCase.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=30, deadline=None
)
TestModel = Model.TestCase


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """One file with three records; the last is of 7 items."""
    log = DiskLog(tmp_path, 0)
    for number in (25, 26, 27):
        log.append(batch(number))
    log.close()
    return files(tmp_path)[0]


def recovered(path: Path, data: bytes) -> tuple[list[int], int, int]:
    """(numbers, items lost, stretches lost) of a file with these bytes."""
    path.write_bytes(data)
    log = DiskLog(path.parent, 0)
    lost = log.losses()
    found = [number_of(taken.batch) for taken in take_all(log)]
    lost += log.losses()
    unknown = log.unknown
    crash(log)
    return found, sum(items for _, items in lost), unknown


def test_a_record_cut_off_at_any_byte_costs_only_itself(three: Path) -> None:
    data = three.read_bytes()
    begin = data.rindex(disk_record.MAGIC)
    for end in range(begin, len(data)):
        found, items, unknown = recovered(three, data[:end])
        assert found == [25, 26]
        header_is_there = end - begin >= disk_record.SIZE
        assert items == (7 if header_is_there else 0)
        assert unknown == (1 if begin < end < begin + disk_record.SIZE else 0)


def test_a_tail_of_zeros_costs_only_what_it_covers(three: Path) -> None:
    """What some file systems leave after a loss of power."""
    data = three.read_bytes()
    begin = data.rindex(disk_record.MAGIC)
    for end in range(begin, len(data)):
        found, items, _ = recovered(three, data[:end] + bytes(len(data) - end + 5000))
        assert found == [25, 26]
        assert items == (7 if end - begin >= disk_record.SIZE else 0)


def test_a_garbled_byte_anywhere_costs_at_most_one_record(three: Path) -> None:
    data = three.read_bytes()
    for at in range(len(data)):
        found, _, unknown = recovered(three, data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        in_magic = at < len(disk_record.FILE_HEADER)
        state = (at - len(disk_record.FILE_HEADER)) % (disk_record.SIZE + 48) == 4
        if in_magic or (state and found == [25, 26, 27]):
            continue
        assert len(found) == 2
        assert set(found) < {25, 26, 27}
        assert unknown <= 1


def test_garbage_of_any_kind_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "0000000000000001.queue"
    for data in (b"", b"SPAN", bytes(10_000), b"\xf5SQR" * 3000, os.urandom(100_000)):
        assert recovered(path, data)[:2] == ([], 0)


def test_files_of_a_later_format_are_left_alone(tmp_path: Path) -> None:
    later = tmp_path / "0000000000000007.queue"
    later.write_bytes(b"SPANGATE-QUEUE 2 something else")
    log = DiskLog(tmp_path, 0)
    log.append(batch(1))
    assert [number_of(t.batch) for t in take_all(log)] == [1]
    log.close()
    assert later.read_bytes() == b"SPANGATE-QUEUE 2 something else"


def test_a_directory_belongs_to_one(tmp_path: Path) -> None:
    log = DiskLog(tmp_path, 0)
    with pytest.raises(Busy, match=rf"in use by process {os.getpid()}"):
        DiskLog(tmp_path, 0)
    log.close()
    DiskLog(tmp_path, 0).close()


def test_what_is_done_out_of_order_does_not_come_again(tmp_path: Path) -> None:
    log = DiskLog(tmp_path, 0)
    for number in range(6):
        log.append(batch(number))
    taken = take_all(log)
    for number in (5, 1, 3):
        log.done(taken[number])
    crash(log)
    log = DiskLog(tmp_path, 0)
    assert [number_of(t.batch) for t in take_all(log)] == [0, 2, 4]
    crash(log)


def test_an_empty_log_leaves_no_files(tmp_path: Path) -> None:
    log = DiskLog(tmp_path, 0)
    for number in range(100):
        log.append(batch(number, 300_000))
        (taken,) = take_all(log)
        log.done(taken)
        assert len(files(tmp_path)) <= 1
    log.close()
    assert files(tmp_path) == []


def test_files_never_take_more_than_the_limit(tmp_path: Path) -> None:
    log = DiskLog(tmp_path, 256 * 1024)
    number = 0
    while log.has_room(batch(number, 1000)):
        log.append(batch(number, 1000))
        number += 1
    assert 256 * 1024 * 0.97 < sum(p.stat().st_size for p in files(tmp_path)) <= 256 * 1024
    for taken in take_all(log):
        log.done(taken)
    assert log.has_room(batch(number, 1000))
    log.close()


def test_discarding_takes_the_oldest_and_spares_what_is_under_way(tmp_path: Path) -> None:
    log = DiskLog(tmp_path, 256 * 1024)
    for number in range(200):
        log.append(batch(number, 1000))
    under_way = [log.take(wait=True), log.take(wait=True)]
    given_up = log.discard()
    assert given_up is not None
    crash(log)
    log = DiskLog(tmp_path, 256 * 1024)
    left = [number_of(t.batch) for t in take_all(log)]
    gone = set(range(200)) - set(left)
    assert gone == set(range(2, 2 + len(gone)))
    assert 1 <= len(gone) < 200 / 20
    assert sum(items for _, items in given_up) == sum(n % 10 for n in gone)
    assert [number_of(t.batch) for t in under_way if t is not None] == left[-2:]
    crash(log)


def test_damage_while_running_is_counted(tmp_path: Path) -> None:
    log = DiskLog(tmp_path, 0)
    for number in (3, 4, 5):
        log.append(batch(number))
    path = files(tmp_path)[0]
    with path.open("r+b") as file:
        file.seek(len(disk_record.FILE_HEADER) + 1)
        file.write(b"!")
    assert [number_of(t.batch) for t in take_all(log)] == [4, 5]
    assert log.losses() == [("profiles", 3)]
    assert sum(log.items().values()) == 0
    log.close()


def test_a_file_that_was_cut_while_running_is_counted(tmp_path: Path) -> None:
    log = DiskLog(tmp_path, 0)
    for number in (3, 4, 5):
        log.append(batch(number))
    os.truncate(files(tmp_path)[0], 60)
    assert take_all(log) == []
    assert sum(items for _, items in log.losses()) == 12
    log.append(batch(6))
    assert [number_of(t.batch) for t in take_all(log)] == [6]
    log.close()
