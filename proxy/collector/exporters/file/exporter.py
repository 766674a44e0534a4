"""Exporter `file`: batches as lines of OTLP/JSON or as protobuf messages behind their lengths.

Batches wait in the queue for the flush interval and are written together; they are exported when
the file has them. A disk that is full or gone is tried again while the queue holds. Encoding and
writing are done in a thread.

Format of JSON: OpenTelemetry specification "OTLP File Exporter", one request a line. Protobuf:
a length of four bytes, big-endian, before each message, as the Collector's file exporter has it.
Compressed files are gzip members or zstd frames one after the other, one for each flush, so that
they can be appended to and read after a crash; `zcat` and `zstdcat` read them.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import math
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from proxy import tasks
from proxy.collector import guard
from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.exporters.file.rotation import RotatingFile, Rules
from proxy.collector.exporters.file.settings import SIGNAL, Rotation, Settings
from proxy.collector.queues.memory import Queue
from proxy.collector.retry import backoff
from proxy.collector.startup import file_trouble, unwritable
from proxy.errors import ConfigError, Problem
from proxy.otlp.json import request_to_json
from proxy.otlp.wire import WireError

log = logging.getLogger("spangate")

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MOST = 8 * 1024 * 1024  # bytes of batches in one write: what is encoded at once
_GZIP_LEVEL = 1  # 2.3 MB of spans become 18 % of that in 12 ms; with level 6 17 % in 26 ms

_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "gzip": lambda data: gzip.compress(data, _GZIP_LEVEL, mtime=0),
    "zstd": lambda data: zstd.compress(data, 3),
}


class FileExporter:
    """A Stage."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._ledgers = context.ledgers
        self._condition = context.condition
        self._now_ns = context.now_ns
        self._random = context.random
        self._backoff = backoff(settings.retry_on_failure)
        self._files = _Files(settings)
        self._hurry = asyncio.Event()
        self._end = math.inf  # loop time by which everything must be over
        self._task: asyncio.Task[None] | None = None
        self.queue = Queue(settings.queue_size)

    async def start(self) -> None:
        folder = Path(self._settings.path).parent
        if not folder.is_dir():
            raise ConfigError([Problem("path", f"there is no folder {folder}", "make it first")])
        for signal in self._signals():
            path = Path(self._settings.path.replace(SIGNAL, signal))
            if (trouble := unwritable(path)) is not None:
                raise ConfigError([file_trouble("path", path, trouble)])
        self._task = guard.keep(self._run, self._condition, "export file")

    def _signals(self) -> list[str]:
        """Those that it is for, as far as they make a difference."""
        return list(self._ledgers) if SIGNAL in self._settings.path else [""]

    def consume(self, batch: Batch) -> bool:
        if self.queue.limit and batch.size > self.queue.limit:
            self._ledgers[batch.signal].drop(batch.items, "too_large")
            return True
        if self.queue.put(batch):
            return True
        self._condition.warn("queue full, refusing telemetry")
        return False

    def held(self, signal: Signal) -> int:
        return self.queue.items(signal)

    async def stop(self, deadline: float) -> None:
        self.queue.close()
        self._end = asyncio.get_running_loop().time() + deadline
        self._hurry.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=deadline)
        await tasks.cancel(self._task)
        self._task = None  # it holds what it was writing
        for batch in self.queue.drain():
            self._ledgers[batch.signal].drop(batch.items, "shutdown")
        self._files.close()

    async def _run(self) -> None:
        while (first := await self.queue.get()) is not None:
            await self._rest(self._settings.flush_interval)
            await self._write(await self._with_others(first))
            del first  # or its receipt would be kept until the next one comes

    async def _with_others(self, first: Batch) -> list[Batch]:
        """What waits, up to a size that is written at once."""
        batches = [first]
        size = first.size
        while len(self.queue) and size < _MOST:
            batch = await self.queue.get()
            assert batch is not None
            batches.append(batch)
            size += batch.size
        return batches

    async def _write(self, batches: list[Batch]) -> None:
        """Until the files have them, or there is no more sense in trying."""
        loop = asyncio.get_running_loop()
        begun, attempt = loop.time(), 0
        while True:
            attempt += 1
            stopping = self._hurry.is_set()
            done = _Done()
            with guard.Guard(self._condition) as guarded:
                done = await asyncio.to_thread(self._files.write, batches, self._now_ns() / 1e9)
            batches = self._book(batches, done)
            if not batches:
                return
            if guarded.error is None:
                self._condition.warn(f"cannot write: {done.error}")
            elif attempt >= guard.TRIES:
                self._give_up(batches, guard.REASON)
                return
            now = loop.time()
            pause = self._backoff.pause(attempt, None, now - begun, self._random)
            if pause is None or (stopping and now + pause > self._end):
                self._give_up(batches, "shutdown" if pause is not None else "retry_exhausted")
                return
            if stopping:
                await asyncio.sleep(pause)
            else:
                await self._rest(pause)

    def _book(self, batches: list[Batch], done: _Done) -> list[Batch]:
        """One step without an await; those that are left."""
        left = []
        for batch in batches:
            ledger = self._ledgers[batch.signal]
            if batch in done.written:
                ledger.exported += batch.items
            elif batch in done.spoilt:
                ledger.drop(batch.items, done.spoilt[batch])
            else:
                left.append(batch)
                continue
            self.queue.done(batch)
        if done.spoilt:
            self._condition.warn("a batch could not be encoded")
        elif not left:
            self._condition.over("writing")
        return left

    def _give_up(self, batches: list[Batch], reason: str) -> None:
        for batch in batches:
            self.queue.done(batch)
            self._ledgers[batch.signal].drop(batch.items, reason)

    async def _rest(self, seconds: float) -> None:
        """Sleep until the exporter is stopped."""
        if seconds <= 0 or self._hurry.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return


class _Done:
    """What came of one attempt."""

    __slots__ = ("error", "spoilt", "written")

    def __init__(self) -> None:
        self.written: set[Batch] = set()
        self.spoilt: dict[Batch, str] = {}  # and why
        self.error = ""


class _Files:
    """The files by path; written in a thread, one call at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._compress = _COMPRESS[settings.compression]
        coding = settings.compression
        self._layout = settings.format if coding == "none" else coding
        self._files: dict[str, RotatingFile] = {}
        self._busy = threading.Lock()
        self._closed = False

    def write(self, batches: list[Batch], now: float) -> _Done:
        with self._busy:
            done = self._write(batches, now)
        if self._closed:
            self.close()
        return done

    def close(self) -> None:
        """At once, or when a write that hangs comes back: its descriptor must not be reused."""
        self._closed = True
        if self._busy.acquire(blocking=False):
            for file in self._files.values():
                file.close()
            self._busy.release()

    def _write(self, batches: list[Batch], now: float) -> _Done:
        done = _Done()
        groups: dict[str, list[tuple[Batch, bytes]]] = {}
        for batch in batches:
            path = self._settings.path.replace(SIGNAL, batch.signal)
            try:
                entry = self._encode(batch)
            except WireError:
                done.spoilt[batch] = "malformed"
            except Exception:
                log.exception(
                    "a batch could not be encoded; this is a bug, please report it",
                    extra={"key": "file.not_encoded"},
                )
                done.spoilt[batch] = guard.REASON
            else:
                groups.setdefault(path, []).append((batch, entry))
        for path, pairs in groups.items():
            try:
                content = self._compress(b"".join(entry for _, entry in pairs))
                self._file(path).write(content, now)
            except OSError as error:
                done.error = f"{path}: {error.strerror or error}"
            else:
                done.written.update(batch for batch, _ in pairs)
        return done

    def _encode(self, batch: Batch) -> bytes:
        if self._settings.format == "proto":
            return len(batch.payload).to_bytes(4, "big") + batch.payload
        if batch.signal == "profiles":
            raise WireError("profiles are opaque and cannot be written as JSON")
        return request_to_json(batch.signal, batch.payload) + b"\n"

    def _file(self, path: str) -> RotatingFile:
        file = self._files.get(path)
        if file is None:
            rotation = self._settings.rotation
            rules = _rules(rotation) if rotation is not None else Rules()
            file = self._files[path] = RotatingFile(
                Path(path),
                rules,
                append=self._settings.append,
                fsync=self._settings.fsync,
                layout=self._layout,
            )
        return file


def _rules(rotation: Rotation) -> Rules:
    return Rules(rotation.max_size, rotation.interval, rotation.max_backups, rotation.max_age)


def make(settings: Settings, context: Context) -> FileExporter:
    return FileExporter(settings, context)
