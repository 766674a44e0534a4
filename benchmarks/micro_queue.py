"""What a queue on disk costs: our log against sqlite3 (WAL) and, where installed, lmdb.

python -m benchmarks.micro_queue

A batch is 42 kB, 100 spans of a web service. For each store: writing 2,000 batches one by one,
each safe from a kill -9 when the call returns, then taking and finishing each; µs a call, median,
99th percentile and worst. None synchronises (sqlite3 also with its own NORMAL).
"""

from __future__ import annotations

import importlib
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from proxy.collector.batch import Batch
from proxy.collector.queues.disk.log import DiskLog

PAYLOAD = os.urandom(42_000)
BATCHES = 2000
ITEMS = 100


class Store(Protocol):
    def put(self) -> None: ...
    def finish(self) -> None:
        """Take the oldest, and have done with it."""

    def close(self) -> None: ...


class Log:
    """Ours."""

    def __init__(self, directory: Path) -> None:
        self._log = DiskLog(directory / "log", 0)

    def put(self) -> None:
        self._log.append(Batch("traces", PAYLOAD, ITEMS))

    def finish(self) -> None:
        taken = self._log.take(wait=True)
        assert taken is not None
        self._log.done(taken)

    def close(self) -> None:
        self._log.close()


class Sqlite:
    """One table, one row a batch."""

    def __init__(self, directory: Path, synchronous: str) -> None:
        self._link = sqlite3.connect(directory / f"{synchronous}.db", isolation_level=None)
        self._link.execute("PRAGMA journal_mode = WAL")
        self._link.execute(f"PRAGMA synchronous = {synchronous}")
        self._link.execute(
            "CREATE TABLE queue (id INTEGER PRIMARY KEY, signal INTEGER, items INTEGER, data BLOB)"
        )

    def put(self) -> None:
        self._link.execute(
            "INSERT INTO queue (signal, items, data) VALUES (?, ?, ?)", (1, ITEMS, PAYLOAD)
        )

    def finish(self) -> None:
        row = self._link.execute("SELECT * FROM queue ORDER BY id LIMIT 1").fetchone()
        self._link.execute("DELETE FROM queue WHERE id = ?", (row[0],))

    def close(self) -> None:
        self._link.close()


class Lmdb:
    """Keys are numbers in order."""

    def __init__(self, directory: Path, lmdb: Any) -> None:
        self._env = lmdb.open(
            str(directory / "lmdb"), map_size=1 << 30, sync=False, writemap=True, map_async=True
        )
        self._number = 0

    def put(self) -> None:
        with self._env.begin(write=True) as transaction:
            transaction.put(self._number.to_bytes(8, "big"), PAYLOAD)
        self._number += 1

    def finish(self) -> None:
        with self._env.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.first()
            assert len(cursor.value()) == len(PAYLOAD)
            cursor.delete()

    def close(self) -> None:
        self._env.close()


def stores(directory: Path) -> dict[str, Callable[[], Store]]:
    found: dict[str, Callable[[], Store]] = {
        "log": lambda: Log(directory),
        "sqlite3 OFF": lambda: Sqlite(directory, "OFF"),
        "sqlite3 NORMAL": lambda: Sqlite(directory, "NORMAL"),
    }
    try:
        lmdb = importlib.import_module("lmdb")
    except ImportError:
        return found
    return {**found, "lmdb": lambda: Lmdb(directory, lmdb)}


def measure(call: Callable[[], object]) -> str:
    times = []
    for _ in range(BATCHES):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e6)
    times.sort()
    worst = times[-1]
    return f"{statistics.median(times):8.0f} {times[BATCHES * 99 // 100]:8.0f} {worst:8.0f}"


def main() -> None:
    print(f"{'µs':16}{'put: median, p99, worst':>28}{'take and done':>28}{'on disk':>11}")
    # Where data is kept, not where memory plays disk.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        for store, make in stores(Path(name)).items():
            made = make()
            put = measure(made.put)
            size = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file())
            finish = measure(made.finish)
            made.close()
            for path in Path(name).rglob("*"):
                if path.is_file():
                    path.unlink()
            print(f"{store:16}{put:>28}{finish:>28}{size / 1e6:8.0f} MB")


if __name__ == "__main__":
    main()
