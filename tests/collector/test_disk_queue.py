"""What an exporter sees of a queue on disk: order, restarts, bounds, and the books throughout."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from proxy.collector.batch import Batch
from proxy.collector.parts import Queue as Settings
from proxy.collector.queues.disk.lock import directory_name
from proxy.collector.queues.disk.queue import DiskQueue, make_queue
from proxy.collector.queues.memory import Queue as MemoryQueue
from proxy.config.units import Seconds, Size
from proxy.errors import ConfigError
from tests.collector.kit import Place, settings

DEADLINE = 60.0  # seconds


class Bench:
    """A queue and its books, as an exporter keeps them; `restart` makes the next process."""

    def __init__(self, directory: Path, place: Place | None = None, **more: Any) -> None:
        self.directory = directory
        self.more = more
        self.place = place or Place("exporter", "otlp_http")
        given: dict[str, Any] = {"storage": str(directory), "fsync": "never", **more}
        self.queue = DiskQueue(Settings(**given), self.place.context)
        self.held = lambda: self.queue.items("traces")
        self.ledger = self.place.ledger
        self.ledger.places.append(self.held)

    @property
    def files(self) -> Path:
        return self.directory / "otlp_http"

    @property
    def balanced(self) -> bool:
        return self.ledger.balanced

    def put(self, number: int, size: int = 100) -> bool:
        taken = self.queue.put(batch(number, size))
        if taken:
            self.ledger.created += 1
        assert self.balanced, self.ledger
        return taken

    async def get(self) -> Batch:
        async with asyncio.timeout(DEADLINE):
            found = await self.queue.get()
        assert found is not None
        assert self.balanced, self.ledger
        return found

    async def deliver(self) -> int:
        found = await self.get()
        self.queue.done(found)
        self.ledger.exported += found.items
        assert self.balanced, self.ledger
        return number_of(found)

    async def deliver_all(self) -> list[int]:
        return [await self.deliver() for _ in range(self.queue.items("traces"))]

    async def stop(self) -> list[int]:
        """As an exporter does; numbers of what was lost."""
        self.queue.close()
        lost = self.queue.drain()
        for one in lost:
            self.ledger.drop(one.items, "shutdown")
        await self.queue.stop()
        self.ledger.places.remove(self.held)
        assert self.balanced, self.ledger
        return [number_of(one) for one in lost]

    async def restart(self, *, same_books: bool = False, **more: Any) -> Bench:
        await self.stop()
        place = self.place if same_books else None
        after = Bench(self.directory, place, **{**self.more, **more})
        await after.queue.start()
        assert after.balanced, after.ledger
        return after

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                assert self.balanced, self.ledger
                await asyncio.sleep(0.005)


def batch(number: int, size: int = 100) -> Batch:
    return Batch("traces", f"{number:08d}".encode().ljust(size, b"."), 1)


def number_of(batch: Batch) -> int:
    return int(batch.payload[:8])


async def started(directory: Path, **more: Any) -> Bench:
    bench = Bench(directory, **more)
    await bench.queue.start()
    return bench


async def test_what_waits_outlives_the_process(tmp_path: Path) -> None:
    bench = await started(tmp_path)
    assert all(bench.put(n) for n in range(10))
    assert [await bench.deliver() for _ in range(3)] == [0, 1, 2]
    await bench.get()
    bench = await bench.restart()
    assert bench.ledger.created == 7
    assert await bench.deliver_all() == [3, 4, 5, 6, 7, 8, 9]
    assert await bench.stop() == []
    assert list(bench.files.glob("*.queue")) == []


async def test_what_came_before_the_start_goes_to_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.put(1)
    assert bench.put(2)
    await bench.queue.start()
    await bench.until(lambda: "0 in memory" in repr(bench.queue))
    assert bench.put(3)
    bench = await bench.restart()
    assert await bench.deliver_all() == [1, 2, 3]
    await bench.stop()


async def test_stop_without_a_start_loses_what_is_in_memory_and_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put(1)
    assert await bench.stop() == [1]
    assert bench.ledger.dropped == {"shutdown": 1}


async def test_closing_wakes_everyone_and_empties_first(tmp_path: Path) -> None:
    bench = await started(tmp_path)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        sleepers = [group.create_task(bench.queue.get()) for _ in range(3)]
        await asyncio.sleep(0)
        bench.put(1)
        bench.queue.close()
    assert sorted(s.result() is None for s in sleepers) == [False, True, True]
    assert not bench.put(2)
    await bench.stop()


async def test_after_one_was_kept_nothing_more_is_begun(tmp_path: Path) -> None:
    bench = await started(tmp_path)
    for n in range(3):
        bench.put(n)
    taken = await bench.get()
    bench.queue.close()
    assert bench.queue.keep(taken)
    assert await bench.queue.get() is None
    bench = await bench.restart()
    assert await bench.deliver_all() == [0, 1, 2]
    await bench.stop()


async def test_the_newest_is_refused_when_the_files_are_full(tmp_path: Path) -> None:
    bench = await started(tmp_path, storage_size=Size(64 * 1024))
    number = 0
    while bench.put(number, 1000):
        number += 1
    assert number > 50
    assert bench.ledger.dropped == {}
    while not bench.put(number, 1000):
        await bench.deliver()
    assert bench.queue.size <= 64 * 1024
    await bench.stop()


async def test_the_oldest_make_room_and_are_counted(tmp_path: Path) -> None:
    bench = await started(tmp_path, storage_size=Size(64 * 1024), drop="oldest")
    assert all(bench.put(n, 1000) for n in range(500))
    size = sum(p.stat().st_size for p in bench.files.glob("*.queue"))
    assert size <= 64 * 1024
    lost = bench.ledger.dropped["queue_full_oldest"]
    assert await bench.deliver_all() == list(range(lost, 500))
    assert bench.put(1, 10_000)
    assert not bench.put(0, 60_000)  # it would push out almost everything
    await bench.stop()


async def test_damage_is_counted_and_the_rest_delivered(tmp_path: Path) -> None:
    bench = await started(tmp_path)
    for n in range(5):
        bench.put(n)
    await bench.stop()
    (path,) = bench.files.glob("*.queue")
    data = bytearray(path.read_bytes())
    data[data.index(b"00000002") + 20] ^= 1
    path.write_bytes(data[:-50])
    bench = await started(tmp_path)
    assert bench.ledger.dropped == {"corrupt": 1}
    assert [await bench.deliver() for _ in range(3)] == [0, 1, 3]
    assert bench.ledger.dropped == {"corrupt": 2}
    assert bench.ledger.created == 5
    assert bench.queue.items("traces") == 0
    await bench.stop()


async def test_unreadable_stretches_are_counted_and_told(tmp_path: Path) -> None:
    files = tmp_path / "otlp_http"
    files.mkdir()
    (files / "0000000000000009.queue").write_bytes(os.urandom(5000))
    bench = await started(tmp_path)
    values = {s.instrument.name: s.value for s in bench.place.counters.series()}
    assert values["spangate_queue_unreadable"] == 1
    assert "damaged" in bench.place.context.condition.error
    assert bench.put(1)
    assert await bench.deliver() == 1
    await bench.stop()


async def test_a_reload_counts_nothing_twice(tmp_path: Path) -> None:
    before = await started(tmp_path)
    for n in range(5):
        before.put(n)
    after = Bench(tmp_path, before.place)
    await after.queue.start()  # the one before has the directory still
    assert after.put(5)
    assert await before.deliver() == 0
    await before.stop()
    await after.until(lambda: after.queue.items("traces") == 5)
    assert sorted(await after.deliver_all()) == [1, 2, 3, 4, 5]
    assert (after.ledger.created, after.ledger.exported) == (6, 6)
    await after.stop()


async def test_what_nobody_opens_again_stays_queued_in_the_books(tmp_path: Path) -> None:
    bench = await started(tmp_path)
    for n in range(5):
        bench.put(n)
    await bench.stop()
    assert (bench.ledger.queued, bench.ledger.dropped) == (5, {})


async def test_signals_without_a_pipeline_are_delivered_and_booked(tmp_path: Path) -> None:
    bench = await started(tmp_path)
    bench.queue.put(Batch("logs", b"left", 3))
    await bench.queue.stop()
    after = Bench(tmp_path)
    await after.queue.start()
    ledger = after.place.shelf["logs"]
    assert (ledger.created, ledger.queued) == (3, 3)
    after.queue.done(await after.get())
    ledger.exported += 3
    assert ledger.balanced
    await after.stop()


async def test_a_directory_of_another_process_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from proxy.collector.queues.disk.log import DiskLog;"
        f"log = DiskLog(Path({str(tmp_path / 'otlp_http')!r}), 0); print(flush=True);"
        "sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1)
    with other:
        assert other.stdout is not None
        other.stdout.readline()
        bench = Bench(tmp_path)
        with pytest.raises(ConfigError, match=f"in use by process {other.pid}"):
            await bench.queue.start()
        await bench.stop()
        other.kill()
    bench = await started(tmp_path)
    assert bench.put(1)
    await bench.stop()


async def test_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bench = Bench(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"sending_queue\.storage"):
        await bench.queue.start()
    await bench.stop()


@pytest.mark.parametrize("policy", ["always", "interval", "never"])
async def test_every_policy_of_fsync_keeps_what_was_written(tmp_path: Path, policy: Any) -> None:
    bench = await started(tmp_path, fsync=policy, fsync_interval=Seconds(0.01))
    for n in range(50):
        bench.put(n, 5000)
        await asyncio.sleep(0)
        if n % 2:
            await bench.deliver()
    await asyncio.sleep(0.03)
    bench = await bench.restart()
    assert await bench.deliver_all() == list(range(25, 50))
    await bench.stop()


# -- a disk that takes nothing ------------------------------------------------------------------


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Writes beyond it fail, in the middle of a record too, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_bridged_by_memory_and_recovers_alone(tmp_path: Path) -> None:
    bench = await started(tmp_path, queue_size=Size(20_000))
    with no_file_beyond(50_500):
        number = 0
        while bench.put(number, 1000):
            number += 1
        assert 65 <= number <= 70  # 49 on disk, 20 in memory
        assert "telemetry waits in memory" in bench.place.context.condition.error
        assert [await bench.deliver() for _ in range(5)] == [0, 1, 2, 3, 4]
    await bench.until(lambda: "| 0 in memory" in repr(bench.queue))
    assert not bench.place.context.condition.troubled
    bench = await bench.restart()
    assert await bench.deliver_all() == list(range(5, number))
    await bench.stop()


async def test_a_full_disk_at_the_end_costs_what_is_in_memory(tmp_path: Path) -> None:
    bench = await started(tmp_path)
    with no_file_beyond(10_000):
        for n in range(15):
            assert bench.put(n, 1000)
        lost = await bench.stop()
    assert lost == list(range(9, 15))
    assert bench.ledger.dropped == {"shutdown": 6}
    bench = await started(tmp_path)
    assert await bench.deliver_all() == list(range(9))
    await bench.stop()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 256 KiB."""
    directory = tempfile.mkdtemp()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", directory]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        shutil.rmtree(directory)
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield Path(directory)
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
        shutil.rmtree(directory)


async def test_a_file_system_that_runs_full(small_disk: Path) -> None:
    bench = await started(small_disk, queue_size=Size(50_000))
    (small_disk / "other").write_bytes(bytes(100_000))
    number = 0
    while bench.put(number, 1000):
        number += 1
    assert number > 100
    (small_disk / "other").unlink()
    await bench.until(lambda: "| 0 in memory" in repr(bench.queue))
    assert bench.put(number, 1000)
    bench = await bench.restart()
    assert await bench.deliver_all() == list(range(number + 1))
    await bench.stop()


async def test_a_start_on_a_full_file_system_waits_for_room(small_disk: Path) -> None:
    (small_disk / "other").write_bytes(bytes(256 * 1024))
    bench = await started(small_disk, queue_size=Size(50_000))
    assert bench.put(1)
    assert await bench.deliver() == 1
    assert bench.put(2)
    (small_disk / "other").unlink()
    await bench.until(lambda: "| 0 in memory" in repr(bench.queue))
    bench = await bench.restart()
    assert await bench.deliver_all() == [2]
    await bench.stop()


# -- anything in any order ----------------------------------------------------------------------

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([10, 1000, 3000])),
        st.tuples(st.just("get"), st.just(0)),
        st.tuples(st.just("done"), st.integers(0, 3)),
        st.tuples(st.just("restart"), st.booleans()),
        st.tuples(st.just("full"), st.booleans()),
    ),
    max_size=60,
)


@given(OPERATIONS, st.sampled_from(["newest", "oldest"]))
@hypothesis_settings(max_examples=40, deadline=None)
def test_the_books_balance_whatever_happens(operations: list[tuple[str, Any]], drop: str) -> None:
    with tempfile.TemporaryDirectory() as directory, no_file_beyond(2**40):
        asyncio.run(_anything(Path(directory), operations, drop))


async def _anything(directory: Path, operations: list[tuple[str, Any]], drop: str) -> None:
    """Nothing is delivered twice or made up, and what is missing was counted."""
    more = {"drop": drop, "storage_size": Size(40_000), "queue_size": Size(10_000)}
    bench = await started(directory, **more)
    number, delivered, lost = 0, [], 0
    taken: list[Batch] = []
    for what, value in operations:
        if what == "put":
            number += bench.put(number, value)
        elif what == "get" and bench.queue.items("traces") > len(taken):
            taken.append(await bench.get())
        elif what == "done" and taken:
            one = taken.pop(value % len(taken))
            bench.queue.done(one)
            bench.ledger.exported += 1
            delivered.append(number_of(one))
        elif what == "restart":
            full = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**40, full[1]))
            taken = []
            before = bench
            bench = await bench.restart(same_books=value)
            lost += 0 if value else sum(before.ledger.dropped.values())
        elif what == "full":
            limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (500 if value else 2**40, limit))
        assert bench.balanced, bench.ledger
    delivered += [number_of(one) for one in taken]
    for one in taken:
        bench.queue.done(one)
        bench.ledger.exported += 1
    delivered += await bench.deliver_all()
    lost += sum(bench.ledger.dropped.values())
    assert len(delivered) == len(set(delivered))
    assert len(delivered) + lost == number
    await bench.stop()


# -- settings -----------------------------------------------------------------------------------


def test_a_queue_is_on_disk_if_it_has_a_place_there(tmp_path: Path) -> None:
    context = Place("exporter", "otlp_http").context
    assert isinstance(make_queue(Settings(), context), MemoryQueue)
    assert isinstance(make_queue(Settings(storage=str(tmp_path)), context), DiskQueue)
    assert list(tmp_path.iterdir()) == []  # making it has no effects


@pytest.mark.parametrize("type", ["otlp_grpc", "otlp_http"])
def test_dropping_the_oldest_needs_a_disk(type: str) -> None:
    with pytest.raises(ConfigError, match="drops the newest"):
        settings("exporter", type, 'sending_queue = { drop = "oldest" }')
    settings("exporter", type, 'sending_queue = { drop = "oldest", storage = "/q" }')


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("otlp_http", "otlp_http"),
        ("otlp_http/backend", "otlp_http%2Fbackend"),
        ("grpc://host:4317", "grpc%3A%2F%2Fhost%3A4317"),
    ],
)
def test_each_exporter_has_a_directory(id: str, name: str) -> None:
    assert directory_name(id) == name


def test_long_ids_have_names_of_their_own() -> None:
    names = {directory_name("x" * 300 + end) for end in "abc"}
    assert len(names) == 3
    assert all(len(name) < 250 for name in names)
