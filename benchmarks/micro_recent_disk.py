"""Recent telemetry on disk: what handing over costs the loop, what writing costs, how long a search
takes over 30,000 and over 1,000,000 spans, and a trace by its id.

    python -m benchmarks.micro_recent_disk [spans]

Spans are of five to a trace and two services, some 430 bytes each with nine attributes, in batches
of 500. CPU is that of the process; reading is from the page cache.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector.recent_disk.archive import HANDS, Archive
from proxy.recent.query import Query
from proxy.recent.ring import Ring, Stored
from proxy.recent.search import search, trace_of
from proxy.recent.view import View, recall

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
BATCH = 500  # spans
EACH = 5  # spans of a trace
PACE = 20_000  # spans a second, as their times say
ROUNDS = 2


def batches(spans: int) -> Iterator[Stored]:
    """Of so many spans, up to NOW."""
    dice = random.Random(7)
    for at in range(0, spans, BATCH):
        stored_at = NOW - (spans - at) * SECOND // PACE
        yield Stored("traces", request(dice, at, stored_at), None, BATCH, stored_at)


def request(dice: random.Random, first: int, now: int) -> bytes:
    made = ExportTraceServiceRequest()
    for service, share in (("shop", 3), ("orders", 2)):
        resource_spans = made.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = service
        spans = resource_spans.scope_spans.add().spans
        for trace in range(first // EACH, (first + BATCH) // EACH):
            for number in range(share):
                fill(spans.add(), dice, trace, number + (service == "orders") * 3, now)
    return made.SerializeToString()


def fill(span: Any, dice: random.Random, trace: int, number: int, now: int) -> None:
    span.trace_id = trace_id(trace)
    span.span_id = dice.randbytes(8)
    span.parent_span_id = b"" if number == 0 else dice.randbytes(8)
    span.name = f"GET /items/{trace % 50}"
    span.kind = 2
    took = dice.randrange(SECOND // 10)
    span.start_time_unix_nano, span.end_time_unix_nano = now - took, now
    span.status.code = 2 * (dice.random() < 0.01)
    pairs = {
        "http.request.method": "GET", "url.path": f"/items/{dice.randrange(10**6)}",
        "http.route": f"/items/{trace % 50}", "server.address": "shop.example",
        "tenant": f"t{trace % 1000}", "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64)",
        "client.address": f"10.1.{trace % 256}.7", "network.protocol.version": "1.1",
    }  # fmt: skip
    for key, value in pairs.items():
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key="http.response.status_code").value.int_value = 200


def trace_id(number: int) -> bytes:
    return (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 & (1 << 128) - 1).to_bytes(16, "big")


def stepped(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            if (wait := next(steps)) is not None:
                wait.result()
        except StopIteration as over:
            return over.value


def filled(folder: Path, spans: int) -> Archive:
    """Writes them, and tells what that costs."""
    archive = Archive(folder, 4 << 30, lambda trouble: print(trouble) if trouble else None)
    archive.start()
    handing = 0.0
    handed = done = size = 0
    writing = 0.0
    for lot in lots(spans):
        began, cpu = time.thread_time(), time.process_time()
        for stored in lot:
            archive.add(stored)
        handing += time.thread_time() - began
        handed += len(lot)
        while not archive.has(lot[-1].number):
            time.sleep(0.01)
        writing += time.process_time() - cpu
        done += sum(stored.items for stored in lot)
        size += sum(stored.size for stored in lot)
    say(f"{done:,} spans, {size / done:.0f} bytes each; {archive.size / 1e6:.0f} MB on disk")
    say(f"handing over: {handing / handed * 1e6:.1f} µs a batch of {BATCH}")
    say(f"writing and indexing, in the thread: {writing / done * 1e6:.2f} µs of CPU a span")
    return archive


def lots(spans: int) -> Iterator[list[Stored]]:
    """As many as may wait at once."""
    lot: list[Stored] = []
    size = 0
    for number, stored in enumerate(batches(spans), 1):
        stored.number = number
        lot.append(stored)
        size += stored.size
        if size > HANDS // 2:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot


def timed(what: str, archive: Archive, query: Query) -> None:
    times, spent = [], []
    for _ in range(ROUNDS):
        began, cpu = time.perf_counter(), time.process_time()
        found = stepped(search(View(Ring(0, 0), archive), query))
        times.append(time.perf_counter() - began)
        spent.append(time.process_time() - cpu)
    took = f"{min(times) * 1e3:.0f} ms, {min(spent) * 1e3:.0f} of CPU"
    say(f"{what}: {took}; {found.spans:,} spans looked at, {len(found.traces)} traces found")


def by_id(archive: Archive, spans: int) -> None:
    times = []
    for number in range(0, spans // EACH, spans // EACH // 20):
        began = time.perf_counter()
        view = View(Ring(0, 0), archive)
        stepped(recall(view, [trace_id(number)]))
        assert len(trace_of(view, trace_id(number))) == EACH
        times.append(time.perf_counter() - began)
    say(f"a trace by its id: {sorted(times)[len(times) // 2] * 1e3:.1f} ms")


def opened(folder: Path) -> None:
    began = time.perf_counter()
    archive = Archive(folder, 4 << 30, lambda trouble: None)
    archive.start()
    archive.find([b"\0" * 16], 1 << 63).result()
    say(f"opening it anew: {(time.perf_counter() - began) * 1e3:.0f} ms")
    archive.stop(10.0)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spans", type=int, nargs="?", default=1_000_000)
    for spans in (30_000, parser.parse_args().spans):
        with tempfile.TemporaryDirectory() as name:
            archive = filled(Path(name), spans)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            timed("the latest 50", archive, Query())
            timed("the latest 50 with errors", archive, Query(error=True))
            timed("one tenant's latest 50", archive, Query(tags={"tenant": "t77"}))
            timed("an attribute that is nowhere", archive, Query(tags={"tenant": "nobody"}))
            timed("a text that is nowhere", archive, Query(text="nobody at all"))
            timed(
                "the last 30 s, all of it",
                archive,
                Query(since=NOW - 30 * SECOND, limit=1000, shortest=SECOND),
            )
            by_id(archive, spans)
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            say(f"most memory while searching: {(after - before) / 1024:.0f} MiB more")
            archive.stop(10.0)
            opened(Path(name))


if __name__ == "__main__":
    main()
