"""Batches of spans and log records for what is kept on disk, and an archive of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector.recent_disk.archive import Archive, Trouble
from proxy.recent.ring import Ring, Stored

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
LIMIT = 64 * 1024 * 1024
DEADLINE = 60.0


def trace_id(number: int) -> bytes:
    return (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 & (1 << 128) - 1).to_bytes(16, "big")


def spans(
    *traces: int, own: int = 1, parent: int = 0, service: str = "shop", at: int = NOW,
    took: int = SECOND // 100, error: bool = False, name: str = "GET /", **attributes: str,
) -> bytes:  # fmt: skip
    """A request with one span of each of those traces, which ended at `at`."""
    made = ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    scope = resource.scope_spans.add()
    for trace in traces:
        span = scope.spans.add(
            trace_id=trace_id(trace),
            span_id=(trace << 16 | own).to_bytes(8, "big"),
            parent_span_id=(trace << 16 | parent).to_bytes(8, "big") if parent else b"",
            name=name,
            kind=2,  # type: ignore[arg-type]
            start_time_unix_nano=at - took,
            end_time_unix_nano=at,
        )
        span.status.code = 2 if error else 0  # type: ignore[assignment]
        for key, value in attributes.items():
            span.attributes.add(key=key).value.string_value = value
    return made.SerializeToString()


def record(trace: int, body: str) -> bytes:
    """A request with one log record of that trace."""
    made = ExportLogsServiceRequest()
    resource = made.resource_logs.add()
    one = resource.scope_logs.add().log_records.add(
        trace_id=trace_id(trace), time_unix_nano=NOW, severity_text="INFO"
    )
    one.body.string_value = body
    return made.SerializeToString()


class Store:
    """A ring in memory with an archive beside it, as the collector has them."""

    def __init__(self, folder: Path, limit: int = LIMIT, size: int = 1 << 24) -> None:
        self.troubles: list[Trouble] = []
        self.ring = Ring(size, size // 4)
        self.archive = Archive(folder, limit, self._hear, flush=0.001)
        self.ring.followers.append(self.archive.add)
        self._heard = threading.Condition()
        self.archive.start()

    def add(self, payload: bytes, items: int = 1, at: int = NOW, signal: str = "traces") -> None:
        self.ring.add(signal, payload, None, items, at)

    def settle(self) -> None:
        """Until everything that was added is on disk."""
        until(lambda: self.archive.has(self.ring.number))

    def hears(self, words: str) -> None:
        """Until that trouble is told."""
        with self._heard:
            assert self._heard.wait_for(
                lambda: any(words in str(trouble) for trouble in self.troubles), DEADLINE
            ), self.troubles

    def recovers(self) -> None:
        """Until all is told to be well again."""
        with self._heard:
            assert self._heard.wait_for(
                lambda: self.troubles and self.troubles[-1] is None, DEADLINE
            ), self.troubles

    def _hear(self, trouble: Trouble) -> None:
        with self._heard:
            self.troubles.append(trouble)
            self._heard.notify_all()


@contextmanager
def store(folder: Path, limit: int = LIMIT, size: int = 1 << 24) -> Iterator[Store]:
    made = Store(folder, limit, size)
    try:
        yield made
    finally:
        made.archive.stop(DEADLINE)


def until(condition: Callable[[], Any]) -> None:
    """Wait for another thread, or process."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "that has not happened"
        time.sleep(0.005)


def stepped(steps: Generator[Any, None, Any]) -> Any:
    """What a generator returns, with what it waits for."""
    while True:
        try:
            if (wait := next(steps)) is not None:
                wait.result(DEADLINE)
        except StopIteration as over:
            return over.value


def found_by_id(archive: Archive, *numbers: int) -> list[Stored]:
    """What is on disk of these traces."""
    return archive.find([trace_id(n) for n in numbers], 1 << 63).result(DEADLINE)
