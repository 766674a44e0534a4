"""Price of whole-trace stages, in µs a span: `python -m benchmarks.micro_tail`.

The load: requests of 100 spans with nine attributes, of 25 traces; each trace comes in two
requests. The first rows compare ways to hold a trace until it is judged; the next ones what
policies ask for; then the stages as they are.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from proxy.collector.batch import Batch
from proxy.collector.books import Books, Shelf
from proxy.collector.connectors.service_graph.connector import make as make_graph
from proxy.collector.connectors.service_graph.settings import Settings as Graph
from proxy.collector.connectors.span_metrics.connector import make as make_metrics
from proxy.collector.connectors.span_metrics.settings import Settings as Metrics
from proxy.collector.context import Context
from proxy.collector.processors.group_by_trace.processor import make as make_group
from proxy.collector.processors.group_by_trace.settings import Settings as Group
from proxy.collector.processors.tail_sampling.processor import make as make_tail
from proxy.collector.tail.cut import cut
from proxy.collector.tail.judge import Judge
from proxy.collector.tail.policies import build
from proxy.collector.tail.settings import TABLES, Policy
from proxy.collector.tail.trace import Trace
from proxy.collector.tail.waiting import Waiting
from proxy.otlp import wire
from proxy.otlp.wire import fields

TRACES, SPANS, ROUNDS = 25, 100, 40
KINDS: tuple[Any, ...] = (2, 3)  # server, client
POLICIES: dict[str, dict[str, Any]] = {
    "span_count": {"min_spans": 99},
    "probabilistic": {"sampling_percentage": 10},
    "status_code": {"status_codes": ["ERROR"]},
    "latency": {"threshold_ms": 5000},
    "string_attribute": {"key": "http.route", "values": ["/none"]},
    "numeric_attribute": {"key": "not.there", "min_value": 1},
    "route_latency": {},
    "per_route_minimum": {},
}


def requests() -> list[Batch]:
    made = []
    for number in range(ROUNDS):
        request = ExportTraceServiceRequest()
        envelope = request.resource_spans.add()
        for key, value in (("service.name", f"s{number % 4}"), ("host.name", "a.example")):
            envelope.resource.attributes.add(key=key).value.string_value = value
        scope = envelope.scope_spans.add()
        scope.spans.extend(span(number // 2 * TRACES + n // 4, number, n) for n in range(SPANS))
        made.append(Batch("traces", request.SerializeToString(), SPANS))
    return made


def span(trace: int, request: int, number: int) -> Span:
    first = number % 4 == 0 and request % 2 == 0
    made = Span(
        trace_id=(trace * 0x9E3779B97F4A7C15F39CC060 + 1).to_bytes(16, "big"),
        span_id=(request * SPANS + number + 1).to_bytes(8, "big"),
        parent_span_id=b"" if first else b"\1" * 8,
        name="GET /api/orders/{id}",
        kind=KINDS[number % 2],
        start_time_unix_nano=1_790_000_000_000_000_000,
        end_time_unix_nano=1_790_000_000_010_000_000 + number * 1000,
    )
    for n in range(8):
        made.attributes.add(key=f"http.attribute.{n}").value.string_value = f"some value {n}"
    made.attributes.add(key="http.route").value.string_value = "/api/orders/{id}"
    return made


def price(act: Callable[[], object], spans: int = ROUNDS * SPANS) -> float:
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        act()
        best = min(best, time.process_time() - begin)
    return best / spans * 1e6


def held_as_bytes(given: list[Batch]) -> Waiting:
    waiting = Waiting(30.0)
    for batch in given:
        for piece in cut(batch.payload):
            waiting.add(piece, 0.0)
    return waiting


def held_as_messages(given: list[Batch]) -> dict[bytes, list[Span]]:
    held: dict[bytes, list[Span]] = {}
    for batch in given:
        request = ExportTraceServiceRequest.FromString(batch.payload)
        for envelope in request.resource_spans:
            for scope in envelope.scope_spans:
                for found in scope.spans:
                    held.setdefault(found.trace_id, []).append(found)
    return held


def from_messages(held: dict[bytes, list[Span]]) -> list[bytes]:
    return [ScopeSpans(spans=spans).SerializeToString() for spans in held.values()]


def scanned(given: list[Batch]) -> list[int]:
    """Begin and end of each span, by a scanner in Python."""
    found = []
    for batch in given:
        for piece in cut(batch.payload):
            for _, _, _, start, end in fields(piece.data, 0, len(piece.data)):
                for number, _, _, first, last in wire.fields(piece.data, start, end):
                    if number in (7, 8):
                        found.append(int.from_bytes(piece.data[first:last], "little"))
    return found


def memory(hold: Callable[[list[Batch]], object], given: list[Batch]) -> float:
    """Bytes a span."""
    tracemalloc.start()
    held = hold(given)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del held
    return used / (ROUNDS * SPANS)


def traces(given: list[Batch]) -> list[Trace]:
    held = held_as_bytes(given).traces.values()
    return [Trace(pending.trace_id, pending.parts, pending.spans) for pending in held]


def judge(*names: str) -> Judge:
    tables = [Policy(name=n, type=n, **{n: TABLES[n](**POLICIES[n])}) for n in names]
    return build(tables, False)[0]


class Nowhere:
    """Takes everything."""

    def consume(self, batch: Batch) -> bool:
        return batch.size > 0

    def wants(self, signal: str) -> bool:
        return True

    def push(self, batch: Batch) -> None:
        return None


def place(kind: str) -> Context:
    nowhere = Nowhere()
    return Context("x", kind, next=nowhere, outlet=nowhere, ledgers=Shelf(Books(), "x"))


def through(make: Callable[[], Any], payloads: list[bytes]) -> Callable[[], None]:
    async def run() -> None:
        stage = make()
        for payload in payloads:
            stage.consume(Batch("traces", payload, SPANS))
        await stage.stop(10.0)

    return lambda: asyncio.run(run())


def tail(*names: str) -> Callable[[], Any]:
    from proxy.collector.processors.tail_sampling.settings import Settings

    tables = [Policy(name=n, type=n, **{n: TABLES[n](**POLICIES[n])}) for n in names]
    return lambda: make_tail(Settings(policies=tables), place("processor"))


def rows(given: list[Batch]) -> Iterator[tuple[str, float]]:
    payloads = [batch.payload for batch in given]
    yield "hold as bytes, cut by trace", price(lambda: held_as_bytes(given))
    yield "hold as messages", price(lambda: held_as_messages(given))
    yield "hold as messages, serialise again", price(lambda: from_messages(held_as_messages(given)))
    yield (
        "begin and end by scanner, beside cutting",
        price(lambda: scanned(given)) - price(lambda: [cut(payload) for payload in payloads]),
    )
    for name in POLICIES:
        judged = judge(name)
        fresh = [traces(given) for _ in range(5)]
        yield (
            f"policy {name}",
            price(
                lambda j=judged, f=fresh: [j.decide(t, 1.0) for t in f.pop()]  # type: ignore[misc]
            ),
        )
    yield "tail_sampling, one policy", price(through(tail("status_code"), payloads))
    yield "tail_sampling, all of these", price(through(tail(*POLICIES), payloads))
    group = through(lambda: make_group(Group(), place("processor")), payloads)
    yield "group_by_trace", price(group)
    yield (
        "span_metrics",
        price(through(lambda: make_metrics(Metrics(), place("connector")), payloads)),
    )
    yield "service_graph", price(through(lambda: make_graph(Graph(), place("connector")), payloads))


def main() -> None:
    given = requests()
    for name, microseconds in rows(given):
        print(f"{name:45} {microseconds:6.2f} µs a span")
    held, whole = memory(held_as_bytes, given), len(given[0].payload) / SPANS
    print(f"{'memory of what waits':45} {held:6.0f} bytes a span, of which {whole:.0f} are its own")


if __name__ == "__main__":
    main()
