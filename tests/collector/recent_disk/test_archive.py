"""Recent telemetry on disk: it outlives its process, keeps to its size, and fails alone."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.collector.queues.disk.lock import Lock
from proxy.collector.recent_disk import archive as archives
from proxy.collector.recent_disk import index, segment
from tests.collector.recent_disk.samples import (
    DEADLINE,
    NOW,
    SECOND,
    found_by_id,
    record,
    spans,
    store,
    trace_id,
    until,
)

MIB = 1024 * 1024


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def test_traces_and_their_logs_outlive_the_process(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        one.add(spans(1, 2), 2)
        one.add(record(2, "shipped"), signal="logs")
        one.settle()
    with store(tmp_path) as other:
        first, second = found_by_id(other.archive, 1), found_by_id(other.archive, 2)
        assert [span.trace_id for one in first for span in one.spans()] == [trace_id(1)]
        assert [record.body for one in second for record in one.records()] == ["shipped"]
        assert found_by_id(other.archive, 3) == []
        assert other.troubles == []


def test_what_the_process_itself_has_written_is_found(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        for number in range(1, 40):
            one.add(spans(number))
        one.settle()
        found = found_by_id(one.archive, *range(1, 40))
        assert {span.trace_id for one in found for span in one.spans()} == {
            trace_id(number) for number in range(1, 40)
        }


def test_files_are_of_their_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "recent"
    with store(folder) as one:
        one.add(spans(1))
        one.settle()
    modes = [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folder.glob("*.batches")]
    assert modes == [0]
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0


def test_the_oldest_makes_room_and_what_failed_stays(tmp_path: Path) -> None:
    limit = 4 * MIB
    with store(tmp_path, limit, size=MIB) as one:
        one.add(spans(1, error=True, text="x" * 1000))
        for number in range(2, 150):
            one.add(spans(number, text="x" * 100_000), at=NOW + number * SECOND)
            one.settle()
        until(lambda: not found_by_id(one.archive, 2))
        assert one.archive.size <= limit + 512 * 1024  # and the file that is written
        assert len(found_by_id(one.archive, 1)) == 1
        assert len(found_by_id(one.archive, 149)) == 1
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= limit + 512 * 1024
    with store(tmp_path, limit) as other:
        assert len(found_by_id(other.archive, 1)) == 1
        assert found_by_id(other.archive, 2) == []


def test_failed_traces_make_room_for_newer_ones(tmp_path: Path) -> None:
    limit = 4 * MIB
    with store(tmp_path, limit, size=MIB) as one:
        for number in range(1, 150):
            one.add(spans(number, error=True, text="x" * 100_000), at=NOW + number * SECOND)
            one.settle()
        until(lambda: not found_by_id(one.archive, 1))
        kept = [path.stat().st_size for path in tmp_path.glob("*.kept")]
        assert 0 < sum(kept) <= limit // 4
        assert len(found_by_id(one.archive, 149)) == 1


def test_a_smaller_limit_counts_at_once(tmp_path: Path) -> None:
    with store(tmp_path, 16 * MIB) as one:
        for number in range(1, 100):
            one.add(spans(number, text="x" * 100_000))
            one.settle()
        assert one.archive.size > 8 * MIB
        one.archive.resize(4 * MIB)
        until(lambda: one.archive.size < 4 * MIB)
        assert len(found_by_id(one.archive, 99)) == 1


def test_what_is_kept_is_given_up_where_its_file_is_still_there(tmp_path: Path) -> None:
    """The process ended between writing the one and deleting the other."""
    with store(tmp_path) as one:
        one.add(spans(1, error=True))
        one.settle()
    (batches,) = tmp_path.glob("*.batches")
    batches.with_suffix(".kept").write_bytes(batches.read_bytes())
    with store(tmp_path) as other:
        assert len(found_by_id(other.archive, 1)) == 1
    assert not list(tmp_path.glob("*.kept"))


@pytest.mark.parametrize("harm", ["lost", "cut", "of another", "rubbish"])
def test_an_index_that_does_not_fit_is_made_anew(tmp_path: Path, harm: str) -> None:
    with store(tmp_path) as one:
        one.add(spans(1, 2, 3), 3)
        one.settle()
    (path,) = tmp_path.glob(f"*{segment.INDEX}")
    whole = path.read_bytes()
    if harm == "lost":
        path.unlink()
    else:
        of_another = index.encode(index.Index(1, size=5))
        path.write_bytes(
            {"cut": whole[:-3], "of another": of_another, "rubbish": os.urandom(500)}[harm]
        )
    with store(tmp_path) as other:
        assert len(found_by_id(other.archive, 2)) == 1
    assert path.read_bytes() == whole


def test_damaged_batches_are_left_out_and_told(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        for number in (1, 2, 3):
            one.add(spans(number, text="x" * 500))
        one.settle()
    (path,) = tmp_path.glob("*.batches")
    data = path.read_bytes()
    middle = data.index(trace_id(2))
    path.write_bytes(data[:middle] + b"\xff" * 16 + data[middle + 16 :] + b"torn")
    next(tmp_path.glob(f"*{segment.INDEX}")).unlink()
    with store(tmp_path) as other:
        other.hears("2 batches in")
        assert len(found_by_id(other.archive, 1)) == len(found_by_id(other.archive, 3)) == 1
        assert found_by_id(other.archive, 2) == []


def test_files_of_others_are_left_alone_and_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "0000000007.batches").write_bytes(b"mine as well, by chance of that name")
    with store(tmp_path) as one:
        one.hears("0000000007.batches")
        one.add(spans(1))
        one.settle()
        assert len(found_by_id(one.archive, 1)) == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "0000000007.batches").read_bytes().startswith(b"mine")
    assert "0000000008.batches" in names(tmp_path)


def test_what_a_killed_process_left_half_done_is_cleaned_up(tmp_path: Path) -> None:
    for name in ("0000000001.kept.partial", "0000000001.kept.index"):
        (tmp_path / name).write_bytes(b"half")
    with store(tmp_path) as one:
        one.add(spans(1))
        one.settle()
    assert names(tmp_path) == ["0000000001.batches", "0000000001.batches.index"]


def test_a_folder_in_use_is_told_and_taken_when_it_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with store(tmp_path) as one:
        one.hears(f"in use by process {holder.pid}")
        one.add(spans(1))
        assert [stored.items for stored in one.ring.batches()] == [1]
        holder.communicate()
        one.settle()  # what waited is written
        one.recovers()


HOLD = """
import sys
from pathlib import Path
from proxy.collector.queues.disk.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_what_has_no_room_to_wait_is_dropped_and_counted(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    with store(tmp_path, size=64 * MIB) as one:
        for number in range(40):
            one.add(spans(number, text="x" * 500_000))
        held = archives.HANDS // 500_000
        assert 40 - held <= one.archive.lost.unavailable <= 41 - held
        assert len(one.ring.batches()) == 40
        lock.release()
        until(lambda: one.archive.size)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with store(tmp_path / "recent") as one:
        one.hears("Permission denied")
        one.add(spans(1))
        assert len(one.ring.batches()) == 1
    tmp_path.chmod(0o700)


def test_a_file_where_the_folder_should_be_is_told_and_mended(tmp_path: Path) -> None:
    folder = tmp_path / "recent"
    folder.write_text("")
    with store(folder) as one:
        one.hears("File exists")
        one.add(spans(1))
        folder.unlink()
        one.settle()
        one.recovers()


@contextmanager
def files_of(size: int) -> Iterator[None]:
    """No file may be larger: writes fail, as they do on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_takes_nothing_is_told_and_tried_again(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        one.add(spans(1, text="x" * 1000))
        one.settle()
        with files_of(3000):
            one.add(spans(2, text="x" * 5000))
            until(lambda: one.archive.lost.write_failed == 1)
        assert one.troubles[-1] is not None
        assert len(one.ring.batches()) == 2
        number = 3

        def is_written() -> bool:
            nonlocal number
            one.add(spans(number))
            number += 1
            return one.archive.has(one.ring.number - 1)

        until(is_written)
        one.recovers()
        assert len(found_by_id(one.archive, 1)) == 1
        assert found_by_id(one.archive, 2) == []
    (path,) = tmp_path.glob("*.batches")
    path.with_name(path.name + segment.INDEX).unlink()
    with store(tmp_path) as other:  # nothing of what failed is left in the file
        assert len(found_by_id(other.archive, 1)) == 1
        assert other.troubles == []


def test_one_that_was_stopped_answers_with_nothing(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        one.add(spans(1))
        one.settle()
    assert found_by_id(one.archive, 1) == []
    one.archive.stop(DEADLINE)


def test_what_waits_when_it_stops_is_written(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        for number in range(20):
            one.add(spans(number))
    with store(tmp_path) as other:
        assert len(found_by_id(other.archive, *range(20))) == 20


def test_everything_older_than_a_second_outlives_a_kill(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(30)]
    process.send_signal(signal.SIGKILL)
    lines += process.communicate(timeout=DEADLINE)[0].splitlines()
    told = [(int(number), float(at)) for number, at in (line.split() for line in lines if line)]
    old = [number for number, at in told if at < told[-1][1] - 1.0]
    assert len(old) > 5
    with store(tmp_path) as one:
        found = found_by_id(one.archive, *old)
        assert {span.trace_id for stored in found for span in stored.spans()} == {
            trace_id(number) for number in old
        }
        assert one.troubles == []


WRITE = """
import sys, time
from pathlib import Path
from tests.collector.recent_disk.samples import Store, spans
store = Store(Path(sys.argv[1]))
for number in range(1, 1000):
    store.add(spans(number))
    print(number, time.monotonic(), flush=True)
    time.sleep(0.1)
"""
